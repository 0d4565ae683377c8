"""Loading a version into the memory of the workers, for clients that ask for it before their first prediction."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from redis import Redis

from broker.load_status import NO_ROOM, STARTS_THREADS, LoadStatus, load_statuses, request_load
from contract.wording import counted
from gateway.problem_codes import ProblemCode
from gateway.problems import Problem

_CHECK_EVERY = 0.05
"""Seconds between two looks at what the workers have loaded."""

_KEPT = 60.0
"""Seconds for which workers keep a version that no alias names."""

_LOADED_BY_SCORERS = frozenset({NO_ROOM, STARTS_THREADS})
"""Reasons of a worker's refusal that do not keep its scorers from loading the version themselves."""


@dataclass(frozen=True)
class Loader:
    """Asks the workers, as the trainer does before an alias moves. `connection`: to Redis. `wait`: most seconds."""

    connection: Redis
    wait: float

    def load(self, model: str, version: int, gone: Callable[[], bool]) -> None:
        """Return once every live worker that serves the model has loaded the version or leaves that to its scorers.

        Raises `Problem` if there is no worker, if one cannot load it, or after the wait, which ends if the client is
        `gone`. Raises `RedisError`.
        """
        wanted, end = f"{model}@{version}", time.monotonic() + self.wait
        request_load(self.connection, wanted, self.wait + _KEPT)
        while missing := self._missing(model, wanted):
            if time.monotonic() > end or gone():
                detail = f"{counted(len(missing), 'worker')} did not load {wanted} within {self.wait:g} s; ask again"
                raise Problem(ProblemCode.NOT_IN_TIME, detail, retry_after=1)
            time.sleep(_CHECK_EVERY)

    def _missing(self, model: str, wanted: str) -> list[str]:
        """Return the workers that have not loaded the version yet. Raises `Problem` if that will not change."""
        statuses = load_statuses(self.connection, model)
        if not statuses:
            raise Problem(ProblemCode.NO_WORKER, f"no worker that serves {model!r} is alive", retry_after=1)
        _check_refusals(statuses, wanted)
        return [name for name, status in statuses.items() if wanted not in {*status.loaded, *status.refused}]


def _check_refusals(statuses: Mapping[str, LoadStatus], wanted: str) -> None:
    for worker, status in statuses.items():
        reason = status.refused.get(wanted)
        if reason is not None and reason not in _LOADED_BY_SCORERS:
            raise Problem(ProblemCode.CANNOT_LOAD, f"the worker {worker!r} cannot load {wanted}: {reason}")
