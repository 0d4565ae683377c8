"""The jobs that the trainer runs: RQ creates them, and the gateway signs and enqueues them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from redis import Redis
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer

from broker.job_kinds import TRAINING, JobKind
from broker.scripts import Scripts
from broker.signatures import Signer
from contract.training import TrainingRequest

RECIPES = "mg:recipes"
"""The key of the names of the trainer's recipes, as JSON; the gateway refuses others."""

PARAMETERS = "mg:parameters"
"""The key of the parameters of those recipes, as JSON: lists of `Parameter` by recipe."""

TRAINING_TTL = 30 * 86_400.0
"""Seconds within which a training must begin, even after stock RQ has requeued it: then its signature expires."""


class TrainerUnavailable(Exception):
    """No trainer is alive, has time, or would accept the job."""


def require_signer(signer: Signer | None) -> Signer:
    """Return the signer. Raises `TrainerUnavailable` without one."""
    if signer is None:
        raise TrainerUnavailable(
            "the gateway has no TRAINER_SECRET, so the trainer would refuse the job; give both the same file"
        )
    return signer


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
        kind.written_function,
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
    signer: Signer | None,
    kind: JobKind,
    job: RQJob,
    *,
    ttl: float,
    start_timeout: float | None = None,
) -> None:
    """Sign a job and enqueue it. Harmless to repeat. Raises `TrainerUnavailable` without a signer.

    The signature lasts for `ttl` seconds: a trainer must begin the job by then, even if another trainer died with it. A
    job that no trainer has begun after `start_timeout` seconds expires.
    """
    signature = require_signer(signer).sign_job(kind.queue, job.id, job.data, time.time() + ttl)
    expires = "" if start_timeout is None else round(start_timeout * 1000)
    # RQ's own enqueue would queue the job again when redis-py sends it again.
    fields = [part for name, value in job.to_dict().items() if value not in ("", None) for part in (name, value)]
    Scripts(connection).run("enqueue", kind.queue, job.id, expires, "signature", signature, *fields)
