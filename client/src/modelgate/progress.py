"""A bar of progress in one line of a terminal or a notebook."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from modelgate.text import visible

_WIDTH = 20
_INTERVAL = 0.1
"""Seconds between two drawings of a bar that counts bytes."""

OnSent = Callable[[int, int], object]
"""Gets how many bytes of a body are sent, and how many it has."""


def is_watched() -> bool:
    """Return whether somebody sees the standard error: in a terminal, or in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


@contextmanager
def counting(progress: bool | None, on_sent: OnSent | None) -> Iterator[OnSent]:
    """Return what is called as a body is sent: `on_sent`, or a bar if one is to be shown."""
    if on_sent:
        yield on_sent
        return
    with ProgressBar(is_watched() if progress is None else progress) as bar:
        yield bar.count


class ProgressBar:
    """Draws one line on the standard error again and again, if it is `shown`."""

    def __init__(self, shown: bool) -> None:
        self.shown = shown
        self._drawn = 0
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            sys.stderr.write("\n")
            sys.stderr.flush()

    def show(self, progress: Mapping[str, Any]) -> None:
        """Show the `progress` of a job."""
        if self.shown:
            self._draw(line(progress))

    def count(self, done: int, total: int) -> None:
        """Show that `done` of `total` bytes are sent; not more often than somebody can see."""
        now = time.monotonic()
        if self.shown and (now - self._last > _INTERVAL or done >= total):
            self._last = now
            if done >= total:
                self.show({"phase": "sent; waiting for the answer", "fraction": 1})
            else:
                sent = {"done": done, "total": total, "unit": "bytes"}
                self.show({"phase": "sending", "fraction": done / total, **sent})

    def print(self, text: str) -> None:
        """Print lines above the bar."""
        if self.shown and text.strip():
            lines = "\n".join(map(visible, text.rstrip().splitlines()))
            sys.stderr.write(f"\r{'':<{self._drawn}}\r{lines}\n")
            self._drawn = 0

    def _draw(self, text: str) -> None:
        text = visible(text)[: shutil.get_terminal_size().columns - 1]
        sys.stderr.write(f"\r{text:<{self._drawn}}")
        sys.stderr.flush()
        self._drawn = len(text)


def line(progress: Mapping[str, Any]) -> str:
    """Return a line such as `[#####-----]  50% trying candidates 3/6, best score 0.871, 12 s left`."""
    phase, total = str(progress.get("phase") or ""), progress.get("total")
    if phase == "waiting":
        return f"waiting for {total} other trainings" if total else "waiting"
    fraction = progress.get("fraction")
    if fraction is None:
        return phase
    full = round(min(1.0, max(0.0, float(fraction))) * _WIDTH)
    text = f"[{'#' * full}{'-' * (_WIDTH - full)}] {float(fraction):4.0%} {phase}"
    if total:
        text += f" {progress.get('done') or 0:,}/{total:,}"
        text += f" {progress['unit']}" if progress.get("unit") else ""
    if progress.get("best") is not None:
        text += f", {best_score(progress)}"
    if progress.get("seconds_left") is not None:
        text += f", {progress['seconds_left']:.0f} s left"
    return text


def best_score(progress: Mapping[str, Any]) -> str:
    """Return the best score so far with its name; a loss, which scikit-learn negates, is shown positive."""
    score, metric = float(progress["best"]), str(progress.get("metric") or "score")
    if metric.startswith("neg_"):
        score, metric = -score, metric.removeprefix("neg_")
    return f"best {metric.replace('_', ' ')} {score:.3f}"
