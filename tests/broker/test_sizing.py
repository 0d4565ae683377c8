"""What jobs cost Redis: the target for a single row, and the formula of docs/reference/sizing.md."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest
from redis import Redis

from broker.sides.gateway.job_client import Jobs
from broker.sides.scorer import BatchLimits, ScorerQueue
from broker.sides.supervisor import Leases
from contract.work.jobs import PredictionJob, PredictionOutcome

pytestmark = pytest.mark.waits

JOBS = 300
SCORER = "3f2a9c1d4b5e-0-1a2b3c4d"
"""As a container names it."""
DAY = "2026-01-02T03:04:05.000006Z"


@dataclass(frozen=True)
class Shape:
    rows: int
    columns: int
    classes: int = 0
    """With their probabilities; 0: none."""


SHAPES = [Shape(1, 4), Shape(1, 30), Shape(100, 4), Shape(1, 4, 3), Shape(10, 10, 2), Shape(100, 4, 3), Shape(1000, 30)]


def waiting(shape: Shape, *, valkey: bool, value: float = 4) -> float:
    """The bytes of a job that waits, by the documented formula. `value`: characters of a value."""
    return (800 if valkey else 1200) + 1.1 * shape.rows * (shape.columns * (value + 1) + 2)


def finished(shape: Shape, prediction: float = 2, label: float = 8) -> float:
    """The bytes of a job that has finished, by the documented formula. `prediction` and `label`: their characters."""
    text = 80 + shape.rows * (prediction + 1 + shape.classes * (label + 24))
    return 600 + 1.1 * (text - 80) + (600 if text > 1008 else 0)


def job(number: int, shape: Shape, chance: random.Random) -> PredictionJob:
    rows = [[round(chance.uniform(1, 99), 1) for _ in range(shape.columns)] for _ in range(shape.rows)]
    return PredictionJob(f"{number * 2654435761:032x}", DAY, "iris", 1, rows, reply_to="mg:reply:" + 32 * "0")


def outcome(shape: Shape, chance: random.Random) -> PredictionOutcome:
    labels = [f"class-{number:02}" for number in range(shape.classes)]
    probabilities = [{label: chance.random() for label in labels} for _ in range(shape.rows)] if labels else None
    return PredictionOutcome([chance.randrange(10, 99) for _ in range(shape.rows)], probabilities, [], 0.214, 64)


def bytes_of(redis: Any, pattern: str) -> int:
    keys = list(redis.scan_iter(pattern, count=1000))
    with redis.pipeline() as pipeline:
        for key in keys:
            pipeline.memory_usage(key, samples=0)
        return sum(pipeline.execute())


def measured(redis: Redis, shape: Shape, jobs: int) -> tuple[float, float]:
    """Return the bytes of a waiting and of a finished job, with what they add to lists and indexes."""
    chance = random.Random(7)
    made = Jobs(redis, max_queue_rows=10_000_000, timeout=30, result_ttl=3600)
    Leases(redis, lease=600).register(SCORER)
    queue = ScorerQueue(redis, SCORER)
    for start in range(0, jobs, 100):
        made.submit([job(number, shape, chance) for number in range(start, start + 100)])
    before = bytes_of(redis, "rq:job:*") + bytes_of(redis, "rq:queue:*")
    while batch := queue.take(BatchLimits(rows=10_000_000)):
        queue.finish({job.id: outcome(shape, chance) for job in batch.jobs})
    after = bytes_of(redis, "rq:job:*") + bytes_of(redis, "mg:ended:*")
    return before / jobs, after / jobs


def test_a_finished_row_of_iris_costs_less_than_700_bytes(redis: Redis) -> None:
    made = Jobs(redis, max_queue_rows=100_000, timeout=30, result_ttl=3600)
    Leases(redis, lease=600).register(SCORER)
    queue, count = ScorerQueue(redis, SCORER), 10_000
    for start in range(0, count, 500):
        made.submit([job(number, Shape(1, 4), random.Random(number)) for number in range(start, start + 500)])
    while batch := queue.take(BatchLimits(jobs=1000, rows=1000)):
        queue.finish({job.id: PredictionOutcome([0], None, [], 0.214, 1000) for job in batch.jobs})
    sizes = [redis.memory_usage(key, samples=0) or 0 for key in redis.scan_iter("*", count=1000)]
    assert redis.dbsize() < count + 20
    assert sum(sizes) / count <= 700


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_formula_is_right_within_a_fifth(redis: Redis, shape: Shape) -> None:
    before, after = measured(redis, shape, JOBS if shape.rows < 1000 else 100)
    valkey = "valkey_version" in redis.info("server")
    assert before == pytest.approx(waiting(shape, valkey=valkey), rel=0.2)
    assert after == pytest.approx(finished(shape), rel=0.2)
