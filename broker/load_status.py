"""Load requests and load statuses: before an alias moves, the trainer requests the version, and each worker reports it.

A version is written `loan@3` here. Requests expire, and so does the status of a dead worker.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

from broker.scripts import Scripts
from contract.repository import NAME

_VERSION = re.compile(f"{NAME.pattern}@[1-9][0-9]{{0,8}}")

NO_ROOM = "it does not fit into MODEL_CACHE_MB beside the others"
STARTS_THREADS = "loading it starts threads, so each scorer loads it for itself"
"""Reasons why a worker does not load a version once for all scorers, although each scorer can load it."""


@dataclass(frozen=True)
class LoadStatus:
    """The status of a worker. `models` are those that it serves (None: all). `loaded` are the versions that all its
    scorers have; `refused` are the requested versions that it will not load, with the reason."""

    loaded: Collection[str] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    models: Collection[str] | None = None

    def dumps(self) -> str:
        models = None if self.models is None else sorted(self.models)
        data = {"loaded": sorted(self.loaded), "refused": dict(self.refused), "models": models}
        return json.dumps(data, sort_keys=True)

    @classmethod
    def loads(cls, text: bytes) -> LoadStatus:
        return cls(**json.loads(text))


class LoadStatusPublisher:
    """Reports the load status of one worker. The methods are harmless to repeat and raise
    `redis.exceptions.RedisError`."""

    def __init__(self, connection: Redis, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        """A status expires after `ttl` seconds; `clock` returns seconds."""
        self._redis: Any = connection
        self._scripts = Scripts(connection)
        self._ttl = ttl
        self._clock = clock
        self._published, self._published_at = "", 0.0

    def requested(self) -> frozenset[str]:
        """Return the requested versions."""
        found = (version.decode(errors="replace") for version in self._redis.zrange("mg:wanted", 0, -1))
        return frozenset(version for version in found if _VERSION.fullmatch(version))

    def publish(self, worker: str, status: LoadStatus) -> None:
        """Publish a new status at once, and renew an unchanged one before it expires. Call it often."""
        text, now, ttl_ms = status.dumps(), self._clock(), round(self._ttl * 1000)
        if text == self._published and now - self._published_at < self._ttl / 3:
            return
        if text != self._published or not self._scripts.run("report_load", worker, ttl_ms, ""):
            self._scripts.run("report_load", worker, ttl_ms, text)
        self._published, self._published_at = text, now

    def withdraw(self, worker: str) -> None:
        """Remove the status, so that the trainer does not wait for this worker."""
        if self._published:
            self._redis.delete(f"mg:loaded:{worker}")
            self._redis.srem("mg:workers", worker)
            self._published = ""


def request_load(connection: Redis, version: str, seconds: float) -> None:
    """Ask all workers to load `version`, and to keep it for `seconds` whether or not an alias names it."""
    Scripts(connection).run("request_load", version, round(seconds * 1000))


def withdraw_request(connection: Redis, version: str) -> None:
    """Withdraw the request for `version`. Workers try to load it again at the next request."""
    connection.zrem("mg:wanted", version)


def load_statuses(connection: Redis, model: str) -> dict[str, LoadStatus]:
    """Return the statuses of the live workers that serve `model`, by worker. Two round trips."""
    redis: Any = connection
    workers = sorted(worker.decode() for worker in redis.smembers("mg:workers"))
    if not workers:
        return {}
    texts = dict(zip(workers, redis.mget([f"mg:loaded:{worker}" for worker in workers]), strict=True))
    dead = [worker for worker, text in texts.items() if text is None]
    if dead:
        redis.srem("mg:workers", *dead)
    found = {worker: LoadStatus.loads(text) for worker, text in texts.items() if text is not None}
    return {worker: status for worker, status in found.items() if status.models is None or model in status.models}
