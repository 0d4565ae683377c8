"""The supervisor: runs the pools of one worker and renews their leases, and maintains the queues.

It unpickles nothing and imports neither numpy nor scikit-learn, so no model can harm it.
"""

from __future__ import annotations

import dataclasses
import logging
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from broker.link.connection import connect
from broker.link.outbox import Outbox
from broker.link.scripts import Step
from broker.metrics.counts import Counts
from broker.sides.gateway.room import RoomMaker
from broker.sides.supervisor import LEASE, Leases
from broker.state.load_status import LoadRequests
from broker.state.pools import PoolWork
from broker.state.presence import StuckProcesses
from broker.state.starts import WORKER, ProcessStart
from contract.model.environments import TODAY
from contract.settings import Settings
from runtime.environments import Environment, Environments, environment_here
from runtime.health import serve_health
from runtime.liveness import Watchdog
from runtime.outages import Duties, repeat_in_thread
from storage.spool.places import spool_of
from worker.file_sweep import sweep_files
from worker.pool import Pool, PoolOptions
from worker.process_pool import STUCK_AFTER
from worker.processes import Interpreter, ScorerProcess

log = logging.getLogger("worker")

_TICK = 0.1
"""Seconds after which the loop runs when nothing happens."""

_SWEEP_EVERY = 10.0
"""Seconds between two looks for files that nobody needs."""

_ENVIRONMENTS_EVERY = 2.0
"""Seconds between two looks for environments that the operator has made or removed."""

_LOOP_TIMEOUT = 120.0
"""Seconds that one turn of the loop may take: more than Redis can delay it."""


class Supervisor:
    """Runs one worker: its pools, their leases and their jobs."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        health_socket: Path | None = None,
        *,
        lease: float = LEASE,
        stuck_after: float = STUCK_AFTER,
    ) -> None:
        """`name` is the same after a restart. Answers `python -m runtime.health` on `health_socket`. `lease` and
        `stuck_after`, the time without progress after which an idle process is restarted, are in seconds."""
        self._settings = settings
        self._health_socket = health_socket
        # It has to notice that Redis hangs well before its leases end.
        connection = connect(settings.redis_url, socket_timeout=2, resends=1, check=False)
        self._leases = Leases(connection, lease=lease)
        self._requests = LoadRequests(connection)
        self._work = PoolWork(connection, settings.worker_models or None)
        self._selector = selectors.DefaultSelector()
        self._options = PoolOptions(settings, connection, self._leases, self._selector, name, lease, stuck_after)
        here = environment_here()
        self._pools = [Pool(self._options, here, settings.workers)]
        self._environments = Environments(settings.environments_dir) if here == TODAY else None
        self._unusable = False
        """Whether the environments cannot be used, which the log says once."""
        self._counts = Counts()
        self._outbox = Outbox(connection)
        self._outbox.add_source(self._counted)
        self._outbox.add_source(ProcessStart(WORKER, name).steps)
        self._outbox.add_source(StuckProcesses(lambda: [name for pool in self._pools for name in pool.stuck()]).steps)
        self._stop_by: float | None = None
        self._duties = Duties("the supervisor", log)
        self._duties.add(0, lambda: self._each(Pool.claim_name))
        self._duties.add(0, lambda: self._each(Pool.register))
        self._duties.add(0, lambda: self._each(Pool.give_back))
        self._duties.add(_TICK, self._wake)
        self._duties.add(_TICK, self._warm_up)
        self._duties.add(_ENVIRONMENTS_EVERY, self._find_pools)
        self._duties.add(lease / 10, self._renew)
        self._duties.add(lease / 5, self._reap)
        self._duties.add(1, lambda: self._each(Pool.spare))
        self._duties.add(1, self._leases.expire)
        self._duties.add(1, RoomMaker(connection).make)
        self._duties.add(_TICK, self._leases.reconcile_in_parts)
        self._duties.add(1, self._outbox.flush)

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, then until the scorers have finished their jobs, at most for `STOP_GRACE`."""
        self._listen_to_signals()
        watchdog = Watchdog(_LOOP_TIMEOUT)
        if self._health_socket:
            serve_health(self._health_socket, lambda: watchdog.problems() + self._problems())
        # In a thread: a store that is away may delay it for longer than leases last.
        sweep = partial(sweep_files, connect(self._settings.redis_url, check=False), spool_of(self._settings))
        repeat_in_thread("files", sweep, _SWEEP_EVERY, log)
        while not self._done():
            watchdog.beat()
            self._each(partial(Pool.maintain, stopping=self._stop_by is not None))
            self._duties.run_due()
            for key, _ in self._selector.select(_TICK):
                key.data()
        self._each(Pool.close)

    def _each(self, call: Callable[[Pool], object]) -> None:
        for pool in self._pools:
            call(pool)

    def _scorers(self) -> list[ScorerProcess]:
        return [scorer for pool in self._pools for scorer in pool.scorers]

    def _problems(self) -> list[str]:
        return [problem for pool in list(self._pools) for problem in pool.problems()]

    def _counted(self) -> Sequence[Step]:
        """Return the steps that report the loads of the templates, and the memory of models."""
        steps = [step for pool in self._pools for step in pool.report(self._counts)]
        return [*self._counts.steps(), *steps]

    # Pools

    def _find_pools(self) -> None:
        """Have a pool for each environment of this machine, and none for one that has changed or is gone."""
        name = self._pools[0].worker
        if self._environments is None or name is None or self._stop_by is not None:
            return
        found = {name: self._environments.find(name) for name in self._environments.names()}
        for pool in self._pools[1:]:
            pool.retired = pool.retired or pool.environment != found.get(pool.name)
            if pool.retired and pool.asleep:
                pool.withdraw()
                self._pools.remove(pool)
        options = dataclasses.replace(self._options, name=name)
        for missing in found.keys() - {pool.name for pool in self._pools}:
            if (environment := found[missing]) and (interpreter := self._interpreter(environment)):
                self._pools.append(Pool(options, missing, 1, interpreter, environment))
                log.info("serving versions that live in the environment %s, too", missing)

    def _interpreter(self, environment: Environment) -> Interpreter | None:
        """Return the interpreter; None, and say so once, if it would not find our code."""
        assert self._environments  # noqa: S101
        try:
            variables = self._environments.variables()
        except OSError as error:
            if not self._unusable:
                log.error("cannot serve the environments in %s: %s", self._environments.folder, error)
            self._unusable = True
            return None
        self._unusable = False
        return Interpreter(str(environment.interpreter), variables)

    def _wake(self) -> None:
        asleep = {pool.name: pool for pool in self._pools if pool.asleep}
        if asleep and self._stop_by is None:
            for name in self._work.waits_for(asleep.keys()):
                asleep[name].wake()

    # Stopping

    def _listen_to_signals(self) -> None:
        ours, written = socket.socketpair()
        for end in (ours, written):
            end.setblocking(False)
        signal.set_wakeup_fd(written.fileno())
        self._wakeup = (ours, written)
        self._selector.register(ours, selectors.EVENT_READ, lambda: ours.recv(4096))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())

    def _stop(self) -> None:
        if self._stop_by is None:
            # Unfinished jobs have to be given back before the sender of the signal resorts to SIGKILL.
            grace = self._settings.stop_grace
            self._stop_by = time.monotonic() + max(0.5 * grace, grace - 2)

    def _done(self) -> bool:
        if self._stop_by is None:
            return False
        late = time.monotonic() - self._stop_by
        scorers = self._scorers()
        if late > 0:
            for scorer in scorers:
                scorer.kill()
        return not scorers and (late > 0.5 or all(pool.ended for pool in self._pools))

    # Redis

    def _renew(self) -> None:
        alive = {scorer.inc: scorer for scorer in self._scorers() if scorer.registered}
        for inc in self._leases.renew(list(alive)):
            log.warning("scorer %s lost its lease and is restarted", inc)
            alive[inc].kill()

    def _warm_up(self) -> None:
        if self._stop_by is not None:
            self._each(Pool.withdraw)
            return
        requested = self._requests.read()
        for pool in self._pools:
            pool.warm_up(requested.get(pool.name, ()))

    def _reap(self) -> None:
        for inc in self._leases.reap():
            log.warning("%s has lost its lease; its jobs are queued again", inc)
