"""Jobs and outcomes as the tests of the broker use them."""

from __future__ import annotations

from typing import Any

from broker.jobs import Jobs
from broker.leases import Leases
from broker.work import Limits, Work
from contract.jobs import Job, PredictionJob, PredictionOutcome

CHANNEL = "mg:reply:test"


def job(job_id: str, rows: int = 1, model: str = "sum", version: int = 1, **changes: Any) -> PredictionJob:
    return PredictionJob(job_id, "2026-01-02T03:04:05.000006Z", model, version, [[1.0, 2.0]] * rows, **changes)


def outcome(*predictions: float) -> PredictionOutcome:
    return PredictionOutcome(list(predictions), None, ["late"], 0.25, len(predictions))


def read(jobs: Jobs, job_id: str) -> Job:
    (found,) = jobs.read([job_id])
    assert found is not None
    return found


def take(work: Work, **limits: Any) -> list[str]:
    """The ids of the next batch."""
    batch = work.take(Limits(**limits))
    return [one.id for one in batch.jobs] if batch else []


def scorer(leases: Leases, connection: Any, inc: str = "w-0-x") -> Work:
    """A scorer that may take."""
    leases.register(inc)
    return Work(connection, inc)
