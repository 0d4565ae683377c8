"""Outages of Redis: duties and threads that go on after them, and the log of their beginning and end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from logging import Logger

from redis.exceptions import RedisError

from runtime.backoff import Backoff


class Outages:
    """The log gets one line when Redis is lost and one when it is back. The pauses between tries grow."""

    def __init__(self, owner: str, log: Logger) -> None:
        """`owner` is the subject of the log lines."""
        self._owner = owner
        self._log = log
        self._backoff = Backoff()

    @property
    def paused(self) -> bool:
        """Whether Redis is lost and the next try is not due yet."""
        return not self._backoff.over

    def failed(self, error: RedisError) -> float:
        """Begin a pause after a failed try, and return its seconds."""
        if not self._backoff.failing:
            self._log.warning("%s lost Redis and tries again: %s", self._owner, error)
        return self._backoff.failed()

    def worked(self) -> None:
        """End the outage, if there is one."""
        if self._backoff.failing:
            self._log.info("%s has Redis again", self._owner)
            self._backoff.worked()


def repeat_in_thread(
    name: str, step: Callable[[], bool | None], pause: float, log: Logger, stopped: threading.Event | None = None
) -> threading.Thread:
    """Start a thread that calls `step` every `pause` seconds until it returns False or `stopped` is set.

    The thread goes on after any exception. It logs no `RedisError`, because requests report an outage, and none that is
    raised once `stopped` is set: what `step` uses may be closed by then.
    """
    stop = stopped or threading.Event()

    def run() -> None:
        while True:
            try:
                if step() is False:
                    return
            except RedisError:
                pass
            except Exception:
                if not stop.is_set():
                    log.exception("the thread %r failed and tries again", name)
            if stop.wait(pause):
                return

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


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
