"""The jobs that the trainer runs: RQ creates them, and the gateway signs and enqueues them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from redis import Redis
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer

from broker.access.signatures import Signer
from broker.link.idempotency import made_in
from broker.link.scripts import Call, Durability, Scripts
from broker.records.job_kinds import TRAINING, JobKind
from contract.work.training import TrainingRequest

RECIPES = "mg:trainer:recipes"
"""The key of the names of the trainer's recipes, as JSON; the gateway refuses others."""

PARAMETERS = "mg:trainer:parameters"
"""The key of the parameters of those recipes, as JSON: lists of `Parameter` by recipe."""


class TrainerUnavailable(Exception):
    """No trainer is alive, has time, or would accept the job."""


class TooManyWaiting(Exception):
    """This owner has as many jobs at the trainer as it may have."""


def make_job(
    connection: Redis,
    kind: JobKind,
    payload: Mapping[str, Any],
    description: str,
    *,
    timeout: int,
    result_ttl: int,
    meta: dict[str, Any] | None = None,
) -> RQJob:
    """Return RQ's job with this payload, which is not in Redis yet. `timeout` and `result_ttl` are in seconds."""
    return RQJob.create(
        kind.function,
        [payload],
        id=uuid.uuid4().hex,
        origin=kind.queue,
        timeout=timeout,
        result_ttl=result_ttl,
        failure_ttl=result_ttl,
        description=description,
        meta=meta,
        connection=connection,
        serializer=JSONSerializer,
    )


def training_job(connection: Redis, request: TrainingRequest, *, timeout: int, result_ttl: int) -> RQJob:
    """Return RQ's job for a training, which is not in Redis yet."""
    description, meta = f"{request.recipe} -> {request.model}", {"model": request.model}
    payload = request.to_json()
    return make_job(connection, TRAINING, payload, description, timeout=timeout, result_ttl=result_ttl, meta=meta)


def enqueue(
    connection: Redis,
    signer: Signer,
    kind: JobKind,
    job: RQJob,
    *,
    ttl: float,
    start_timeout: float | None = None,
    durability: Durability | None = None,
    request: str = "",
    owner: str = "",
    most_waiting: int | None = None,
    idempotency: str = "",
    webhook: str = "",
) -> str:
    """Sign a job, enqueue it and return its id; `durability` says when it is accepted. Harmless to repeat. Raises
    `TrainerUnavailable` without a signer, `TooManyWaiting`, `broker.link.faults.SlowDiskError` and
    `broker.link.faults.TooFewReplicas`.

    The signature lasts for `ttl` seconds: a trainer must begin the job by then, even if another trainer died with it. A
    job that no trainer has begun after `start_timeout` seconds expires. `request` has the ids of its request
    (`contract.work.request_ids`). The job belongs to `owner`, of whose jobs at most `most_waiting` may wait in the
    queue, or wait and run if the kind counts both (None: no limit). Its end is reported to the URL `webhook`. With the
    `idempotency` of an earlier request, no job is enqueued: the id is that of the earlier one, which may have ended.
    Raises `broker.link.idempotency.IdempotencyConflict`.
    """
    signature = signer.sign_job(kind.queue, job.id, job.data, time.time() + ttl)
    expires = "" if start_timeout is None else round(start_timeout * 1000)
    # RQ's own enqueue would queue the job again when redis-py sends it again.
    fields = [part for name, value in job.to_dict().items() if value not in ("", None) for part in (name, value)]
    if request:
        fields += ["request", request]
    if idempotency:
        fields += ["idempotency", idempotency]
    if webhook:
        fields += ["webhook", webhook]
    limit = "" if most_waiting is None else most_waiting
    call = Call("enqueue", [kind.queue, job.id, expires, owner, limit, "signature", signature, *fields])
    (answer,) = (durability or Durability()).send(Scripts(connection).send, [call])
    if not answer:
        raise TooManyWaiting(f"{most_waiting} jobs of {owner!r} are in {kind.queue!r}")
    return made_in(answer) or job.id
