"""Load requests and load statuses: before an alias moves, the trainer requests the version, and each worker reports it.

A version is written `loan@3` here, in requests with its pool (`broker.records.job_kinds.pool_of`). Requests expire, and
so does the status of a dead worker.
"""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

from broker.link.scripts import Connected, Scripts
from broker.records.job_kinds import pool_of
from contract.model.environments import ENVIRONMENT, TODAY
from contract.model.repository import NAME

WORKERS = "mg:workers"
"""The key of the names of the workers."""

_VERSION = re.compile(f"({NAME.pattern}@[1-9][0-9]{{0,8}})(?:~({ENVIRONMENT.pattern}))?")

NO_ROOM = "it does not fit into MODEL_CACHE_MB beside the others"
CHANGES_PROCESS = "loading it starts threads or changes the process, so each scorer loads it for itself"
"""Reasons why a worker does not load a version once for all scorers, although each scorer can load it."""

_POOL_LIVES = 10.0
"""Seconds after the last report of its workers for which jobs of an environment are accepted: as long as a lease."""

_CHECK_EVERY = 0.05
"""Seconds between two looks at what the workers have loaded."""


@dataclass(frozen=True)
class LoadFailure:
    """Why a version cannot be loaded, and since when, as RFC 3339 by the worker's clock."""

    reason: str
    since: str


@dataclass(frozen=True)
class LoadStatus:
    """The status of a worker. `models` are those that it serves (None: all), whose versions live in `environment`.
    `loaded` are the versions that all its scorers have; `refused` are the requested versions that it will not load,
    with the reason. `failures` are the versions that it cannot load, requested or named by an alias."""

    loaded: Collection[str] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    models: Collection[str] | None = None
    failures: Mapping[str, LoadFailure] = field(default_factory=dict)
    environment: str = TODAY

    def dumps(self) -> str:
        """Return the status without `failures`, which have a key of their own."""
        models = None if self.models is None else sorted(self.models)
        data = {"loaded": sorted(self.loaded), "refused": dict(self.refused), "models": models}
        return json.dumps({**data, "environment": self.environment}, sort_keys=True)

    @classmethod
    def loads(cls, text: bytes) -> LoadStatus:
        data = json.loads(text)
        return cls(data["loaded"], data["refused"], data["models"], environment=data.get("environment", TODAY))

    def serves(self, model: str, environment: str) -> bool:
        """Return whether the worker serves versions of the model that live there."""
        return self.environment == environment and (self.models is None or model in self.models)

    def dump_failures(self) -> str:
        """Return `failures`, or nothing if there are none."""
        failures = {version: [failure.reason, failure.since] for version, failure in self.failures.items()}
        return json.dumps(failures, sort_keys=True) if failures else ""


class LoadRequests(Connected):
    """The requests, for a worker. Raises `redis.exceptions.RedisError`."""

    def read(self) -> Mapping[str, Collection[str]]:
        """Return the requested versions by environment."""
        requested: defaultdict[str, set[str]] = defaultdict(set)
        for version in self._redis.zrange("mg:wanted", 0, -1):
            if match := _VERSION.fullmatch(version.decode(errors="replace")):
                requested[match[2] or TODAY].add(match[1])
        return requested


class LoadStatusPublisher(Connected):
    """Reports the load status of one worker. The methods are harmless to repeat and raise
    `redis.exceptions.RedisError`."""

    def __init__(self, connection: Redis, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        """A status expires after `ttl` seconds; `clock` returns seconds."""
        super().__init__(connection)
        self._ttl = ttl
        self._clock = clock
        self._published: tuple[str, str] | None = None
        self._published_at = 0.0

    def publish(self, worker: str, status: LoadStatus) -> None:
        """Publish a new status at once, and renew an unchanged one before it expires. Call it often."""
        texts, now, ttl_ms = (status.dumps(), status.dump_failures()), self._clock(), round(self._ttl * 1000)
        if texts == self._published and now - self._published_at < self._ttl / 3:
            return
        pool = (pool_of(status.environment), round(_POOL_LIVES * 1000))
        if texts != self._published or not self._scripts.run("report_load", worker, ttl_ms, "", "", *pool):
            self._scripts.run("report_load", worker, ttl_ms, *texts, *pool)
        self._published, self._published_at = texts, now

    def withdraw(self, worker: str) -> None:
        """Remove the status, so that the trainer does not wait for this worker."""
        if self._published:
            self._redis.delete(status_key(worker), failures_key(worker))
            self._redis.srem(WORKERS, worker)
            self._published = None


def request_load(connection: Redis, version: str, environment: str, seconds: float) -> None:
    """Ask the workers of `environment` to load `version`, and to keep it for `seconds` whether or not an alias names
    it."""
    Scripts(connection).run("request_load", version + pool_of(environment), round(seconds * 1000))


def withdraw_request(connection: Redis, version: str, environment: str) -> None:
    """Withdraw the request for `version`. Workers try to load it again at the next request."""
    connection.zrem("mg:wanted", version + pool_of(environment))


def load_statuses(connection: Redis, model: str, environment: str) -> dict[str, LoadStatus]:
    """Return the statuses of the live workers that serve versions of `model` that live in `environment`, by worker. Two
    round trips."""
    redis: Any = connection
    workers = sorted(worker.decode() for worker in redis.smembers(WORKERS))
    if not workers:
        return {}
    texts = dict(zip(workers, redis.mget([status_key(worker) for worker in workers]), strict=True))
    dead = [worker for worker, text in texts.items() if text is None]
    if dead:
        redis.srem(WORKERS, *dead)
    statuses = {worker: LoadStatus.loads(text) for worker, text in texts.items() if text is not None}
    return {worker: status for worker, status in statuses.items() if status.serves(model, environment)}


@dataclass(frozen=True)
class WarmUp:
    """What the workers that serve a model have made of the request to load a version of it. `missing`: workers that
    have neither loaded nor refused it. `refused`: the reasons of the others that have not loaded it."""

    workers: Collection[str]
    missing: Sequence[str]
    refused: Mapping[str, str]

    @property
    def impossible(self) -> Mapping[str, str]:
        """The refusals of workers whose scorers cannot load the version either."""
        return {name: reason for name, reason in self.refused.items() if reason not in (NO_ROOM, CHANGES_PROCESS)}


def warm_up(
    connection: Redis,
    model: str,
    version: int,
    environment: str,
    end: float,
    keep: float,
    stop: Callable[[WarmUp], bool] = lambda _: False,
) -> WarmUp:
    """Ask the workers of `environment` to load the version and to keep it for `keep` seconds after `end`, a monotonic
    time. Returns once each that serves the model has loaded or refused it, at the latest after `end`, or when `stop`
    returns True. A pool of which nothing is heard for a moment, because its machine is busy, is waited for."""
    wanted = f"{model}@{version}"
    request_load(connection, wanted, environment, max(0.0, end - time.monotonic()) + keep)
    while True:
        statuses = load_statuses(connection, model, environment)
        lacking = {name: status for name, status in statuses.items() if wanted not in status.loaded}
        state = WarmUp(
            workers=statuses.keys(),
            missing=[name for name, status in lacking.items() if wanted not in status.refused],
            refused={name: status.refused[wanted] for name, status in lacking.items() if wanted in status.refused},
        )
        unheard = not statuses and environment != TODAY and connection.exists(_pool_key(environment))
        if not (state.missing or unheard) or time.monotonic() > end or stop(state):
            return state
        time.sleep(_CHECK_EVERY)


def _pool_key(environment: str) -> str:
    """Return the key that exists while jobs of a pool are accepted."""
    return f"mg:pool{pool_of(environment)}"


def parse_failures(texts: Iterable[bytes | None]) -> dict[str, LoadFailure]:
    """Return the versions that workers cannot load, from the values at each `failures_key`. If several workers cannot
    load a version, the earliest failure counts. A value that cannot be read counts as none."""
    failures: dict[str, LoadFailure] = {}
    for text in texts:
        with suppress(ValueError, TypeError, AttributeError):
            for version, (reason, since) in json.loads(text or b"{}").items():
                if version not in failures or since < failures[version].since:
                    failures[version] = LoadFailure(str(reason), str(since))
    return failures


def status_key(worker: str) -> str:
    """Return the key of the status of the worker, which expires some seconds after its last report."""
    return f"mg:loaded:{worker}"


def memory_key(worker: str) -> str:
    """Return the key of the bytes that the worker's models take: shared ones, and those of single scorers."""
    return f"mg:loaded:{worker}:memory"


def failures_key(worker: str) -> str:
    """Return the key of the versions that the worker cannot load. The name of a worker has no colon."""
    return f"mg:loaded:{worker}:failures"
