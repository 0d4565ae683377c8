"""A supervisor's side of the queues: register processes, renew their leases, give back the jobs of dead ones."""

from __future__ import annotations

import platform
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from redis import Redis

from broker.link.scripts import Connected
from broker.records.job_kinds import PREDICTION, kind_of
from broker.records.job_records import failed
from broker.records.lease_groups import SCORERS, LeaseGroup, is_extra, place_of, worker_of
from broker.state.presence import TIMEOUT_COUNTS
from contract.errors import Failure
from contract.work.request_ids import RequestIds

LEASE = 10.0
"""Seconds that an incarnation lives without renewal; renew it every 2."""

_SLOW_COUNTS = 5.0
"""Seconds for which a worker's report of slow models counts; report them every second."""

_JOBS_PER_CALL = 100
"""Most jobs that one RECONCILE looks at: Redis does nothing else meanwhile."""
_RECONCILE_EVERY, _AT_ONCE = 10.0, 0.005
"""Seconds between the starts of two passes over all queues, and of a part of one."""

_DEADLINES_PER_CALL = 100
_ALL = "*"
"""Means all jobs that an incarnation owns, instead of their ids."""


def incarnation(worker: str, slot: int | str) -> str:
    """Return a new name for the process in `slot` of `worker`; each fork needs one. `worker` must have no colon."""
    return f"{worker}-{slot}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Spared:
    """The scorer in `slot` (`place_of`; '': none; '*': every idle or new one) takes no jobs of the slow `models`, nor
    does an extra one, so that they do not occupy every scorer."""

    slot: str
    models: frozenset[str]

    def at(self, inc: str) -> frozenset[str]:
        """Return the models of which this scorer takes no jobs."""
        return self.models if is_extra(inc) or self.slot in ("*", place_of(inc)) else frozenset()


class Leases(Connected):
    """The leases of one group. All methods are harmless to repeat and raise `redis.exceptions.RedisError`."""

    def __init__(
        self,
        connection: Redis,
        *,
        lease: float = LEASE,
        clock: Callable[[], float] = time.monotonic,
        group: LeaseGroup = SCORERS,
    ) -> None:
        """`lease` is in seconds, and so is what `clock` returns."""
        self._group = group
        super().__init__(connection)
        self._lease_ms = round(lease * 1000)
        self._lease = lease
        self._clock = clock
        self._unbroken_since: float | None = None
        self._renewed = float("-inf")
        self._pass: Iterator[None] = iter(())
        self._next_pass = float("-inf")

    def register(
        self, inc: str, *, queues: Sequence[str] = tuple(PREDICTION.queues(None)), host: str = "", pid: int = 0
    ) -> None:
        """Give an incarnation its first lease; it may take jobs then. `rq info` shows it as a worker of `queues`."""
        python, members = platform.python_version(), self._group.members
        self._scripts.run("register", inc, self._lease_ms, host, pid, python, ",".join(queues), members)

    def renew(self, incs: Sequence[str]) -> list[str]:
        """Give these incarnations another lease. Returns those whose lease had ended: kill their processes, give them
        back, and start others under new names."""
        now = self._clock()
        fenced = [inc.decode() for inc in self._scripts.run("renew", self._lease_ms, *incs)]
        # The clock is read after the answer too: a round trip as long as a lease is a gap.
        if fenced or self._clock() - self._renewed > self._lease or self._unbroken_since is None:
            self._unbroken_since = None if fenced else now
        self._renewed = now
        return fenced

    def give_back(
        self, inc: str, scored: Collection[str] | None = (), failure: Failure | None = None
    ) -> dict[str, str]:
        """Return the jobs of an incarnation to the heads of their queues, and end its lease. Its process must be dead.

        It ran the jobs `scored` when it died (None: unknown, so all of them). Each of them counts a death, is taken
        alone from then on, and fails with `LeaseGroup.crashed` at the last death that its group allows. `failure` is
        the time-out for which the supervisor has killed the process; a single job in `scored` fails with it at once.
        Returns by id what became of each job: `queued`, `failed` or `expired`.
        """
        alone = failure is not None and scored is not None and len(scored) == 1
        group = self._group
        json = failed(failure if failure is not None and alone else group.crashed)
        ids = (_ALL,) if scored is None else scored
        max_deaths = 1 if alone else group.max_deaths
        remembered = 0 if failure is None else round(TIMEOUT_COUNTS * 1000)
        answer = self._scripts.run("give_back", group.members, inc, max_deaths, json, remembered, *ids)
        return {job_id.decode(): became.decode() for job_id, became in zip(answer[::2], answer[1::2], strict=True)}

    def contexts(self, ids: Collection[str]) -> dict[str, dict[str, object]]:
        """Return by id what a log line about each of these jobs has, while they run. One round trip."""
        answers = self._scripts.send([("HMGET", f"rq:job:{job_id}", "request", "origin", "version") for job_id in ids])
        contexts: dict[str, dict[str, object]] = {}
        for job_id, values in zip(ids, answers, strict=True):
            request, origin, version = ((value or b"").decode(errors="replace") for value in values)
            kind = kind_of(origin)
            about = {"model": kind.model_of(origin), "version": version} if kind and kind.pinned else {}
            contexts[job_id] = {**RequestIds.of_job(request, job_id).context(), "job_id": job_id, **about}
        return contexts

    def reap(self) -> list[str]:
        """Give back every incarnation of the group without a lease, of any worker, and return them. Call it every 2 s.

        Does nothing until this supervisor has renewed without a gap for one lease: after a restart of Redis no lease
        exists, and yet the processes live. All jobs of such an incarnation count a death, because it is unknown which
        of them were running.
        """
        if self._unbroken_since is None or self._clock() - self._unbroken_since < self._lease:
            return []
        group = self._group
        reaped = self._scripts.run("reap", group.max_deaths, failed(group.crashed), group.members)
        return [inc.decode() for inc in reaped]

    def spare(self, queues: Sequence[str], slow: Collection[str], running: Collection[str]) -> Spared:
        """Report the models that this worker has found `slow`, and its incarnations that have been `running` one step
        for long. Returns which models are slow, on any worker, and which scorer must take none of them: one of those
        that serve the same `queues`, if there are several."""
        report = (",".join(queues), round(_SLOW_COUNTS * 1000), len(slow))
        inc, *models = self._scripts.run("spare", *report, *slow, *running) or [b""]
        slot = "*" if inc == b"*" else place_of(inc.decode())
        return Spared(slot, frozenset(model.decode(errors="replace") for model in models))

    def expire(self) -> None:
        """End queued jobs whose deadline has passed. Call it each second."""
        for group in (self._group, *self._group.covers):
            while self._scripts.run("expire", _DEADLINES_PER_CALL, group.deadlines) == _DEADLINES_PER_CALL:
                pass

    def reconcile(self) -> None:
        """Repair what stock RQ commands leave behind, and trim indexes, of all queues of the group."""
        for _ in self._reconciling():
            pass

    def reconcile_in_parts(self) -> None:
        """Do a part of `reconcile` that takes 5 ms, so that other clients of Redis wait for no long queue.

        Call it several times a second. The next call goes on where this one stops; passes begin 10 s apart.
        """
        now = self._clock()
        for _ in self._pass:
            if self._clock() >= now + _AT_ONCE:
                return
        if now >= self._next_pass:
            self._pass, self._next_pass = self._reconciling(), now + _RECONCILE_EVERY

    def _reconciling(self) -> Iterator[None]:
        """Look at all queues, with one round trip for each script: Redis would answer nobody between scripts that it
        gets together."""
        queues = {key.removeprefix(b"rq:queue:") for key in self._redis.smembers("rq:queues")}
        queues.update(self._redis.zrange("mg:ready", 0, -1), self._redis.hkeys("mg:rows"))
        for queue in sorted(filter(self._reconciles, queues)):
            position = None
            while position != 0:
                position = self._scripts.run("reconcile", queue, position or 0, _JOBS_PER_CALL)
                yield

    def _reconciles(self, queue: bytes) -> bool:
        kind = kind_of(queue.decode(errors="replace"))
        return kind is not None and kind.group in (self._group, *self._group.covers)

    def remaining(self, worker: str | None = None) -> dict[str, float]:
        """Return the seconds left of each incarnation's lease (0: none), of one worker or of all.

        If the leases of one's own former incarnations grow again, another worker uses the same id.
        """
        names = sorted(inc.decode() for inc in self._redis.smembers(self._group.members))
        incs = [inc for inc in names if worker is None or worker_of(inc) == worker]
        left = self._scripts.send([("PTTL", f"mg:lease:{inc}") for inc in incs])
        return {inc: max(0.0, ms / 1000) for inc, ms in zip(incs, left, strict=True)}
