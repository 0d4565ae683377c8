"""Jobs in and out of Redis, as the gateway needs them: submit some, read some."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from redis import Redis
from redis.exceptions import OutOfMemoryError, ResponseError
from rq.worker_registration import REDIS_WORKER_KEYS

from broker.scripts import script
from contract.errors import Code, Failure
from contract.jobs import PREDICT, Job, PredictionJob, PredictionOutcome, Status, prediction_queue

_STATUS = {
    "queued": Status.QUEUED,
    "started": Status.RUNNING,
    "finished": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "canceled": Status.CANCELED,
}
_FIELDS = ("status", "meta", "created_at", "enqueued_at", "started_at", "ended_at")


class Jobs:
    """The gateway's side of the queue. Every method raises `redis.exceptions.RedisError`."""

    def __init__(self, connection: Redis, *, max_queue_rows: int, timeout: int, result_ttl: int) -> None:
        """`timeout` of scoring one job and `result_ttl` of a finished one are in seconds."""
        self._redis: Any = connection
        self._submit = script(connection, "submit")
        self._max_queue_rows = max_queue_rows
        self._timeout = timeout
        self._result_ttl = result_ttl

    def submit(self, jobs: Sequence[PredictionJob]) -> list[bool]:
        """For each job whether it is in Redis now; False: the queue of its model is full.

        Submitting the same ids again is harmless.
        """
        accepted: list[bool] = []
        for model, group in itertools.groupby(jobs, key=lambda job: job.model):
            args: list[Any] = [prediction_queue(model), self._max_queue_rows, self._timeout, self._result_ttl]
            for job in group:
                args += [job.id, job.created_at, len(job.rows), _data(job), _meta(job)]
            try:
                accepted += [answer == 1 for answer in self._submit(args=args)]
            except ResponseError as error:
                # Older releases of Redis wrap a script's OOM into an error of their own.
                raise OutOfMemoryError(str(error)) if "OOM" in str(error) else error from None
        return accepted

    def read(self, ids: Sequence[str]) -> list[Job | None]:
        """The jobs with these ids; None where there is none (any more). One round trip."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for job_id in ids:
                pipeline.hmget(f"rq:job:{job_id}", _FIELDS)
                pipeline.xrevrange(f"rq:results:{job_id}", count=1)
            answers = pipeline.execute()
        return [
            _job(job_id, fields, result)
            for job_id, fields, result in zip(ids, answers[::2], answers[1::2], strict=True)
        ]

    def ping(self) -> None:
        self._redis.ping()

    def workers(self) -> int:
        """How many workers are alive."""
        names = self._redis.smembers(REDIS_WORKER_KEYS)
        return int(self._redis.exists(*names)) if names else 0


def _data(job: PredictionJob) -> str:
    payload = {"model": job.model, "version": job.version, "rows": job.rows}
    return json.dumps([PREDICT, None, [payload], {}], separators=(",", ":"))


def _meta(job: PredictionJob) -> str:
    meta = {"kind": "prediction", "model": job.model, "version": job.version}
    return json.dumps({**meta, "ids": job.ids, "warnings": list(job.warnings)}, separators=(",", ":"))


def _job(job_id: str, fields: Sequence[bytes | None], result: Sequence[Any]) -> Job | None:
    status, meta_text, created, enqueued, started, ended = (f.decode() if f else None for f in fields)
    if not status or not meta_text:
        return None
    meta = json.loads(meta_text)
    state = _STATUS.get(status, Status.FAILED)
    outcome = _outcome(result) if state is Status.SUCCEEDED else None
    return Job(
        id=job_id,
        status=state,
        model=meta["model"],
        version=meta["version"],
        created_at=created,
        started_at=started,
        completed_at=ended,
        output=None if outcome is None else _output(outcome, meta["ids"]),
        error=_failure(meta) if state is Status.FAILED else None,
        warnings=[*meta["warnings"], *(outcome.warnings if outcome else ())],
        metrics=None if outcome is None else _metrics(outcome, enqueued, started),
    )


def _outcome(result: Sequence[Any]) -> PredictionOutcome | None:
    if not result:
        return None
    _, fields = result[0]
    return PredictionOutcome.from_json(json.loads(base64.b64decode(fields[b"return_value"])))


def _output(outcome: PredictionOutcome, ids: Sequence[object] | None) -> dict[str, object]:
    return {"predictions": outcome.predictions, "probabilities": outcome.probabilities, "ids": ids}


def _metrics(outcome: PredictionOutcome, enqueued: str | None, started: str | None) -> dict[str, object]:
    queue_ms = None
    if enqueued and started:
        waited = datetime.fromisoformat(started) - datetime.fromisoformat(enqueued)
        queue_ms = round(max(0.0, waited.total_seconds() * 1000), 3)
    return {"queue_ms": queue_ms, "predict_ms": outcome.predict_ms, "batch_rows": outcome.batch_rows}


def _failure(meta: dict[str, Any]) -> Failure:
    if "error" in meta:
        return Failure.from_json(meta["error"])
    return Failure(Code.WORKER_CRASHED, "the worker that scored this job ended before it had an answer")
