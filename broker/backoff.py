"""How long to wait before the next try of something that failed: longer each time, and never the same for all."""

from __future__ import annotations

import random
import time


class Backoff:
    """Pauses from `shortest` to `longest` seconds. Before the first failure there is none."""

    def __init__(self, shortest: float = 0.1, longest: float = 2.0) -> None:
        self._shortest = shortest
        self._longest = longest
        self._pause = 0.0
        self._not_before = 0.0

    @property
    def over(self) -> bool:
        """Whether it is time for the next try."""
        return time.monotonic() >= self._not_before

    @property
    def failing(self) -> bool:
        return self._pause > 0

    def failed(self) -> float:
        """Begins a pause and returns its seconds."""
        self._pause = min(max(self._shortest, 2 * self._pause), self._longest)
        seconds = self._pause * random.uniform(0.5, 1)  # noqa: S311
        self._not_before = time.monotonic() + seconds
        return seconds

    def worked(self) -> None:
        self._pause = self._not_before = 0.0
