"""The bulk lane and the explanations of a scorer of a test."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from redis import Redis

from broker.sides.file_tasks import FileTasks
from broker.sides.scorer import ScorerQueue
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.row import Row
from contract.rows.background import background_of
from scoring.pace import Pace
from storage.spool.store import Spool
from worker.bulk_lane import BulkLane
from worker.explanations import Explanations
from worker.file_work import Background, FileWork
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
        FileWork(Spool(spool, 100), inc, cache, background_in(spool.parent / "models")),
        models=None,
        skip=skip,
        awaits=lambda model, version: False,
        timeout=30,
        begin=lambda ids, *seconds: None,
        end=lambda: None,
        predicted=lambda model, version, rows, seconds: pace.record(model, version, rows, seconds * 1000),
        ended=ended,
    )


def explanations(
    redis: Redis,
    models: Path,
    inc: str,
    cache: ModelCache,
    begin: Callable[..., object] = lambda ids, *seconds: None,
    awaits: Callable[[str, int], bool] = lambda model, version: False,
    ended: Observer = lambda end: None,
) -> Explanations:
    return Explanations(
        ScorerQueue(redis, inc),
        cache,
        background_in(models),
        awaits,
        timeout=30,
        begin=begin,
        end=lambda: None,
        ended=ended,
    )


def background_in(models: Path) -> Background:
    repository = Repository(models)

    def background(manifest: ModelManifest) -> tuple[Sequence[Row], Sequence[str]]:
        return background_of(repository.files(manifest.name, manifest.version), manifest)

    return background
