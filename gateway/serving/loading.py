"""Loading a version into the memory of the workers, for clients that ask for it before their first prediction."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from redis import Redis

from broker.state.load_status import warm_up
from contract.model.environments import TODAY
from contract.wording import counted
from gateway.problems import Problem, ProblemCode
from gateway.problems.problem import EnvironmentNotServed

_KEPT = 60.0
"""Seconds for which workers keep a version that no alias names."""


@dataclass(frozen=True)
class Loader:
    """Asks the workers, as the trainer does before an alias moves. `connection`: to Redis. `wait`: most seconds."""

    connection: Redis
    wait: float

    def load(self, model: str, version: int, environment: str, gone: Callable[[], bool]) -> None:
        """Return once every live worker that serves the model has loaded the version or leaves that to its scorers.

        Raises `Problem` if there is no worker, if one cannot load it, or after the wait, which ends if the client is
        `gone`. Raises `RedisError`.
        """
        end = time.monotonic() + self.wait
        state = warm_up(
            self.connection, model, version, environment, end, _KEPT, lambda state: bool(state.impossible) or gone()
        )
        wanted = f"{model}@{version}"
        if not state.workers and environment != TODAY:
            raise EnvironmentNotServed(model, version, environment)
        if not state.workers:
            raise Problem(ProblemCode.NO_WORKER, f"no worker that serves {model!r} is alive", retry_after=1)
        for worker, reason in state.impossible.items():
            raise Problem(ProblemCode.CANNOT_LOAD, f"the worker {worker!r} cannot load {wanted}: {reason}")
        if state.missing:
            detail = f"{counted(len(state.missing), 'worker')} did not load {wanted} within {self.wait:g} s; ask again"
            raise Problem(ProblemCode.NOT_IN_TIME, detail, retry_after=1)
