"""The bulk lane of a scorer of a test."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from redis import Redis

from broker.sides.file_tasks import FileTasks
from scoring.pace import Pace
from storage.spool.store import Spool
from worker.bulk_lane import BulkLane
from worker.file_work import FileWork
from worker.job_ends import Observer
from worker.model_cache import ModelCache


def bulk_lane(
    redis: Redis,
    spool: Path,
    inc: str,
    cache: ModelCache,
    pace: Pace,
    skip: Callable[[], Collection[str]] = frozenset,
    ended: Observer = lambda end: None,
) -> BulkLane:
    return BulkLane(
        FileTasks(redis, inc),
        FileWork(Spool(spool, 100), inc, cache.get),
        models=None,
        skip=skip,
        awaits=lambda model, version: False,
        timeout=30,
        begin=lambda ids, seconds: None,
        end=lambda: None,
        predicted=lambda model, version, rows, seconds: pace.record(model, version, rows, seconds * 1000),
        ended=ended,
    )
