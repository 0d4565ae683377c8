"""Notices that a process is stuck: this one, or a child. Time in which this process itself was stopped does not count,
so after a pause of the container no process looks stuck."""

from __future__ import annotations

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

_LONGEST_STEP = 1.0
"""Most seconds that count between two calls."""


class Silence:
    """How long a process has shown no sign of progress."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._clock = clock
        self._looked_at = clock()
        self._sign: object = None
        self._seconds = 0.0

    def seconds(self, sign: object) -> float:
        """Return the seconds since `sign` has changed. Call it at least each second."""
        now = self._clock()
        step, self._looked_at = min(now - self._looked_at, _LONGEST_STEP), now
        self._seconds = self._seconds + step if sign == self._sign else 0.0
        self._sign = sign
        return self._seconds


class Watchdog:
    """Ends this process when its main loop is stuck, so that its parent restarts it."""

    def __init__(self, seconds: float) -> None:
        """The main loop has to call `beat` more often than every `seconds`, which must exceed the longest wait for
        Redis: a process never ends because Redis does not answer."""
        self._limit = seconds
        self._beats = 0
        self._silent = 0.0
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def beat(self) -> None:
        self._beats += 1

    def problems(self) -> list[str]:
        """Return a sentence if the main loop seems to be stuck, well before this process ends."""
        silent = self._silent
        return [f"its main loop has made no progress for {silent:.0f} s"] if silent > self._limit / 2 else []

    def _watch(self) -> None:
        silence = Silence()
        while self._silent < self._limit:
            time.sleep(min(_LONGEST_STEP, self._limit / 10))
            self._silent = silence.seconds(self._beats)
        log.critical("the main loop is stuck: no progress for %g s; the process ends and is restarted", self._limit)
        faulthandler.dump_traceback()
        os._exit(1)
