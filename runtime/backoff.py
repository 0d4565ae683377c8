"""Pauses between retries: each longer than the one before, and random, so that processes do not retry in step."""

from __future__ import annotations

import random
import time


class Backoff:
    """Pauses of `shortest` to `longest` seconds; each is twice as long as the one before, less up to half at random."""

    def __init__(self, shortest: float = 0.1, longest: float = 2.0) -> None:
        self._shortest = shortest
        self._longest = longest
        self._pause = 0.0
        self._not_before = 0.0

    @property
    def over(self) -> bool:
        """Whether the next try is due; also true before the first failure."""
        return time.monotonic() >= self._not_before

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""
        return self._pause > 0

    def failed(self) -> float:
        """Begin a pause and return its seconds."""
        self._pause = min(max(self._shortest, 2 * self._pause), self._longest)
        seconds = self._pause * random.uniform(0.5, 1)  # noqa: S311
        self._not_before = time.monotonic() + seconds
        return seconds

    def worked(self) -> None:
        """Forget all failures."""
        self._pause = self._not_before = 0.0
