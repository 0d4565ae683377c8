"""Trainings and repository commands in and out of Redis, as the gateway needs them."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from redis import Redis
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer

from broker.lease_groups import TRAINER_DEADLINES
from broker.scripts import Scripts
from broker.signatures import Signer
from broker.trainer_jobs import PARAMETERS, RECIPES, TRAINING_TTL, TrainerUnavailable, require_signer, training_job
from contract.errors import Failure, ModelgateError
from contract.jobs import Job, Status, timestamp
from contract.parameters import Parameter
from contract.training import PUBLISHING, REPOSITORY_COMMAND, TRAINING, RepositoryCommand, TrainingRequest

COMMAND_START_TIMEOUT = 3.0
"""Seconds within which a trainer takes a repository command; otherwise the command is withdrawn."""

_COMMAND_TTL = 60
"""Seconds that the result of a repository command is kept."""


class TrainerClient:
    """The gateway's side of the queues `training` and `publishing`. Raises `redis.exceptions.RedisError`."""

    def __init__(self, connection: Redis, signer: Signer | None, *, timeout: int, result_ttl: int) -> None:
        """`timeout` of a training and `result_ttl` of a finished one are in seconds."""
        self._redis: Any = connection
        self._scripts = Scripts(connection)
        self._signer = signer
        self._timeout = timeout
        self._result_ttl = result_ttl

    def submit(self, request: TrainingRequest) -> Job:
        """The training job, which is in Redis now. Raises `TrainerUnavailable` without a signer."""
        job = training_job(self._redis, request, self._timeout, self._result_ttl)
        self._enqueue(TRAINING, job, TRAINING_TTL)
        return Job(job.id, Status.QUEUED, request.model, None, timestamp(job.created_at), kind="training")

    def run_command(self, command: RepositoryCommand, wait: float) -> dict[str, Any]:
        """Return what the trainer answers to `command`, within `wait` seconds of taking it.

        Raises `TrainerUnavailable` when none takes it within `COMMAND_START_TIMEOUT` seconds (it is not carried
        out then) or none answers in time (it may be), and `ModelgateError` with the trainer's reason when it fails.
        """
        job = RQJob.create(
            REPOSITORY_COMMAND,
            [command.to_json()],
            id=uuid.uuid4().hex,
            timeout=max(1, round(wait)),
            result_ttl=_COMMAND_TTL,
            failure_ttl=_COMMAND_TTL,
            description=f"{command.action} {command.model}",
            connection=self._redis,
            serializer=JSONSerializer,
        )
        self._enqueue(PUBLISHING, job, COMMAND_START_TIMEOUT + wait, expires_after=COMMAND_START_TIMEOUT)
        end = time.monotonic() + COMMAND_START_TIMEOUT + wait
        while True:
            result = job.latest_result(timeout=1)  # which wakes at once
            self._scripts.run("expire", 100, TRAINER_DEADLINES)  # no other process may be there to do it
            status, failure = self._redis.hmget(job.key, "status", "failure")
            if status == b"finished" and result is not None:
                return dict(result.return_value or {})
            if status == b"failed":
                raise ModelgateError.from_failure(Failure.from_json(json.loads(failure)))
            if status == b"canceled":
                raise TrainerUnavailable(
                    "no trainer answers, and nothing was done; start one (python -m trainer) and try again"
                )
            if status is None or time.monotonic() > end:
                raise TrainerUnavailable(f"the trainer has not answered within {wait:.0f} s; look whether it was done")

    def _enqueue(self, queue: str, job: RQJob, lives: float, expires_after: float | None = None) -> None:
        """`lives`: seconds within which a trainer may begin it, also again after another trainer died."""
        signature = require_signer(self._signer).sign_job(queue, job.id, job.data, time.time() + lives)
        job.origin = queue
        expires = "" if expires_after is None else round(expires_after * 1000)
        # RQ's own enqueue would queue the job anew when it is resent.
        fields = [part for name, value in job.to_dict().items() if value not in ("", None) for part in (name, value)]
        self._scripts.run("enqueue", queue, job.id, expires, "signature", signature, *fields)

    def waiting(self) -> int:
        """How many trainings nobody has begun."""
        return int(self._redis.llen(f"rq:queue:{TRAINING}"))

    def recipes(self) -> list[str] | None:
        """The recipes that the trainer has; None before the first one has started."""
        names = self._redis.get(RECIPES)
        return None if names is None else list(json.loads(names))

    def parameters(self, recipe: str) -> list[Parameter] | None:
        """Return the parameters of the recipe, or None if they are not published."""
        found = json.loads(self._redis.get(PARAMETERS) or "{}").get(recipe)
        return None if found is None else [Parameter.from_json(data) for data in found]

    def log(self, job_id: str, start: int) -> tuple[int, bytes]:
        """What a training has said from byte `start` on, and at which byte that begins: a long log loses its head."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hget(f"rq:job:{job_id}", "log_start").get(f"mg:log:{job_id}")
            lost, text = pipeline.execute()
        first = max(start, int(lost or 0))
        return first, (text or b"")[first - int(lost or 0) :]
