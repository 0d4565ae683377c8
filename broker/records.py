"""What Redis holds of a job ↔ the jobs, outcomes and failures of the contract."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from broker.scripts import Step
from contract.errors import Code, Failure
from contract.jobs import FUNCTIONS, PREDICT, Job, PredictionJob, PredictionOutcome, Row, Status
from contract.training import PUBLISHING, TRAINING

PREFIX = "predict:"
LARGEST_PUBLISHED = 16_000
"""Bytes of an outcome beyond which a message names only the job."""

CRASHED = Failure(Code.WORKER_CRASHED, "the worker process ended while it scored this job, time and again")
TRAINER_CRASHED = Failure(Code.TRAINER_CRASHED, "the trainer ended while it was at this job, and so it did once before")

_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_STATUS = {
    "queued": Status.QUEUED,
    "started": Status.RUNNING,
    "finished": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "canceled": Status.CANCELED,
}
FIELDS = (
    "status",
    "origin",
    "version",
    "created_at",
    "enqueued_at",
    "started_at",
    "ended_at",
    "outcome",
    "echo",
    "failure",
    "meta",
    "progress",
)


def of_predictions(queue: bytes) -> bool:
    """Return whether the jobs of this RQ queue are predictions."""
    return queue.startswith(PREFIX.encode())


def ours(queue: bytes) -> bool:
    """Whether the jobs of this queue of RQ live by our scripts."""
    return of_predictions(queue) or queue in (TRAINING.encode(), PUBLISHING.encode())


def dumps(value: object) -> str:
    """JSON on one line, as short as it gets. Raises `ValueError` for what is not finite."""
    return _encoder.encode(value)


def job_data(job: PredictionJob) -> bytes:
    """RQ's `data`: the function's dotted path, no instance, arguments, keyword arguments."""
    return orjson.dumps([PREDICT, None, [{"model": job.model, "version": job.version, "rows": job.rows}], {}])


def plain(data: bytes, most: int = 0) -> bytes:
    """Decompress RQ's `data`. Raises `ValueError` if it is invalid or has more than `most` bytes (0: no limit)."""
    if data[:1] == b"[":
        return data
    engine = zlib.decompressobj()
    try:
        text = engine.decompress(data, most)
    except zlib.error as error:
        raise ValueError(f"the job cannot be read: {type(error).__name__}: {error}") from error
    if engine.unconsumed_tail:
        raise ValueError(f"the job cannot be read: it has more than {most} bytes")
    return text


def payload_of(text: bytes, functions: Collection[str]) -> Mapping[str, Any]:
    """The one argument in RQ's `data`, as `plain` gives it. Raises `ValueError` for anything else, also when the job
    names none of `functions`."""
    try:
        path, instance, (payload,), _ = orjson.loads(text)
    except (ValueError, TypeError) as error:
        raise ValueError(f"the job cannot be read: {type(error).__name__}: {error}") from error
    if path not in functions or instance is not None:
        raise ValueError(f"the job names {path!r}, which this worker does not run")
    if not isinstance(payload, dict):
        raise ValueError("the job's argument is not an object")
    return payload


def rows_of(data: bytes) -> Sequence[Row]:
    """The rows in RQ's `data`. Raises `ValueError` as `plain` and `payload_of` do."""
    rows = payload_of(plain(data), FUNCTIONS).get("rows")
    if not isinstance(rows, list):
        raise ValueError("the job has no list of rows")
    return rows


def echo(job: PredictionJob) -> str:
    """What only travels along with a job, as JSON; empty when there is nothing."""
    if job.refused is None and not job.ids and not job.warnings:
        return ""
    along: dict[str, object] = {"ids": job.ids, "warnings": list(job.warnings)}
    if job.refused is not None:
        along["refused"] = list(job.refused.numbers)
        along["errors"] = [error.to_json() for error in job.refused.errors]
    return dumps(along)


def succeeded(outcome: PredictionOutcome) -> tuple[str, str, str]:
    """Kind, RQ's `return_value`, and the JSON that is published ('' when it is long)."""
    kind, value, text = returned(outcome.to_json())
    return kind, value, text if len(text) <= LARGEST_PUBLISHED else ""


def returned(value: Mapping[str, object]) -> tuple[str, str, str]:
    """Kind, RQ's `return_value`, and the value as JSON. Raises `ValueError` for what JSON cannot hold."""
    text = dumps(value)
    return "1", base64.b64encode(text.encode()).decode(), text


def failed(failure: Failure) -> tuple[str, str, str]:
    """Kind, RQ's `exc_string`, and the failure as JSON."""
    text = f"{failure.code}: {failure.message}"
    return "2", base64.b64encode(zlib.compress(text.encode())).decode(), dumps(failure.to_json())


def read_steps(job_id: str) -> tuple[Step, Step]:
    """The two commands whose answers `job_from_answers` understands."""
    return (
        ("HMGET", f"rq:job:{job_id}", *FIELDS),
        ("XREVRANGE", f"rq:results:{job_id}", "+", "-", "COUNT", 1),
    )


def job_from_answers(job_id: str, values: Sequence[bytes | None], result: Sequence[Any]) -> Job | None:
    """None when there is no such job, or when it is none of ours."""
    fields = {name: value.decode(errors="replace") for name, value in zip(FIELDS, values, strict=True) if value}
    training = fields.get("origin") == TRAINING
    if fields.get("status") not in _STATUS or not (training or "version" in fields):
        return None
    names = ("failure", "progress") if training else ("failure", "echo")
    parsed = {name: json.loads(fields[name]) for name in names if name in fields}
    if fields["status"] == "finished" and result:
        parsed["result"] = json.loads(base64.b64decode(result[0][1][b"return_value"]))
    return (_training if training else _prediction)({**fields, **parsed, "id": job_id})


def parse_reply(message: bytes) -> list[tuple[str, Job | None]]:
    """What a message on a reply channel tells: the ids of jobs that have ended, each with the whole job, or with None
    where the job has to be read: one too large to be published, or a training.

    A line that cannot be understood is left out: a message is a hint, whoever waits looks now and then anyway.
    """
    ended: list[tuple[str, Job | None]] = []
    for line in message.split(b"\n"):
        try:
            data = json.loads(line)
            whole = "status" in data and data["origin"].startswith(PREFIX)
            ended.append((data["id"], _prediction(data) if whole else None))
        except (ValueError, TypeError, KeyError):
            continue
    return ended


def _prediction(data: Mapping[str, Any]) -> Job:
    """A job from the fields of its hash, with `echo`, `failure` and `result` parsed."""
    status = _STATUS[data["status"]]
    if status is Status.CANCELED and data.get("outcome") == "expired":
        status = Status.EXPIRED
    along = data.get("echo") or {"ids": None, "warnings": []}
    result, failure = data.get("result"), data.get("failure")
    outcome = PredictionOutcome.from_json(result) if result and status is Status.SUCCEEDED else None
    if status is Status.FAILED:
        failure = Failure.from_json(failure) if failure else CRASHED
    return Job(
        id=data["id"],
        status=status,
        model=data["origin"].removeprefix(PREFIX),
        version=int(data["version"]),
        created_at=data.get("created_at"),
        started_at=data.get("started_at"),
        completed_at=data.get("ended_at"),
        output=None if outcome is None else _output(outcome, along),
        error=failure if status is Status.FAILED else None,
        warnings=[*along["warnings"], *(outcome.warnings if outcome else ())],
        metrics=None if outcome is None else _metrics(outcome, data.get("enqueued_at"), data.get("started_at")),
    )


def _training(data: Mapping[str, Any]) -> Job:
    """As `_prediction`, with `progress` parsed too."""
    status, output = _STATUS[data["status"]], data.get("result")
    failure = Failure.from_json(data["failure"]) if "failure" in data else TRAINER_CRASHED
    return Job(
        id=data["id"],
        kind="training",
        status=status,
        model=_model_in(data.get("meta", "")),
        version=output.get("version") if isinstance(output, dict) else None,
        created_at=data.get("created_at"),
        started_at=data.get("started_at"),
        completed_at=data.get("ended_at"),
        progress=data.get("progress"),
        output=output,
        error=failure if status is Status.FAILED else None,
    )


def _model_in(meta: str) -> str:
    """The model of a training. Stock RQ may have queued it with a `meta` that is a pickle: then nobody knows."""
    try:
        return str(json.loads(meta)["model"])
    except (ValueError, TypeError, KeyError):
        return ""


def _output(outcome: PredictionOutcome, along: Mapping[str, Any]) -> dict[str, object]:
    """Return the output of a lenient request: null for each row that was not scored, and the errors of these rows."""
    answers: dict[str, object] = {"predictions": outcome.predictions, "probabilities": outcome.probabilities}
    if "errors" not in along:
        return {**answers, "ids": along["ids"]}
    gaps = frozenset(along["refused"])
    filled = {name: _with_gaps(values, gaps) if values else values for name, values in answers.items()}
    return {**filled, "ids": along["ids"], "errors": along["errors"]}


def _with_gaps(values: Any, gaps: frozenset[int]) -> list[object]:
    """Return the values in order, with None at the positions `gaps`."""
    rest = iter(values)
    return [None if position in gaps else next(rest) for position in range(len(values) + len(gaps))]


def _metrics(outcome: PredictionOutcome, enqueued: str | None, started: str | None) -> dict[str, object]:
    queue_ms = None
    if enqueued and started:
        waited = datetime.fromisoformat(started) - datetime.fromisoformat(enqueued)
        queue_ms = round(max(0.0, waited.total_seconds() * 1000), 3)
    return {"queue_ms": queue_ms, "predict_ms": outcome.predict_ms, "batch_rows": outcome.batch_rows}
