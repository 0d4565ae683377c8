"""The jobs that the gateway signs for the trainer, before they enter a queue."""

from __future__ import annotations

import uuid

from redis import Redis
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer

from broker.signatures import Signer
from contract.training import TRAIN, TrainingRequest

RECIPES = "mg:recipes"
"""The names of the recipes that the trainer has, as JSON; the gateway refuses others."""

PARAMETERS = "mg:parameters"
"""The parameters of those recipes, as JSON: lists of `Parameter` by recipe."""

TRAINING_TTL = 30 * 86_400.0
"""Seconds within which a training has to begin, also after stock RQ has requeued it: then its signature expires."""


class TrainerUnavailable(Exception):
    """No trainer is alive, has time, or would accept the job."""


def require_signer(signer: Signer | None) -> Signer:
    """Return the signer. Raises `TrainerUnavailable` without one."""
    if signer is None:
        raise TrainerUnavailable(
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
