"""The supervisor: renews the leases of its scorers, gives back the jobs of dead ones, and maintains the queues.

It unpickles nothing and imports neither numpy nor scikit-learn, so no model can harm it.
"""

from __future__ import annotations

import logging
import re
import secrets
import selectors
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from broker.link.connection import connect
from broker.link.outbox import Outbox
from broker.link.scripts import Step
from broker.metrics.counts import Counts
from broker.records.job_kinds import PREDICTION
from broker.records.lease_groups import SCORERS
from broker.sides.gateway.room import RoomMaker
from broker.sides.supervisor import LEASE, Leases, incarnation
from broker.state.load_status import LoadStatusPublisher, memory_key
from broker.state.presence import StuckProcesses
from contract.settings import Settings
from runtime.health import serve_health
from runtime.liveness import Watchdog
from runtime.outages import Duties, repeat_in_thread
from storage.spool.places import spool_of
from worker.file_sweep import sweep_files
from worker.process_pool import STUCK_AFTER, ProcessPool
from worker.processes import ScorerExit

_MISSED_RENEWALS = 0.2
"""Part of a lease after which a worker that has not renewed is dead. Workers renew after a tenth."""


class Identity:
    """Claims the name of a worker, or a variation of it while another worker uses it."""

    def __init__(self, leases: Leases, wanted: str, lease: float) -> None:
        """`wanted` is the preferred name, `lease` in seconds."""
        self._leases = leases
        self._wanted = re.sub(r"[^A-Za-z0-9_.-]", "_", wanted) or "worker"
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


log = logging.getLogger("worker")

_TICK = 0.1
"""Seconds after which the loop runs when nothing happens."""

_LONG = 1.0
"""Seconds of one step of a job after which its model counts as slow."""

_MEMORY_TTL = 10
"""Seconds after which the memory of a dead worker is forgotten."""

_SWEEP_EVERY = 10.0
"""Seconds between two looks for files that nobody needs."""

_LOOP_TIMEOUT = 120.0
"""Seconds that one turn of the loop may take: more than Redis can delay it."""


class Supervisor:
    """Runs one worker: its processes, their leases and their jobs."""

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
        self._host = socket.gethostname()
        self._queues = PREDICTION.queues(settings.worker_models or None)
        # It has to notice that Redis hangs well before its leases end.
        connection = connect(settings.redis_url, socket_timeout=2, resends=1, check=False)
        self._leases = Leases(connection, lease=lease)
        self._load_status = LoadStatusPublisher(connection, ttl=0.3 * lease)
        self._identity = Identity(self._leases, name, lease)
        self._selector = selectors.DefaultSelector()
        self._pool = ProcessPool(settings.workers, self._selector, stuck_after)
        self._counts = Counts()
        self._outbox = Outbox(connection)
        self._outbox.add_source(self._counted)
        self._outbox.add_source(StuckProcesses(self._stuck).steps)
        self._stop_by: float | None = None
        self._duties = Duties("the supervisor", log)
        self._duties.add(0, self._claim_name)
        self._duties.add(0, self._register)
        self._duties.add(0, self._give_back)
        self._duties.add(_TICK, self._warm_up)
        self._duties.add(lease / 10, self._renew)
        self._duties.add(lease / 5, self._reap)
        self._duties.add(1, self._spare)
        self._duties.add(1, self._leases.expire)
        self._duties.add(1, RoomMaker(connection).make)
        self._duties.add(_TICK, self._leases.reconcile_in_parts)
        self._duties.add(1, self._outbox.flush)

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, then until the scorers have finished their jobs, at most for `STOP_GRACE`."""
        self._listen_to_signals()
        watchdog = Watchdog(_LOOP_TIMEOUT)
        if self._health_socket:
            serve_health(self._health_socket, lambda: watchdog.problems() + self._pool.problems())
        # In a thread: a store that is away may delay it for longer than leases last.
        sweep = partial(sweep_files, connect(self._settings.redis_url, check=False), spool_of(self._settings))
        repeat_in_thread("files", sweep, _SWEEP_EVERY, log)
        while not self._done():
            watchdog.beat()
            self._pool.maintain(self._new_incarnation if self._identity.name else None)
            self._duties.run_due()
            for key, _ in self._selector.select(_TICK):
                key.data()
        self._pool.stop_template()

    def _stuck(self) -> list[str]:
        return [f"{process} of the worker {self._identity.name!r}" for process in self._pool.stuck]

    def _counted(self) -> Sequence[Step]:
        """Return the steps that report the loads of the template, and the memory of models."""
        for model, seconds, worked in self._pool.take_loads():
            self._counts.add_load(model, seconds, worked=worked)
        steps: list[Step] = [*self._counts.steps()]
        if name := self._identity.name:
            shared, private = self._pool.model_bytes()
            steps.append(("SET", memory_key(name), f"{shared} {private}", "EX", _MEMORY_TTL))
        return steps

    def _new_incarnation(self, slot: int) -> str:
        return incarnation(self._identity.name or "", slot)

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
        self._pool.drain()
        late = time.monotonic() - self._stop_by
        if late > 0:
            for scorer in self._pool.scorers.values():
                scorer.kill()
        return not self._pool.scorers and (not self._pool.exits or late > 0.5)

    # Redis

    def _claim_name(self) -> None:
        if self._identity.name is None:
            self._pool.exits += [ScorerExit(inc, None) for inc in self._identity.claim()]

    def _register(self) -> None:
        for scorer in self._pool.scorers.values():
            if scorer.pid and not scorer.registered:
                self._leases.register(scorer.inc, host=self._host, pid=scorer.pid, queues=self._queues)
                self._pool.activate(scorer)

    def _give_back(self) -> None:
        while self._pool.exits:
            exited = self._pool.exits[0]
            jobs = self._leases.give_back(exited.inc, exited.scored, exited.failure)
            del self._pool.exits[0]
            _log_given_back(exited, jobs)

    def _renew(self) -> None:
        alive = {scorer.inc: scorer for scorer in self._pool.scorers.values() if scorer.registered}
        for inc in self._leases.renew(list(alive)):
            log.warning("scorer %s lost its lease and is restarted", inc)
            alive[inc].kill()

    def _spare(self) -> None:
        self._pool.spare(self._leases.spare(self._queues, self._pool.slow_models(), self._pool.running_for(_LONG)))

    def _warm_up(self) -> None:
        """Load the versions that the trainer requests before it moves an alias, and report which are loaded.

        A report is due even while nothing is loaded, or the trainer would not wait for this worker.
        """
        name = self._identity.name
        if name is None:
            return
        if self._stop_by is not None:
            self._load_status.withdraw(name)
            return
        self._pool.request_versions(self._load_status.requested())
        self._load_status.publish(name, self._pool.load_status(self._settings.worker_models or None))

    def _reap(self) -> None:
        for inc in self._leases.reap():
            log.warning("%s has lost its lease; its jobs are queued again", inc)


def _log_given_back(exited: ScorerExit, jobs: Mapping[str, str]) -> None:
    """Log what became of the jobs that a dead scorer held, by id."""
    if queued := sum(became == "queued" for became in jobs.values()):
        log.info("%d jobs of scorer %s are queued again", queued, exited.inc)
    failure = exited.failure if exited.failure and len(exited.scored or ()) == 1 else SCORERS.crashed
    for job_id in (job_id for job_id, became in jobs.items() if became == "failed"):
        log.warning("a job failed: %s: %s", failure.code, failure.message, extra={"job_id": job_id})
