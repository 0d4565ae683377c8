"""The processes of a gateway watch each other: gunicorn's first process and those that it starts."""

from __future__ import annotations

import mmap
import time
import zlib

from gunicorn.workers.workertmp import WorkerTmp

STUCK_AFTER = 10.0
"""Seconds without progress after which a process is reported. gunicorn replaces those that it starts after 30 s."""

_signs = memoryview(mmap.mmap(-1, 24)).cast("d")
"""When the first process has last looked at the others, and when it has last found one of them stuck; 0: never. Then a
number for the state of the system that was logged last. All processes share it."""


class Heartbeat(WorkerTmp):
    """The heartbeat of a process that gunicorn has started."""

    def last_update(self) -> float:
        """Return when the process has last made progress. The first process asks each second."""
        last: float = super().last_update()
        _signs[0] = now = time.monotonic()
        if now - last > STUCK_AFTER:
            _signs[1] = now
        return last


def stuck() -> list[str]:
    """Name the processes of this gateway that make no progress; none if gunicorn does not run."""
    looked, stuck_at, _ = _signs
    now = time.monotonic()
    first = ["the first process"] if looked and now - looked > STUCK_AFTER else []
    return first + (["a process"] if stuck_at and now - stuck_at < STUCK_AFTER / 2 else [])


def is_news(state: str) -> bool:
    """Return whether no process of this gateway has logged this state of the system last; this one does then."""
    number = float(zlib.crc32(state.encode()))
    news, _signs[2] = number != _signs[2], number
    return news
