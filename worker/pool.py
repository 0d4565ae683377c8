"""A pool: the scorers of one environment on this worker, their leases and their jobs. Another than that of today's
environment sleeps, without a process, until there is work for it.
"""

from __future__ import annotations

import dataclasses
import logging
import re
import secrets
import selectors
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from redis import Redis

from broker.link.scripts import Step
from broker.metrics.counts import Counts
from broker.records.job_kinds import PREDICTION, pool_of
from broker.records.lease_groups import EXTRA, SCORERS
from broker.sides.supervisor import Leases, incarnation
from broker.state.load_status import LoadStatus, LoadStatusPublisher, memory_key
from contract.model.environments import TODAY
from contract.settings import Settings
from contract.wording import counted
from runtime.environments import Environment
from worker.process_pool import ProcessPool
from worker.processes import THIS_INTERPRETER, Interpreter, ScorerExit, ScorerProcess

log = logging.getLogger("worker")

_MISSED_RENEWALS = 0.2
"""Part of a lease after which a worker that has not renewed is dead. Workers renew after a tenth."""

_LONG = 1.0
"""Seconds of one step of a job after which its model counts as slow."""

_MEMORY_TTL = 10
"""Seconds after which the memory of a dead worker is forgotten."""


class Identity:
    """Claims the name of a worker, or a variation of it while another worker uses it."""

    def __init__(self, leases: Leases, wanted: str, lease: float) -> None:
        """`wanted` is the preferred name, `lease` in seconds."""
        self._leases = leases
        self._wanted = re.sub(r"[^A-Za-z0-9_.~-]", "_", wanted) or "worker"
        self._longest_left = lease * (1 - _MISSED_RENEWALS)
        self._left: dict[str, float] = {}
        self.name: str | None = None
        """The claimed name; None until `claim` has succeeded."""

    def claim(self) -> list[str]:
        """Try to claim the name. Call it again until there is a `name`. Returns its former incarnations, whose jobs
        have to be given back.

        A lease that is renewed between two calls means that another worker uses the name, so this one takes a
        variation. Raises `redis.exceptions.RedisError`.
        """
        left = self._leases.remaining(self._wanted)
        if any(seconds > self._left.get(inc, seconds) for inc, seconds in left.items()):
            self.name = f"{self._wanted}.{secrets.token_hex(2)}"
            return []
        if all(seconds <= self._longest_left for seconds in left.values()):
            self.name = self._wanted
            return list(left)
        self._left = left
        return []


@dataclass(frozen=True)
class PoolOptions:
    """What the pools of a worker share. `name` is that of the worker; `lease` and `stuck_after` are in seconds."""

    settings: Settings
    connection: Redis
    leases: Leases
    selector: selectors.BaseSelector
    name: str
    lease: float
    stuck_after: float


class Pool:
    """A pool with `scorers` scorers. Those of its methods that need Redis raise `redis.exceptions.RedisError`, and are
    repeated until it answers."""

    def __init__(
        self,
        options: PoolOptions,
        name: str,
        scorers: int,
        interpreter: Interpreter = THIS_INTERPRETER,
        environment: Environment | None = None,
    ) -> None:
        """`name`: of the environment, whose `interpreter` the scorers have; `environment`: if it is not this
        process's."""
        self.name = name
        self.environment = environment
        self.retired = False
        """Whether it is to end, because its environment has changed or is gone."""
        self._options = options
        self._scorers = scorers
        self._interpreter = interpreter
        self._models = options.settings.worker_models or None
        self._queues = PREDICTION.queues(self._models, name)
        self._identity = Identity(options.leases, options.name.replace("~", "_") + pool_of(name), options.lease)
        self._load_status = LoadStatusPublisher(options.connection, ttl=0.3 * options.lease)
        self._processes: ProcessPool | None = None
        self._used: tuple[float, object] = (0.0, None)
        if name == TODAY:
            self.wake()

    # Sleep

    @property
    def asleep(self) -> bool:
        return self._processes is None

    def wake(self) -> None:
        """Start the processes unless they run."""
        self._used = (time.monotonic(), None)
        if self._processes is None and not self.retired:
            options = self._options
            self._processes = ProcessPool(
                self._scorers, options.selector, options.stuck_after, self._interpreter, woken=self.name != TODAY
            )

    def _falls_asleep(self, processes: ProcessPool) -> bool:
        """Return whether nothing has been scored or loaded for `POOL_IDLE`."""
        if self.name == TODAY:
            return False
        now, (last, counted) = time.monotonic(), self._used
        counter, starting = processes.activity_counter(), not any(scorer.registered for scorer in self.scorers)
        if counter != counted or processes.busy or starting:
            self._used = (now, counter)
            return False
        return now - last > self._options.settings.pool_idle

    # Processes

    def maintain(self, *, stopping: bool) -> None:
        """Restart what has ended and kill what is overdue; end the processes if they are not needed."""
        if self._processes is None:
            return
        if stopping or self.retired or self._falls_asleep(self._processes):
            self._processes.drain()
        self._processes.maintain(self._new_incarnation if self._identity.name else None)
        if self._processes.draining and self.ended and not stopping:
            self.close()

    def _new_incarnation(self, slot: int) -> str:
        return incarnation(self._identity.name or "", EXTRA if slot == self._scorers else slot)

    @property
    def ended(self) -> bool:
        """Whether there are no scorers, and all jobs of former ones have been given back."""
        return self._processes is None or not (self._processes.scorers or self._processes.exits)

    @property
    def worker(self) -> str | None:
        """The name under which it reports; None until it has claimed one."""
        return self._identity.name

    @property
    def scorers(self) -> Sequence[ScorerProcess]:
        return list(self._processes.scorers.values()) if self._processes else ()

    def close(self) -> None:
        """End the template. Call it once there are no scorers."""
        if self._processes:
            self._processes.close()
            self._processes = None

    def problems(self) -> list[str]:
        """Return what is wrong with the processes, in sentences, if a restart of the worker may help. Any thread may
        call it."""
        processes = self._processes
        return processes.problems() if processes and not self.environment else []

    def stuck(self) -> list[str]:
        """Return the processes that make no progress."""
        if self._processes is None:
            return []
        stuck = [f"{process} of the worker {self._identity.name!r}" for process in self._processes.stuck]
        if self.environment and self._processes.problems():
            stuck.append(f"the pool {self._identity.name!r}")
        return stuck

    # Redis

    def claim_name(self) -> None:
        """Claim the name, and note the jobs of former incarnations."""
        if self._identity.name is None and (former := self._identity.claim()):
            self.wake()
            if self._processes:
                self._processes.exits += [ScorerExit(inc, None) for inc in former]

    def register(self) -> None:
        """Give new scorers their leases."""
        for scorer in self.scorers:
            if scorer.pid and not scorer.registered:
                host = socket.gethostname()
                self._options.leases.register(scorer.inc, host=host, pid=scorer.pid, queues=self._queues)
                scorer.activate()

    def give_back(self) -> None:
        """Give back the jobs of dead scorers."""
        while self._processes and self._processes.exits:
            exited = self._processes.exits[0]
            contexts = self._options.leases.contexts(exited.scored or ())
            jobs = self._options.leases.give_back(exited.inc, exited.scored, exited.failure)
            del self._processes.exits[0]
            _log_given_back(exited, jobs, contexts)

    def spare(self) -> None:
        """Let one scorer take no slow models."""
        if processes := self._processes:
            slow, running = processes.slow_models(), processes.running_for(_LONG)
            processes.spare(self._options.leases.spare(self._queues, slow, running))

    def warm_up(self, requested: Collection[str]) -> None:
        """Load the versions that the trainer requests before it moves an alias, and report which are loaded.

        A report is due even while nothing is loaded, or the trainer would not wait for this worker.
        """
        if self._identity.name is None:
            return
        ours = frozenset(v for v in requested if self._models is None or v.partition("@")[0] in self._models)
        if ours:
            self.wake()
        status = LoadStatus(models=self._models)
        if self._processes:
            self._processes.request_versions(ours)
            status = self._processes.load_status(self._models)
        self._load_status.publish(self._identity.name, dataclasses.replace(status, environment=self.name))

    def withdraw(self) -> None:
        """Withdraw the report, so that the trainer does not wait for this worker."""
        if self._identity.name:
            self._load_status.withdraw(self._identity.name)

    def report(self, counts: Counts) -> Sequence[Step]:
        """Count the loads of the template; return the step that reports the memory of models."""
        if self._processes is None or self._identity.name is None:
            return ()
        for model, seconds, worked in self._processes.take_loads():
            counts.add_load(model, seconds, worked=worked)
        shared, private = self._processes.model_bytes()
        return [("SET", memory_key(self._identity.name), f"{shared} {private}", "EX", _MEMORY_TTL)]


def _log_given_back(exited: ScorerExit, jobs: Mapping[str, str], contexts: Mapping[str, Mapping[str, object]]) -> None:
    """Log what became of the jobs that a dead scorer held, by id."""
    if queued := sum(became == "queued" for became in jobs.values()):
        log.info("queued again: %s of scorer %s", counted(queued, "job"), exited.inc)
    failure = exited.failure if exited.failure and len(exited.scored or ()) == 1 else SCORERS.crashed
    for job_id in (job_id for job_id, became in jobs.items() if became == "failed"):
        context = contexts.get(job_id, {"job_id": job_id})
        log.warning("a job failed: %s: %s", failure.code, failure.message, extra=context)
