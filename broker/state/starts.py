"""When processes have started: charts show it, because counts of a process that is killed are lost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from broker.link.scripts import Connected, Step
from broker.state.load_status import WORKERS, LoadStatus, status_key
from contract.retention import Retention

STARTS = "mg:gateways:starts"
"""The key of the starts of gateway processes, by their time (Unix time)."""

_MOST = 200


class GatewayStart:
    """A source of the outbox of a gateway process, which says once that it has started. `name`: its gateway."""

    def __init__(self, name: str) -> None:
        self._started, self._name = time.time(), name
        self._is_said = False

    def steps(self) -> Sequence[Step]:
        if self._is_said:
            return ()
        self._is_said = True
        return [
            ("ZADD", STARTS, self._started, f"{self._started:.3f} {self._name}"),
            ("ZREMRANGEBYSCORE", STARTS, "-inf", self._started - Retention.traffic),
            ("ZREMRANGEBYRANK", STARTS, 0, -_MOST - 1),
        ]


class StartReader(Connected):
    def read(self) -> list[tuple[float, str, str]]:
        """Return the starts of gateway processes, and the last ones of Redis and of each worker that is alive: the time
        (Unix time), what it is, and its name. Two round trips. Raises `RedisError`."""
        server, workers, gateways = self._scripts.send(
            [("INFO", "server"), ("SMEMBERS", WORKERS), ("ZRANGE", STARTS, 0, -1, "WITHSCORES")]
        )
        names = [worker.decode(errors="replace") for worker in workers]
        statuses = self._scripts.send([("GET", status_key(name)) for name in names]) if names else []
        now = time.time()
        starts = [(now - server["uptime_in_seconds"], "Redis", "")]
        starts += [(at, "gateway", member.decode().partition(" ")[2]) for member, at in gateways]
        for name, status in zip(names, statuses, strict=True):
            with suppress(ValueError, TypeError, KeyError):  # one that is gone has none; a worker may write anything
                if 0 < (at := LoadStatus.loads(status).started) <= now:
                    starts.append((at, "worker", name))
        return starts
