"""The scorer: takes batches of jobs from Redis, scores them and writes their outcomes."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TypeVar

import numpy as np
from redis.exceptions import RedisError

from broker.connection import connect
from broker.scorer import Batch, BatchLimits, ScorerQueue
from broker.scripts import FencedError
from contract.repository import Repository
from contract.settings import Settings
from runtime.backoff import Backoff
from runtime.limits import limit_memory, prefer_for_oom_kill
from worker.activity import ActivityTable
from worker.batch_scorer import BatchScorer
from worker.model_cache import ModelCache
from worker.pace import Pace
from worker.slow_models import SlowModels

log = logging.getLogger("worker")

MAX_JOBS = 128
"""The most jobs of a batch. Redis is blocked while it moves them, for about 15 µs each."""

T = TypeVar("T")


class _Stopped(Exception):
    """The scorer was stopped while it waited for work."""


class Scorer:
    """Processes one batch after the other."""

    def __init__(
        self,
        queue: ScorerQueue,
        batch_scorer: BatchScorer,
        pace: Pace,
        models: Collection[str],
        skip: Callable[[], frozenset[str]],
    ) -> None:
        """It takes jobs of `models` (empty: all), without the models that `skip` returns."""
        self._queue = queue
        self._batch_scorer = batch_scorer
        self._pace = pace
        self._models = frozenset(models) or None
        self._skip = skip
        self._limits = BatchLimits(rows=1, jobs=MAX_JOBS, models=self._models)
        self._limits_key: tuple[int, frozenset[str]] = (0, frozenset())
        self._stopping = False
        self._waiting = False

    def stop(self) -> None:
        """Finish the current batch and take no more. For a signal handler: interrupts the wait for work."""
        self._stopping = True
        if self._waiting:
            raise _Stopped

    def run(self) -> None:
        """Process batches until it is stopped or memory runs out. Raises `FencedError` if its lease is gone."""
        with suppress(_Stopped):
            while not self._stopping and not self._batch_scorer.out_of_memory:
                if not self.step():
                    self._waiting = True
                    self._retrying(lambda: self._queue.wait_for_work(self._limits))
                    self._waiting = False

    def step(self) -> bool:
        """Process one batch; return False if there was none."""
        batch = self._retrying(self._take)
        if batch is None:
            return False
        outcomes = self._batch_scorer.score(batch)
        self._retrying(lambda: self._queue.finish(outcomes), even_when_stopping=True)
        return True

    def _take(self) -> Batch | None:
        now = (self._pace.revision, self._skip())
        if now != self._limits_key:
            self._limits_key = now
            rows = dict(self._pace.rows)
            self._limits = BatchLimits(rows=1, jobs=MAX_JOBS, model_rows=rows, models=self._models, skip=now[1])
        return self._queue.take(self._limits)

    def _retrying(self, call: Callable[[], T], *, even_when_stopping: bool = False) -> T | None:
        """Return the result of `call`, repeated until Redis answers; None if the scorer is stopped meanwhile."""
        backoff = Backoff()
        while even_when_stopping or not self._stopping:
            try:
                return call()
            except RedisError as error:
                if not backoff.failing:
                    log.warning("a scorer lost Redis and tries again: %s", error)
                time.sleep(backoff.failed())
        return None


def run_scorer(
    slot: int, inc: str, activities: ActivityTable, cache: ModelCache, repository: Repository, settings: Settings
) -> None:
    """Be a scorer, in a process that the template has forked, until it is stopped."""
    # Without the template all scorers would have to load their models anew.
    prefer_for_oom_kill(500)
    limit_memory(settings.scorer_memory_mb)
    np.random.seed()  # all scorers have inherited the state of the template
    pace = Pace(settings.batch_ms)
    slow_models = SlowModels(
        activities, slot, settings.workers, pace, lambda: settings.worker_models or repository.names()
    )
    batch_scorer = BatchScorer(
        cache,
        pace,
        timeout=settings.predict_timeout,
        begin=lambda ids, seconds: activities.begin(slot, ids, seconds),
        end=lambda: activities.end(slot),
    )
    queue = ScorerQueue(connect(settings.redis_url, own=True), inc)
    scorer = Scorer(queue, batch_scorer, pace, settings.worker_models, slow_models.skipped)
    signal.signal(signal.SIGTERM, lambda *_: scorer.stop())
    # A process that a model forks has to end on SIGTERM as usual.
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    try:
        scorer.run()
    except FencedError as error:
        log.warning("a scorer ends: %s", error)
