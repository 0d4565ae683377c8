"""Sample jobs and outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from redis import Redis

from broker.records.job_kinds import TRAINING
from broker.records.lease_groups import TRAINERS
from broker.sides.gateway.job_client import Jobs
from broker.sides.scorer import BatchLimits, ScorerQueue
from broker.sides.single_jobs import SingleJobs
from broker.sides.supervisor import Leases
from broker.sides.trainer import publish_recipes
from contract.work.api_keys import Key, Limits, Scope
from contract.work.jobs import Job, PredictionJob, PredictionOutcome
from tests.support import SIGNER

CHANNEL = "mg:reply:test"


def job(job_id: str, rows: int = 1, model: str = "sum", version: int = 1, **changes: Any) -> PredictionJob:
    return PredictionJob(job_id, "2026-01-02T03:04:05.000006Z", model, version, [[1.0, 2.0]] * rows, **changes)


def key(name: str, owner: str, limits: Limits | None = None) -> Key:
    return Key(name, name, owner, frozenset({Scope.PREDICT}), limits=limits or Limits())


def outcome(*predictions: float) -> PredictionOutcome:
    return PredictionOutcome(list(predictions), None, ["late"], 0.25, len(predictions))


def read(jobs: Jobs, job_id: str) -> Job:
    (job,) = jobs.read([job_id])
    assert job is not None
    return job


def published(jobs: Jobs, job_id: str) -> Job:
    """Read a job as the message of its end has it: without who took it, which no waiting request needs."""
    return replace(read(jobs, job_id), worker="")


def take(queue: ScorerQueue, **limits: Any) -> list[str]:
    """Take the next batch and return its ids."""
    batch = queue.take(BatchLimits(**limits))
    return [job.id for job in batch.jobs] if batch else []


def trainer(
    redis: Redis,
    recipes: Sequence[str],
    parameters: Mapping[str, Any] | None = None,
    inc: str = "t-0-x",
    host: str = "",
) -> SingleJobs:
    """Register a trainer that has published its recipes, and return its queue."""
    Leases(redis, lease=60, group=TRAINERS).register(inc, host=host, queues=[TRAINING.queue])
    queue = SingleJobs(redis, inc, TRAINING, SIGNER)
    publish_recipes(redis, recipes, parameters or {})
    return queue


def scorer(leases: Leases, connection: Any, inc: str = "w-0-x") -> ScorerQueue:
    """Register a scorer and return its queue."""
    leases.register(inc)
    return ScorerQueue(connection, inc)
