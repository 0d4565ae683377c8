"""File predictions for the gateway: submitted here, then read, cancelled and deleted like every job."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis

from broker.link.idempotency import made_in
from broker.link.scripts import Durability, Durable
from broker.records.job_kinds import FILE_PREDICTION
from broker.records.job_records import dumps, job_data
from contract.model.environments import TODAY
from contract.work.jobs import FileRequest
from contract.work.prediction_log import LoggedRequest


class NoWorker(Exception):
    """No worker serves the environment of the job's version."""


@dataclass(frozen=True)
class FileSubmission:
    """A file prediction to submit, of a version that lives in `environment`. It belongs to `owner` ('': to nobody),
    `caller` is the id of the key that sent it, and `request` has the ids of its request. It expires unless it has
    started `expires_after` seconds after its acceptance. Its end is reported to the URL `webhook`. `idempotency`
    has the key and the fingerprint of its request, if it has a key. `logged`: what the prediction log gets of the
    request; None: it does not get the file."""

    id: str
    created_at: str
    file_request: FileRequest
    environment: str = TODAY
    owner: str = ""
    caller: str = ""
    request: str = ""
    expires_after: float | None = None
    webhook: str = ""
    idempotency: str = ""
    logged: LoggedRequest | None = None


class FileJobs(Durable):
    """Submits file predictions. Raises `redis.exceptions.RedisError`."""

    def __init__(
        self, connection: Redis, *, timeout: int, result_ttl: int, durability: Durability | None = None
    ) -> None:
        """`timeout`, of one step, and `result_ttl`, of one that has ended, are in seconds. `durability` says when a job
        is accepted."""
        super().__init__(connection, durability)
        self._timeout = timeout
        self._result_ttl = result_ttl

    def submit(self, job: FileSubmission, most: int) -> str | None:
        """Submit a job whose file is in its folder, and return its id, or that of an earlier request with the same
        idempotency key. Returns None if as many files of its owner wait or run for the model as may. Harmless to
        repeat. Raises `SlowDiskError` and `TooFewReplicas` (the job may be in Redis then), `NoWorker` and
        `broker.link.idempotency.IdempotencyConflict`."""
        file_request = job.file_request
        expires = "" if job.expires_after is None else max(0, round(job.expires_after * 1000))
        fields: dict[str, str | bytes | int] = {
            "data": job_data(FILE_PREDICTION.function, file_request.to_json()),
            "version": file_request.version,
            "created_at": job.created_at,
            "timeout": self._timeout,
            "result_ttl": self._result_ttl,
            "failure_ttl": self._result_ttl,
            "description": f"{file_request.model}@{file_request.version}",
            "format": file_request.output,
            "stage": "plan",
            "tasks": 1,
        }
        further = {
            "caller": job.caller,
            "request": job.request,
            "webhook": job.webhook,
            "idempotency": job.idempotency,
            "log": "" if job.logged is None else dumps(job.logged),
        }
        fields |= {name: text for name, text in further.items() if text}
        queue = FILE_PREDICTION.queue_of(file_request.model, job.owner, job.environment)
        flat = [part for field in fields.items() for part in field]
        answer = self._write("enqueue", [queue, job.id, expires, "", most, *flat])
        if answer == b"no_worker":
            raise NoWorker
        return (made_in(answer) or job.id) if answer else None
