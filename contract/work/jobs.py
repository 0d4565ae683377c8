"""Payloads and outcomes of jobs, and the names under which the services meet in Redis."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

from contract.errors import Failure, FieldError
from contract.model.environments import TODAY
from contract.model.signature import PREDICT
from contract.row import Answer, Row, Value
from contract.rows.file_formats import FileFormat
from contract.work.api_keys import EVERYBODY, Key
from contract.work.explanations import ExplainRequest
from contract.work.prediction_log import LoggedRequest


def reply_channel(listener: str) -> str:
    """Return the channel on which the gateway process `listener` receives the jobs that it waits for."""
    return f"mg:reply:{listener}"


def timestamp(moment: datetime) -> str:
    """Return a time as RFC 3339 in UTC with microseconds, as RQ stores it and callers see it."""
    moment = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def timestamp_now() -> str:
    return timestamp(datetime.now(UTC))


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
class RefusedRows:
    """The invalid instances of a lenient request: their numbers, from 0, and the first of their errors."""

    numbers: Sequence[int]
    errors: Sequence[FieldError]


# Three of the next classes are made for every request; frozen dataclasses would take three times as long to make.


@dataclass(slots=True)
class PredictionJob:
    """The payload of a prediction job: `rows` fit the signature of the pinned version.

    `ids` (one an instance, or None), `warnings` and `refused` (None: not a lenient request) are only passed back to the
    reader. A job that has not started `expires_after` seconds after its acceptance expires. Its end is published to the
    channel `reply_to`. `request` has the ids of its request (`contract.work.request_ids`); '': that of the job.
    `method` of the model gets the rows. The version lives in `environment`. The job belongs to the owner of `caller`,
    whose limits hold for it. `idempotency`: key and fingerprint of a request that may be repeated, or ''. `webhook`:
    the URL that gets its end, or ''. `logged`: what the prediction log gets of the request beside rows and answers
    (`contract.work.prediction_log.logged_request`); None: it does not get this job. `explain`: what is to be explained,
    instead of predicted; then the job counts as `counts` rows."""

    id: str
    created_at: str
    model: str
    version: int
    rows: Sequence[Row]
    ids: Sequence[Value] | None = None
    warnings: Sequence[str] = ()
    expires_after: float | None = None
    reply_to: str | None = None
    refused: RefusedRows | None = None
    request: str = ""
    method: str = "predict"
    environment: str = TODAY
    caller: Key = EVERYBODY
    idempotency: str = ""
    webhook: str = ""
    logged: LoggedRequest | None = None
    explain: ExplainRequest | None = None
    counts: int = 0


@dataclass(slots=True)
class PredictionOutcome:
    """The result of scoring the rows of one job.

    `predictions` has the method's answer for each row; `probabilities`, where `predict` has them, one mapping of class
    label (as text) to probability a row, or with several outputs one of such by output; `scores`, where the signature
    says so, one number a row. `predict_ms` is the time of the call that the job was part of, `batch_rows` its rows.
    """

    predictions: Sequence[Answer]
    probabilities: Sequence[Answer] | None
    warnings: Sequence[str]
    predict_ms: float
    batch_rows: int
    scores: Sequence[Answer] | None = None

    def to_json(self) -> dict[str, object]:
        """The answers come last: the gateway passes the text from `predictions` on (`broker.state.job_reading`)."""
        data: dict[str, object] = {
            "warnings": self.warnings,
            "predict_ms": self.predict_ms,
            "batch_rows": self.batch_rows,
            "predictions": self.predictions,
            "probabilities": self.probabilities,
        }
        return data if self.scores is None else {**data, "scores": self.scores}


@dataclass(slots=True)
class Job:
    """A job as `GET /v1/jobs/{id}` shows it. Times are RFC 3339 in UTC; absent parts are None. A training's
    `version` is the one that it made. `owner`: '' if the job belongs to nobody; then it is not shown. Nor is `worker`,
    the worker or trainer that took the job, if it is '': not taken, not known, or none of the caller's business.
    `public_warnings`: those of the `warnings` that tell no more of a model than the key that sent the rows may know;
    None: all of them."""

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
    public_warnings: Sequence[str] | None = None
    metrics: Mapping[str, object] | None = field(default=None)
    owner: str = ""
    worker: str = ""

    def without_worker(self) -> Job:
        """Return a copy that does not say who took the job. Each request with a key needs one, and `replace` takes
        three times as long."""
        return Job(*_without_worker(self))

    def with_public_warnings(self) -> Job:
        """Return the job without the others."""
        return self if self.public_warnings in (None, self.warnings) else replace(self, warnings=self.public_warnings)

    def to_json(self) -> dict[str, object]:
        data: dict[str, object] = {
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
        if self.owner:
            data["owner"] = self.owner
        if self.worker:
            data["worker"] = self.worker
        return data


_without_worker = attrgetter(*(entry.name for entry in dataclasses.fields(Job) if entry.name != "worker"))
"""The values of a job in the order of its fields, of which `worker` is the last."""


@dataclass(frozen=True)
class FileRequest:
    """The payload of a file prediction: the rows of a file in the format `input` for a method of the pinned version.

    `lenient`: rows that cannot be used stay without a prediction; otherwise they fail the job. `escape`: cells of a CSV
    that a spreadsheet would run as formulas get a "'". `explain`: what is to be explained, instead of asking a method.
    """

    model: str
    version: int
    input: FileFormat
    output: FileFormat
    method: str = PREDICT.name
    lenient: bool = True
    escape: bool = False
    explain: ExplainRequest | None = None

    def to_json(self) -> dict[str, object]:
        data = dataclasses.asdict(self)
        if self.explain is None:
            del data["explain"]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FileRequest:
        """Raises `ValueError`, `KeyError` and `TypeError` for another payload."""
        read = {"input": FileFormat(data["input"]), "output": FileFormat(data["output"])}
        explain = {"explain": ExplainRequest.from_json(data["explain"])} if "explain" in data else {}
        return cls(**{**data, **read, **explain})
