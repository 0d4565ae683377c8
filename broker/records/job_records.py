"""The record of a job in Redis ↔ the jobs, outcomes and failures of the contract."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from broker.records.lease_groups import SCORERS, TRAINERS, worker_of
from contract.errors import Failure
from contract.work.jobs import Job, PredictionJob, Status
from runtime import exact_json
from runtime.exact_json import JsonText

PARTS = tuple(str(number) for number in range(1, 17))
"""The fields of an ended job with its end as JSON, which `endings.lua` cuts into short parts (ADR 26)."""

_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
STATUSES = {
    "queued": Status.QUEUED,
    "started": Status.RUNNING,
    "finished": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "canceled": Status.CANCELED,
}
"""RQ's status of a job, and ours."""

COMMON_FIELDS = (
    "status",
    "origin",
    "created_at",
    "enqueued_at",
    "started_at",
    "ended_at",
    "worker_name",
)
"""The fields of a job's hash that every kind is read with."""


def dumps(value: object) -> str:
    """Return JSON on one line without spaces. Raises `ValueError` for a number that is not finite."""
    return _encoder.encode(value)


# Into Redis


def job_data(function: str, *payload: Mapping[str, Any]) -> bytes:
    """Return RQ's `data`: the function's dotted path, no instance, arguments, keyword arguments. An ended job has no
    `payload`."""
    return exact_json.dumps([function, None, payload, {}])


def echo(job: PredictionJob) -> str:
    """Return as JSON what a prediction job only carries along for its reader; '' if there is nothing."""
    if job.refused is None and not job.ids and not job.warnings:
        return ""
    along: dict[str, object] = {"ids": job.ids, "warnings": list(job.warnings)}
    if job.refused is not None:
        along["refused"] = list(job.refused.numbers)
        along["errors"] = [error.to_json() for error in job.refused.errors]
    return dumps(along)


def further_fields(job: PredictionJob) -> str:
    """Return as JSON the fields of a prediction job that few have; '' if it has none."""
    if not (job.idempotency or job.webhook):
        return ""
    fields = {"idempotency": job.idempotency, "webhook": job.webhook}
    return dumps({name: value for name, value in fields.items() if value})


def finished(outcome: Mapping[str, object] | Failure) -> tuple[str, str]:
    """Return FINISH's arguments for an outcome: its code, and the output or failure as JSON.

    Raises `ValueError` for an output that JSON cannot hold.
    """
    return ("2", failed(outcome)) if isinstance(outcome, Failure) else ("1", _output_json(outcome))


def _output_json(outcome: Mapping[str, object]) -> str:
    """Return what `dumps` returns, up to escapes, in a tenth of the time: a scorer writes one for each job."""
    try:
        text = orjson.dumps(outcome).decode()
    except TypeError:  # half of a surrogate pair, or a whole number beyond 64 bits
        return dumps(outcome)
    # orjson writes null for a number that is not finite, which `dumps` refuses.
    return text if text.count("null") == (outcome.get("probabilities", 0) is None) else dumps(outcome)


def failed(failure: Failure) -> str:
    """Return a failure as JSON, as the scripts take it."""
    return dumps(failure.to_json())


# Out of Redis


def end_of(parts: Iterable[bytes | None]) -> dict[str, Any]:
    """Return the end of a job in its fields `PARTS`: `echo`, `result`, `failure`, `outcome`, as far as it has them."""
    text = b"".join(part for part in parts if part)
    end: dict[str, Any] = exact_json.loads(text) if text else {}
    return end


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


def payload_of(text: bytes, function: str) -> Mapping[str, Any]:
    """Return the one argument in RQ's `data`, decompressed by `plain`. Raises `ValueError` for any other content, and
    for a job that names another function."""
    try:
        path, instance, (payload,), _ = exact_json.loads(text)
    except (ValueError, TypeError) as error:
        raise ValueError(f"the job cannot be read: {type(error).__name__}: {error}") from error
    if path != function or instance is not None:
        raise ValueError(f"the job names {path!r}, which this worker does not run")
    if not isinstance(payload, dict):
        raise ValueError("the job's argument is not an object")
    return payload


def read_prediction(data: Mapping[str, Any], kind: str, model: str) -> Job:
    """Return the job of a hash with the fields `data`, which are parsed; `result` is RQ's return value, with
    the answers in it, or as text, the members of an object, in `answers`."""
    along = data.get("echo") or {"ids": None, "warnings": []}
    result = data.get("result") if data["status"] == "finished" else None
    return Job(
        kind=kind,
        model=model,
        version=int(data["version"]),
        output=_output(result, along) if result else None,
        warnings=[*along["warnings"], *(result["warnings"] if result else ())],
        public_warnings=along["warnings"],
        metrics=None if not result else _metrics(result, data.get("enqueued_at"), data.get("started_at")),
        **common_parts(data, SCORERS.crashed),
    )


def read_training(data: Mapping[str, Any], kind: str, _: str) -> Job:
    """Return the job of a hash with the fields `data`, as `read_prediction` does. Its model is in RQ's `meta`."""
    output = data.get("result")
    return Job(
        kind=kind,
        model=_model_in(data.get("meta", "")),
        version=output.get("version") if isinstance(output, dict) else None,
        progress=data.get("progress"),
        output=output,
        **common_parts(data, TRAINERS.crashed),
    )


_ANSWERS = ("predictions", "probabilities", "scores")
_PHASES = {"plan": "reading", "score": "scoring", "assemble": "writing"}
"""The stages of a file prediction, and what its progress calls them."""


def read_file_prediction(data: Mapping[str, Any], kind: str, model: str) -> Job:
    """Return the job of a hash with the fields `data`, as `read_prediction` does."""
    total, done, nulls = (int(data.get(name, 0)) for name in ("rows_total", "rows_done", "rows_null"))
    result = data.get("result") if data["status"] == "finished" else None
    parts = {**common_parts(data, SCORERS.crashed), "worker": ""}  # any worker takes its tasks
    job = Job(kind=kind, model=model, version=int(data["version"]), **parts)
    if job.status is Status.RUNNING or result is not None:
        fraction = min(1.0, done / total) if total else 0.0
        phase = _PHASES.get(data.get("stage", ""), "")
        job.progress = {"fraction": fraction, "done": done, "total": total or None, "unit": "rows", "phase": phase}
    if result is not None:
        job.output = {
            "rows": done,
            "errors": int(data.get("rows_refused", 0)),
            "href": f"/v1/jobs/{job.id}/output",
            "format": data.get("format", ""),
        }
        lost = [f"{nulls} of {done} predictions are not finite numbers and are empty"] if nulls else []
        job.warnings, job.public_warnings = [*result.get("warnings", ()), *lost], ()
    return job


def common_parts(data: Mapping[str, Any], crashed: Failure) -> dict[str, Any]:
    """Return the parts of a `Job` that are read alike in every kind. A job that failed without a failure of ours failed
    with `crashed`."""
    status, error = STATUSES[data["status"]], None
    if status is Status.CANCELED and data.get("outcome") == "expired":
        status = Status.EXPIRED
    elif status is Status.FAILED:
        failure = data.get("failure")
        error = Failure.from_json(failure) if failure else crashed
    return {
        "id": data["id"],
        "status": status,
        "created_at": data.get("created_at"),
        "started_at": data.get("started_at"),
        "completed_at": data.get("ended_at"),
        "owner": data.get("owner", ""),
        "error": error,
        "worker": _worker(data),
    }


def _worker(data: Mapping[str, Any]) -> str:
    """Return who took a job, by the name that `/v1/system` has: the name of a worker, or the host of a trainer."""
    holder = data.get("worker_name")
    if not holder or not data.get("started_at"):  # stock RQ may have queued it again
        return ""
    # The incarnation of a trainer's process names its queue, too (trainer/jobs/runner.py).
    return worker_of(holder).removesuffix(f"-{data['origin']}")


def _model_in(meta: str) -> str:
    """Return the model in RQ's `meta`, or '' for the pickle that stock RQ may have written."""
    try:
        return str(json.loads(meta)["model"])
    except (ValueError, TypeError, KeyError):
        return ""


def _output(result: Mapping[str, Any], along: Mapping[str, Any]) -> Mapping[str, object]:
    """Return the output. In that of a lenient request each row that was not scored is null, and `errors` says why."""
    text, ids = result.get("answers"), along["ids"]
    if not isinstance(text, bytes):  # which no JSON holds
        answers = {name: result[name] for name in _ANSWERS if name in result}
    elif "errors" in along:
        answers = exact_json.loads(b"{%b}" % text)
    else:
        return JsonText(b'{%b,"ids":%b}' % (text, b"null" if ids is None else dumps(ids).encode()))
    if "errors" not in along:
        return {**answers, "ids": ids}
    gaps = frozenset(along["refused"])
    filled = {name: _with_gaps(values, gaps) if values else values for name, values in answers.items()}
    return {**filled, "ids": ids, "errors": along["errors"]}


def _with_gaps(values: Any, gaps: frozenset[int]) -> list[object]:
    """Return the values in order, with None at the positions `gaps`."""
    rest = iter(values)
    return [None if position in gaps else next(rest) for position in range(len(values) + len(gaps))]


def _metrics(result: Mapping[str, Any], enqueued: str | None, started: str | None) -> dict[str, object]:
    queue_ms = None
    if enqueued and started:
        waited = datetime.fromisoformat(started) - datetime.fromisoformat(enqueued)
        queue_ms = round(max(0.0, waited.total_seconds() * 1000), 3)
    return {"queue_ms": queue_ms, "predict_ms": result["predict_ms"], "batch_rows": result["batch_rows"]}
