"""A supervisor's side of the queues: register its processes, renew their leases, and give back what dead ones held."""

from __future__ import annotations

import platform
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from redis import Redis

from broker.lease_groups import SCORERS, LeaseGroup
from broker.records import PREFIX, failed
from broker.scripts import Call, Scripts
from contract.errors import Failure
from contract.jobs import prediction_queue

LEASE = 10.0
"""Seconds an incarnation lives without being renewed; renew every 2."""

_AT_ONCE = 1000

_ALL = "*"
"""In the place of ids: all that are held."""


def incarnation(worker: str, slot: int) -> str:
    """A new name for the scorer in `slot` of `worker`; a new one at every fork. `worker` may have no colon."""
    return f"{worker}-{slot}-{secrets.token_hex(4)}"


def worker_of(inc: str) -> str:
    """The worker whose incarnation this is."""
    return inc.rsplit("-", 2)[0]


class Leases:
    """What a supervisor does with the queue. All methods are harmless to repeat and raise
    `redis.exceptions.RedisError`.
    """

    def __init__(
        self,
        connection: Redis,
        *,
        lease: float = LEASE,
        clock: Callable[[], float] = time.monotonic,
        group: LeaseGroup = SCORERS,
    ) -> None:
        """`lease` in seconds; `clock` tells seconds."""
        self._group = group
        self._redis: Any = connection
        self._scripts = Scripts(connection)
        self._lease_ms = round(lease * 1000)
        self._lease = lease
        self._clock = clock
        self._unbroken_since: float | None = None
        self._renewed = float("-inf")

    def register(
        self,
        inc: str,
        *,
        host: str = "",
        pid: int = 0,
        version: str = "",
        models: Collection[str] | None = None,
        queue: str | None = None,
    ) -> None:
        """The incarnation begins: it may take. `rq info` shows it as a worker of `queue`, or of the queues of `models`
        (None: all)."""
        every = f"{PREFIX}*" if models is None else ",".join(prediction_queue(model) for model in sorted(models))
        python = platform.python_version()
        members = self._group.members
        self._scripts.run("register", inc, self._lease_ms, host, pid, version, python, queue or every, members)

    def renew(self, incs: Sequence[str]) -> list[str]:
        """Gives these incarnations another lease. Returns those that had lost theirs: their scorers have to be killed,
        given back and forked anew under other names."""
        now = self._clock()
        fenced = [inc.decode() for inc in self._scripts.run("renew", self._lease_ms, *incs)]
        # Asked for after the answer too: a round trip that took a lease long is a gap.
        if fenced or self._clock() - self._renewed > self._lease or self._unbroken_since is None:
            self._unbroken_since = None if fenced else now
        self._renewed = now
        return fenced

    def give_back(
        self, inc: str, scored: Collection[str] | None = (), failure: Failure | None = None
    ) -> dict[str, str]:
        """The scorer is dead (be sure of it): its jobs go back to the heads of their queues, its lease ends.

        `scored` were being scored when it died: each counts a death, comes alone from then on, and fails with
        `worker_crashed` at the third. None: nobody knows, and all that it held count. `failure` is what the supervisor
        killed the scorer for, such as a time-out:
        a job that was being scored alone fails with it at once. Returns what became of each id: `queued`, `failed`
        or `expired`.
        """
        alone = failure is not None and scored is not None and len(scored) == 1
        group = self._group
        _, exc_string, json = failed(failure if failure is not None and alone else group.crashed)
        ids = (_ALL,) if scored is None else scored
        most = 1 if alone else group.most_deaths
        answer = self._scripts.run("give_back", group.members, inc, most, json, exc_string, *ids)
        return {job_id.decode(): became.decode() for job_id, became in zip(answer[::2], answer[1::2], strict=True)}

    def reap(self) -> list[str]:
        """Gives back every incarnation without a lease, whoever's it is; returns them. To be called every 2 s.

        Does nothing until this supervisor itself has renewed without a gap for one lease: after a restart of Redis
        nobody has a lease, and yet nobody is dead. All jobs of such an incarnation count a death: nobody knows any more
        which were being scored.
        """
        if self._unbroken_since is None or self._clock() - self._unbroken_since < self._lease:
            return []
        group = self._group
        _, exc_string, json = failed(group.crashed)
        return [inc.decode() for inc in self._scripts.run("reap", group.most_deaths, json, exc_string, group.members)]

    def expire(self) -> None:
        """Ends queued jobs whose deadline has passed. To be called each second."""
        for deadlines in self._group.deadlines:
            while self._scripts.run("expire", 100, deadlines) == 100:
                pass

    def reconcile(self) -> None:
        """Mends what stock RQ commands leave, and trims registries. To be called at start and every 10 s."""
        queues = {key.removeprefix(b"rq:queue:") for key in self._redis.smembers("rq:queues")}
        queues.update(self._redis.zrange("mg:ready", 0, -1))
        positions = {queue: 0 for queue in sorted(queues) if self._group.tends(queue)}
        while positions:
            calls = [Call("reconcile", [queue, position, _AT_ONCE]) for queue, position in positions.items()]
            answers = zip(positions, self._scripts.send(calls), strict=True)
            positions = {queue: position for queue, position in answers if position}

    def remaining(self, worker: str | None = None) -> dict[str, float]:
        """The seconds left of each incarnation's lease (0: none), of one worker or of all.

        Leases of one's own former incarnations that grow again mean that the worker's id is in use elsewhere.
        """
        names = sorted(inc.decode() for inc in self._redis.smembers(self._group.members))
        incs = [inc for inc in names if worker is None or worker_of(inc) == worker]
        left = self._scripts.send([("PTTL", f"mg:lease:{inc}") for inc in incs])
        return {inc: max(0.0, ms / 1000) for inc, ms in zip(incs, left, strict=True)}

    def hosts(self) -> set[str]:
        """The hosts of the scorers that have a lease. Two round trips, and a third when there are any."""
        incs = [inc for inc, seconds in self.remaining().items() if seconds]
        found = self._scripts.send([("HGET", f"rq:worker:{inc}", "hostname") for inc in incs])
        return {host.decode() for host in found if host}
