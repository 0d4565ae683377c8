"""Collects reports of a process to Redis and sends them along with the next round trip that is made anyway."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from broker.link.scripts import Scripts, Step
from runtime.outages import repeat_in_thread

log = logging.getLogger(__name__)

PAUSE = 0.1
"""Seconds between two batches. A further script in a round trip costs the process some 50 µs; the requests of that time
share it. After half a second there would be so many receipts that all requests wait 10 ms for Redis."""

FLUSH_EVERY = 1.0
"""Seconds after which a process without other round trips sends its batch alone."""

Source = Callable[[], Sequence[Step]]
"""Returns the steps that report what has happened since the last call; few, or none.

Steps must be harmless to repeat, because a batch is sent again when its reply was lost. A script that adds to a counter
therefore gets the number of the report, and takes each number once. No source is called while Redis is away, so each
has to bound what it collects.
"""


class Outbox:
    """Collects steps from sources and sends them along. Threads and greenlets may share it.

    A batch stays as it is until Redis has answered; then the sources are asked again. So it holds one batch at most. A
    step that Redis refuses is dropped and logged, because Redis would refuse it again.
    """

    def __init__(self, connection: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        """`connection` is for `flush`. `clock` returns seconds."""
        self._scripts = Scripts(connection)
        self._clock = clock
        self._sources: list[Source] = []
        self._batch: list[Step] = []
        self._not_before = float("-inf")
        self._sending = threading.Lock()
        self._collecting: AbstractContextManager[object] = nullcontext()
        self._refused = False
        self._stopped = threading.Event()

    def add_source(self, source: Source) -> None:
        self._sources.append(source)

    def collect_under(self, lock: AbstractContextManager[object]) -> None:
        """Hold `lock` while the sources are asked: for a process with threads that hold it when they count. Greenlets
        need none."""
        self._collecting = lock

    def send(self, scripts: Scripts, steps: Sequence[Step]) -> list[Any]:
        """Run `steps` as `scripts.send` does, with a batch behind them if one is due. Returns the answers of `steps`.
        Raises `RedisError`; the batch stays if Redis has not answered."""
        if self._clock() < self._not_before or not self._sending.acquire(blocking=False):
            return scripts.send(steps)
        try:
            batch = self._next_batch()
            answers = scripts.attempt([*steps, *batch]) if batch else scripts.send(steps)
            self._sent(answers[len(steps) :])
        finally:
            self._sending.release()
        return scripts.checked(answers[: len(steps)])

    def flush(self) -> None:
        """Send the next batch alone: no round trip if there is none. Raises `RedisError`; then the batch stays."""
        with self._sending:
            if batch := self._next_batch():
                self._sent(self._scripts.attempt(batch))

    def start(self) -> None:
        """Flush from now on every `FLUSH_EVERY` seconds, in a thread: for a process that may make no round trips."""
        repeat_in_thread("outbox", self.flush, FLUSH_EVERY, log, self._stopped)

    def stop(self) -> None:
        """End the thread of `start`, and flush a last time. Raises `RedisError` as `flush` does."""
        self._stopped.set()
        self.flush()

    def _next_batch(self) -> list[Step]:
        if not self._batch:
            with self._collecting:
                self._batch = [step for source in self._sources for step in source()]
        return self._batch

    def _sent(self, answers: Sequence[Any]) -> None:
        self._batch = []
        self._not_before = self._clock() + PAUSE
        errors = [answer for answer in answers if isinstance(answer, ResponseError)]
        if errors and not self._refused:  # one line, also while Redis refuses every write
            log.warning("Redis refuses a report of this process, which is dropped: %s", errors[0])
        self._refused = bool(errors)
