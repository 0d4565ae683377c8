"""When processes have started: charts show it, because counts of a process that is killed are lost."""

from __future__ import annotations

import time
from collections.abc import Sequence

from broker.link.scripts import Connected, Step
from contract.retention import Retention

STARTS = "mg:starts"
"""The key of the starts of gateway processes and workers, by their time (Unix time)."""
GATEWAY, WORKER = "gateway", "worker"

_MOST, _LONGEST_NAME = 200, 200


class ProcessStart:
    """A source of the outbox of a process, which says once that it has started. `kind`: what it is; `name`: which
    gateway or worker."""

    def __init__(self, kind: str, name: str) -> None:
        self._started, self._who = time.time(), f"{kind} {name}"
        self._is_said = False

    def steps(self) -> Sequence[Step]:
        if self._is_said:
            return ()
        self._is_said = True
        return [
            ("ZADD", STARTS, self._started, f"{self._started:.3f} {self._who}"),
            ("ZREMRANGEBYSCORE", STARTS, "-inf", self._started - Retention.traffic),
            ("ZREMRANGEBYRANK", STARTS, 0, -_MOST - 1),
        ]


class StartReader(Connected):
    def read(self) -> list[tuple[float, str, str]]:
        """Return the starts of gateway processes and workers, and the last one of Redis: the time (Unix time), what it
        is, and its name. One round trip. Raises `RedisError`."""
        server, said = self._scripts.send([("INFO", "server"), ("ZRANGE", STARTS, -_MOST, -1, "WITHSCORES")])
        now = time.time()
        starts = [(now - server["uptime_in_seconds"], "Redis", "")]
        for member, at in said:
            _, kind, name = (*member.decode(errors="replace").split(" ", 2), "", "")[:3]
            if kind in (GATEWAY, WORKER) and 0 < at <= now:  # a worker may write anything
                starts.append((at, kind, name[:_LONGEST_NAME]))
        return starts
