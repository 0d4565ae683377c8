"""Periodic duties of a process, which survive an outage of Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from logging import Logger

from redis.exceptions import RedisError

from runtime.outages import Outages


@dataclass
class _Duty:
    interval: float
    run: Callable[[], object]
    due: float = 0.0


class Duties:
    """Functions that one thread calls at intervals, in the order in which they were added.

    A `RedisError` ends a round: the duty that raised it and those after it run again after a pause that grows. So each
    must be safe to repeat. The log gets one line when Redis is lost and one when it is back. Other exceptions pass.
    """

    def __init__(self, owner: str, log: Logger) -> None:
        """`owner` is the subject of the log lines."""
        self._duties: list[_Duty] = []
        self._outages = Outages(owner, log)

    def add(self, interval: float, run: Callable[[], object]) -> None:
        """Call `run` every `interval` seconds, for the first time in the next round; 0: in every round."""
        self._duties.append(_Duty(interval, run))

    @property
    def paused(self) -> bool:
        """Whether Redis is lost and the next try is not due yet."""
        return self._outages.paused

    def run_due(self) -> None:
        """Run one round: each duty that is due."""
        if self.paused:
            return
        try:
            for duty in self._duties:
                if time.monotonic() >= duty.due:
                    duty.run()
                    duty.due = time.monotonic() + duty.interval
        except RedisError as error:
            self._outages.failed(error)
        else:
            self._outages.worked()
