"""Payloads and outcomes of jobs, and the names under which the services meet in Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from contract.errors import Failure, FieldError

Value = str | int | float | bool | None
Row = Sequence[Value]
"""One instance: a value for each input of the signature, in its order."""


def reply_channel(listener: str) -> str:
    """Return the channel on which the gateway process `listener` receives the jobs that it waits for."""
    return f"mg:reply:{listener}"


def timestamp(moment: datetime) -> str:
    """Return a time as RFC 3339 in UTC with microseconds, as RQ stores it and callers see it."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class Status(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        return self not in (Status.QUEUED, Status.RUNNING)


@dataclass(frozen=True)
class Refused:
    """The invalid instances of a lenient request: their numbers, from 0, and the first of their errors."""

    numbers: Sequence[int]
    errors: Sequence[FieldError]


@dataclass(frozen=True)
class PredictionJob:
    """The payload of a prediction job: `rows` fit the signature of the pinned version.

    `ids` (one an instance, or None), `warnings` and `refused` (None: not a lenient request) are only passed back to the
    reader. A job that has not started `expires_after` seconds after its acceptance expires. Its end is published to the
    channel `reply_to`.
    """

    id: str
    created_at: str
    model: str
    version: int
    rows: Sequence[Row]
    ids: Sequence[Value] | None = None
    warnings: Sequence[str] = ()
    expires_after: float | None = None
    reply_to: str | None = None
    refused: Refused | None = None


@dataclass(frozen=True)
class PredictionOutcome:
    """The result of scoring the rows of one job.

    `predictions` has one value a row; `probabilities`, where the model has them, one
    mapping of class label (as text) to probability a row. `predict_ms` is the time of the
    `predict` call that the job was part of, `batch_rows` the rows of that call.
    """

    predictions: Sequence[Value]
    probabilities: Sequence[Mapping[str, float | None]] | None
    warnings: Sequence[str]
    predict_ms: float
    batch_rows: int

    def to_json(self) -> dict[str, object]:
        return {
            "predictions": list(self.predictions),
            "probabilities": None if self.probabilities is None else [dict(p) for p in self.probabilities],
            "warnings": list(self.warnings),
            "predict_ms": self.predict_ms,
            "batch_rows": self.batch_rows,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PredictionOutcome:
        return cls(
            predictions=data["predictions"],
            probabilities=data["probabilities"],
            warnings=data["warnings"],
            predict_ms=data["predict_ms"],
            batch_rows=data["batch_rows"],
        )


@dataclass(frozen=True)
class Job:
    """A job as `GET /v1/jobs/{id}` shows it. Times are RFC 3339 in UTC; absent parts are None. A training's
    `version` is the one that it made."""

    id: str
    status: Status
    model: str
    version: int | None
    created_at: str | None
    kind: str = "prediction"
    started_at: str | None = None
    completed_at: str | None = None
    progress: Mapping[str, object] | None = None
    output: Mapping[str, object] | None = None
    error: Failure | None = None
    warnings: Sequence[str] = ()
    metrics: Mapping[str, object] | None = field(default=None)

    def to_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "kind": self.kind,
            "status": str(self.status),
            "model": {"name": self.model, "version": self.version},
            "created_at": self.created_at,
            "started_at": self.started_at,
            "completed_at": self.completed_at,
            "progress": self.progress,
            "output": self.output,
            "error": self.error.to_json() if self.error else None,
            "warnings": list(self.warnings),
            "metrics": self.metrics,
        }
