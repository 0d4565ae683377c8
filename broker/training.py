"""Trainings and orders as the gateway hands them over: jobs of stock RQ, which the trainer takes by `broker.tasks`."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from redis import Redis
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer

from broker.leases import TRAINER_DEADLINES
from broker.scripts import Scripts
from broker.signatures import Signer
from broker.tasks import PARAMETERS, RECIPES
from contract.errors import Failure, ModelgateError
from contract.jobs import Job, Status, timestamp
from contract.parameters import Parameter
from contract.training import ORDER, PUBLISHING, TRAIN, TRAINING, Order, TrainingRequest

TAKEN_WITHIN = 3.0
"""Seconds within which a trainer takes an order; otherwise there is none."""

_ORDER_TTL = 60
"""Seconds that the result of an order is kept."""

TRAINING_LIVES = 30 * 86_400.0
"""Seconds within which a training has to begin, also after stock RQ has requeued it: then its signature expires."""


class NoTrainer(Exception):
    """No trainer is alive, has time, or would accept the job."""


class Trainings:
    """The gateway's side of the queues `training` and `publishing`. Raises `redis.exceptions.RedisError`."""

    def __init__(self, connection: Redis, signer: Signer | None, *, timeout: int, result_ttl: int) -> None:
        """`timeout` of a training and `result_ttl` of a finished one are in seconds."""
        self._redis: Any = connection
        self._scripts = Scripts(connection)
        self._signer = signer
        self._timeout = timeout
        self._result_ttl = result_ttl

    def submit(self, request: TrainingRequest) -> Job:
        """The training job, which is in Redis now. Raises `NoTrainer` without a signer."""
        job = training_job(self._redis, request, self._timeout, self._result_ttl)
        self._enqueue(TRAINING, job, TRAINING_LIVES)
        return Job(job.id, Status.QUEUED, request.model, None, timestamp(job.created_at), kind="training")

    def order(self, order: Order, wait: float) -> dict[str, Any]:
        """What the trainer answers to `order`, within `wait` seconds of taking it.

        Raises `NoTrainer` when none takes it within `TAKEN_WITHIN` seconds (it is not carried out then) or none answers
        in time (it may be), and `ModelgateError` with the trainer's reason when it fails.
        """
        job = RQJob.create(
            ORDER,
            [order.to_json()],
            id=uuid.uuid4().hex,
            timeout=max(1, round(wait)),
            result_ttl=_ORDER_TTL,
            failure_ttl=_ORDER_TTL,
            description=f"{order.action} {order.model}",
            connection=self._redis,
            serializer=JSONSerializer,
        )
        self._enqueue(PUBLISHING, job, TAKEN_WITHIN + wait, expires_after=TAKEN_WITHIN)
        end = time.monotonic() + TAKEN_WITHIN + wait
        while True:
            result = job.latest_result(timeout=1)  # which wakes at once
            self._scripts.run("expire", 100, TRAINER_DEADLINES)  # no other process may be there to do it
            status, failure = self._redis.hmget(job.key, "status", "failure")
            if status == b"finished" and result is not None:
                return dict(result.return_value or {})
            if status == b"failed":
                raise ModelgateError.from_failure(Failure.from_json(json.loads(failure)))
            if status == b"canceled":
                raise NoTrainer("no trainer answers, and nothing was done; start one (python -m trainer) and try again")
            if status is None or time.monotonic() > end:
                raise NoTrainer(f"the trainer has not answered within {wait:.0f} s; look whether it was done")

    def _enqueue(self, queue: str, job: RQJob, lives: float, expires_after: float | None = None) -> None:
        """`lives`: seconds within which a trainer may begin it, also again after another trainer died."""
        signature = trusted(self._signer).sign_job(queue, job.id, job.data, time.time() + lives)
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


def trusted(signer: Signer | None) -> Signer:
    """Return the signer. Raises `NoTrainer` without one."""
    if signer is None:
        raise NoTrainer(
            "the gateway has no TRAINER_SECRET, so the trainer would refuse the job; give both the same file"
        )
    return signer


def training_job(connection: Redis, request: TrainingRequest, timeout: int, result_ttl: int) -> RQJob:
    """RQ's job for a training, not enqueued yet."""
    return RQJob.create(
        TRAIN,
        [request.to_json()],
        id=uuid.uuid4().hex,
        timeout=timeout,
        result_ttl=result_ttl,
        failure_ttl=result_ttl,
        description=f"{request.recipe} -> {request.model}",
        meta={"model": request.model},
        connection=connection,
        serializer=JSONSerializer,
    )
