"""The trainer for the gateway: submit trainings, run repository commands, read logs and recipes."""

from __future__ import annotations

import json
import time
from typing import Any

from redis import Redis

from broker.job_kinds import REPOSITORY_COMMAND, TRAINING
from broker.scripts import Scripts
from broker.signatures import Signer
from broker.trainer_jobs import (
    PARAMETERS,
    RECIPES,
    TRAINING_TTL,
    TrainerUnavailable,
    enqueue,
    make_job,
    training_job,
)
from contract.errors import Failure, ModelgateError
from contract.jobs import Job, Status, timestamp
from contract.parameters import Parameter
from contract.training import RepositoryCommand, TrainingRequest

COMMAND_START_TIMEOUT = 3.0
"""Seconds within which a trainer must begin a repository command; otherwise the command is withdrawn."""

_COMMAND_RESULT_TTL = 60
"""Seconds that the result of a repository command is kept."""

_DEADLINES_PER_CALL = 100


class TrainerClient:
    """What the gateway asks of the trainer. Raises `redis.exceptions.RedisError`."""

    def __init__(self, connection: Redis, signer: Signer | None, *, timeout: int, result_ttl: int) -> None:
        """`timeout` of a training and `result_ttl` of one that has ended are in seconds."""
        self._redis: Any = connection
        self._scripts = Scripts(connection)
        self._signer = signer
        self._timeout = timeout
        self._result_ttl = result_ttl

    def submit(self, request: TrainingRequest) -> Job:
        """Submit a training, and return its job. Raises `TrainerUnavailable` without a signer."""
        job = training_job(self._redis, request, timeout=self._timeout, result_ttl=self._result_ttl)
        enqueue(self._redis, self._signer, TRAINING, job, ttl=TRAINING_TTL)
        return Job(job.id, Status.QUEUED, request.model, None, timestamp(job.created_at), kind=TRAINING.name)

    def run_command(self, command: RepositoryCommand, wait: float) -> dict[str, Any]:
        """Return the trainer's answer to `command`, which it gives within `wait` seconds of beginning it.

        Raises `TrainerUnavailable` if no trainer begins it within `COMMAND_START_TIMEOUT` seconds (then it never runs)
        or none answers in time (then it may run), and `ModelgateError` with the trainer's reason if it fails.
        """
        job = make_job(
            self._redis,
            REPOSITORY_COMMAND,
            command.to_json(),
            f"{command.action} {command.model}",
            timeout=max(1, round(wait)),
            result_ttl=_COMMAND_RESULT_TTL,
        )
        most = COMMAND_START_TIMEOUT + wait
        enqueue(self._redis, self._signer, REPOSITORY_COMMAND, job, ttl=most, start_timeout=COMMAND_START_TIMEOUT)
        end = time.monotonic() + most
        while True:
            result = job.latest_result(timeout=1)  # returns as soon as there is one
            # No trainer may be alive to expire it.
            self._scripts.run("expire", _DEADLINES_PER_CALL, REPOSITORY_COMMAND.group.deadlines)
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
                raise TrainerUnavailable(
                    f"the trainer has not answered within {wait:.0f} s; check whether the change was made"
                )

    def waiting(self) -> int:
        """Return the number of trainings that no trainer has begun."""
        return int(self._redis.llen(f"rq:queue:{TRAINING.queue}"))

    def recipes(self) -> list[str] | None:
        """Return the trainer's recipes, or None before the first trainer has started."""
        names = self._redis.get(RECIPES)
        return None if names is None else list(json.loads(names))

    def parameters(self, recipe: str) -> list[Parameter] | None:
        """Return the parameters of the recipe, or None if they are not published."""
        found = json.loads(self._redis.get(PARAMETERS) or "{}").get(recipe)
        return None if found is None else [Parameter.from_json(data) for data in found]

    def log(self, job_id: str, start: int) -> tuple[int, bytes]:
        """Return the log of a training from byte `start` on, and the byte at which that part begins: a long log loses
        its start."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hget(f"rq:job:{job_id}", "log_start").get(f"mg:log:{job_id}")
            lost, text = pipeline.execute()
        first = max(start, int(lost or 0))
        return first, (text or b"")[first - int(lost or 0) :]
