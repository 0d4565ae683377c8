"""The pools that have work, and the environments of those that ever had."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from redis import Redis

from broker.link.scripts import Connected
from broker.records.job_kinds import pool_of
from contract.model.environments import TODAY


def used_environments(connection: Redis) -> set[str]:
    """Return the environments for which there may be jobs. Raises `redis.exceptions.RedisError`."""
    redis: Any = connection
    return {TODAY, *(pool.decode().removeprefix("~") for pool in redis.smembers("mg:pools"))}


class PoolWork(Connected):
    """What waits for the pools of a worker. Raises `redis.exceptions.RedisError`."""

    def __init__(self, connection: Redis, models: Collection[str] | None = None) -> None:
        """`models`: those that the worker serves; None: all."""
        super().__init__(connection)
        self._models = "" if models is None else f" {' '.join(sorted(models))} "

    def waits_for(self, environments: Collection[str]) -> set[str]:
        """Return those of `environments` for whose versions jobs or files wait. One round trip."""
        by_pool = {pool_of(environment): environment for environment in environments}
        return {by_pool[pool.decode()] for pool in self._scripts.run("waiting_pools", self._models, *by_pool)}
