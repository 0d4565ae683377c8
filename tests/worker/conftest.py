"""A scorer in the process of the test, with a real Redis and a model repository made by hand."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from broker.sides.gateway.job_client import Jobs
from broker.sides.scorer import ScorerQueue
from broker.sides.supervisor import Leases
from contract.model.repository import Repository
from contract.work.jobs import Job, PredictionJob
from scoring.pace import Pace
from scoring.trust import Trust
from tests.worker.lanes import bulk_lane, explanations
from worker.batch_scorer import BatchScorer
from worker.job_ends import Observer
from worker.model_cache import ModelCache, ModelLoader
from worker.scorer import Scorer

ALL = Trust()

MakeScorer = Callable[..., Scorer]


def job(job_id: str, model: str = "sum", rows: Any = ((1.0, 2.0),), **changes: Any) -> PredictionJob:
    return PredictionJob(job_id, "2026-01-02T03:04:05.000006Z", model, changes.pop("version", 1), rows, **changes)


def read(jobs: Jobs, job_id: str) -> Job:
    (job,) = jobs.read([job_id])
    assert job is not None
    return job


@pytest.fixture
def jobs(redis: Redis) -> Jobs:
    return Jobs(redis, max_queue_rows=100_000, timeout=1, result_ttl=60)


@pytest.fixture
def make_scorer(redis: Redis, models: Path) -> MakeScorer:
    def make(
        inc: str = "w-0-a",
        served: tuple[str, ...] = (),
        skipped: tuple[str, ...] = (),
        begin: Callable[..., object] = lambda ids, *seconds: None,
        trust: Trust = ALL,
        ended: Observer = lambda end: None,
        awaits: Callable[[str, int], bool] = lambda model, version: False,
    ) -> Scorer:
        Leases(redis, lease=60).register(inc)
        pace = Pace(inf)
        cache = ModelCache(ModelLoader(Repository(models), trust), lambda: 1_000_000)
        batches = BatchScorer(cache, pace, timeout=30, begin=begin, end=lambda: None)
        return Scorer(
            ScorerQueue(redis, inc),
            batches,
            explanations(redis, models, inc, cache, begin, awaits, ended),
            bulk_lane(redis, models.parent / "spool", inc, cache, pace, ended=ended),
            pace,
            served or None,
            lambda: frozenset(skipped),
            dict,
            awaits,
            ended,
            lambda: None,
            lambda: None,
        )

    return make


@pytest.fixture
def scorer(make_scorer: MakeScorer) -> Scorer:
    return make_scorer()


def drain(scorer: Scorer) -> int:
    """Score all waiting jobs; return the number of batches."""
    batches = 0
    while scorer.step():
        batches += 1
    return batches
