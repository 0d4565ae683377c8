"""Shows how a job goes on: a bar and the newest lines of its log, which vanish when it has ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from modelgate.command.exits import ExitCode, Failed
from modelgate.jobs import Job, TrainingRun
from modelgate.progress import best_score
from modelgate.text import visible

_PAUSE = 0.25
"""Seconds between two looks at a job."""
_LINES = 8
"""Lines of a log that are shown at a time."""


class Bar:
    """A context that shows progress on a terminal, and nothing elsewhere."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[counted]}", markup=False),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task("starting", total=None, counted="")
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._live = Live(console=console, transient=True, get_renderable=self._draw, refresh_per_second=10)
        self._shown = console.is_terminal

    def __enter__(self) -> Self:
        if self._shown:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, what: str) -> None:
        """Show what is being done, without saying how far it is."""
        self._update(what, None, "")

    def sending(self, done: int, total: int) -> None:
        """Show how many bytes of a file are sent."""
        phase, fraction = ("sending", done / total) if done < total else ("sent, waiting for the answer", None)
        self._update(phase, fraction, f"{done / 1e6:,.1f}/{total / 1e6:,.1f} MB")

    def show(self, job: Mapping[str, Any]) -> None:
        """Show the progress of a job."""
        progress = job["progress"] or {}
        phase = str(progress.get("phase") or job["status"])
        self._update(visible(phase), progress.get("fraction") or None, visible(_counted(progress)))

    def add(self, log: str) -> None:
        """Show further lines of a log above the bar."""
        self._lines.extend(map(visible, log.splitlines()))

    def _update(self, description: str, fraction: float | None, counted: str) -> None:
        self._progress.update(
            self._task,
            description=description,
            total=None if fraction is None else 1,
            completed=fraction or 0,
            counted=counted,
        )

    def _draw(self) -> RenderableType:
        return Group(
            *(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in self._lines), self._progress
        )


def follow(job: Job, bar: Bar) -> None:
    """Show a job until it has ended; Ctrl-C cancels it. Raises `Failed` after Ctrl-C, and `JobFailed`."""
    offset = 0
    try:
        while not job.done:
            job.refresh(wait=_PAUSE)
            bar.show(job.json)
            if isinstance(job, TrainingRun) and job.status != "queued":
                text, offset = job.read_log(offset)
                bar.add(text)
    except KeyboardInterrupt:
        state = job.cancel().status
        raise Failed(f"the {job.kind.replace('_', ' ')} {job.id} is {state}", ExitCode.INTERRUPTED) from None
    _ = job.output


def _counted(progress: Mapping[str, Any]) -> str:
    """Return `40,000/100,000 rows, 12 s left` or `3/6 candidates, best log loss 0.250`."""
    parts = []
    if progress.get("phase") == "waiting":
        return f"{progress['total']} {progress['unit']}" if progress.get("total") else ""
    if progress.get("total"):
        parts.append(f"{progress.get('done') or 0:,}/{progress['total']:,} {progress.get('unit') or ''}".rstrip())
    elif progress.get("done"):
        parts.append(f"{progress['done']:,} {progress.get('unit') or ''}".rstrip())
    if progress.get("best") is not None:
        parts.append(best_score(progress))
    if progress.get("seconds_left") is not None:
        parts.append(f"{progress['seconds_left']:.0f} s left")
    return ", ".join(parts)
