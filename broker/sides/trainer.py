"""A trainer's further sides: publish recipes, read what waits, schedule."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis import Redis
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer

from broker.link.scripts import Scripts
from broker.records.job_kinds import JobKind
from broker.records.job_records import dumps, payload_of, plain
from broker.sides.single_jobs import LARGEST_DATA
from contract.model.parameters import RecipeParameter

_LOCK_RETRY = 5
"""Seconds between two tries to become the trainer that schedules."""


def publish_recipes(
    connection: Redis, names: Sequence[str], parameters: Mapping[str, Sequence[RecipeParameter]]
) -> None:
    """Publish the recipes and their parameters for the gateway. Raises `RedisError`."""
    by_recipe = {
        name: [parameter.to_json() for parameter in recipe_parameters] for name, recipe_parameters in parameters.items()
    }
    Scripts(connection).run("publish_recipes", dumps(sorted(names)), dumps(by_recipe))


def unfinished(connection: Redis, kind: JobKind) -> list[Mapping[str, Any]]:
    """Return the payloads of the jobs of `kind` that wait or run in any trainer, without those that cannot be read.
    Raises `RedisError`."""
    redis: Any = connection
    queue = kind.queue
    with redis.pipeline(transaction=True) as pipeline:  # a job that begins meanwhile is in one of the two
        waiting, running = pipeline.lrange(f"rq:queue:{queue}", 0, -1).zrange(f"rq:wip:{queue}", 0, -1).execute()
    ids = [*waiting, *(entry.partition(b":")[0] for entry in running)]
    payloads = []
    for data in Scripts(connection).send([("HGET", b"rq:job:" + job_id, "data") for job_id in ids]) if ids else ():
        with suppress(ValueError):
            payloads.append(payload_of(plain(data or b"", LARGEST_DATA), kind.function))
    return payloads


class Scheduler:
    """Moves the jobs of RQ's `enqueue_at` into their queue when they are due. Only one trainer at a time does so."""

    def __init__(self, connection: Redis, queue: str) -> None:
        self._scheduler: Any = RQScheduler([queue], connection, logging_level="WARNING", serializer=JSONSerializer)
        self._not_before = 0.0

    def enqueue_due(self) -> bool:
        """Enqueue the jobs that are due; call it each second. Returns whether this is the trainer that schedules.
        Raises `RedisError`: `OutOfMemoryError` from a full Redis; then the jobs stay due."""
        if self._scheduler.acquired_locks or time.monotonic() >= self._not_before:
            self._scheduler.acquire_locks()
            self._not_before = time.monotonic() + _LOCK_RETRY
        if self._scheduler.acquired_locks:
            self._scheduler.enqueue_scheduled_jobs()
        return bool(self._scheduler.acquired_locks)

    def stop(self) -> None:
        """Release the lock, so that another trainer can schedule at once. Raises `RedisError`."""
        self._scheduler.release_locks()
