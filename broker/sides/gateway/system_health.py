"""The health of the system as Redis shows it: whether it takes jobs now, which workers are alive, what they report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis import Redis
from redis.exceptions import BusyLoadingError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from broker.access.key_store import KEYS
from broker.link.durability import Durability
from broker.link.faults import FULL, SlowDiskError, fault_of
from broker.link.scripts import Call, Scripts
from broker.records.job_kinds import PREDICTION
from broker.records.lease_groups import worker_of
from broker.state.load_status import WORKERS, LoadFailure, failures_key, parse_failures, status_key
from broker.state.presence import STUCK, stuck_at
from broker.state.timeouts import TIMEOUTS, timed_out
from broker.state.webhook_store import DUE, ENDED, MOST_WAITING, WAITING, seconds_late
from contract.errors import Failure

ROOM_AGAIN = 0.95
"""The share of its memory below which a Redis that was full counts as having room. At the limit it accepts one job and
refuses the next, while results expire."""


@dataclass(frozen=True)
class SystemHealth:
    """State reported by Redis. `fault`: why it refuses predictions (None: it takes them). `repairs`: whether it
    accepts commands that free memory or repair, such as a rollback. `workers`: scorers that are alive. `silent`:
    workers whose scorers have leases, but that have reported nothing for some seconds. `stuck`: processes of gateways
    and workers that make no progress. `full_queues`: models whose
    queue is full. `failures`: versions that workers cannot load. `slow_disk`: whether jobs wait for Redis' disk before
    they are accepted. `keys`: API keys, valid or expired. `webhooks_late`: seconds since a webhook should have been
    sent. `webhooks_full`: owners of which so many webhooks wait that further ones are given up. `timed_out`: models
    whose rows have timed out lately. `lost`: whether the connection broke."""

    fault: Failure | None
    repairs: bool = False
    workers: int = 0
    silent: Collection[str] = ()
    stuck: Sequence[str] = ()
    full_queues: Collection[str] = ()
    failures: Mapping[str, LoadFailure] = field(default_factory=dict)
    slow_disk: bool = False
    keys: int = 0
    webhooks_late: float = 0.0
    webhooks_full: Collection[str] = ()
    timed_out: Collection[str] = ()
    lost: bool = False


class HealthCheck:
    """Tries a write as a repair does it, and another as a prediction does it."""

    def __init__(self, connection: Redis, max_queue_rows: int, durability: Durability) -> None:
        """`connection` needs a short timeout and should not retry. `durability` decides when a job is accepted."""
        self._redis: Any = connection
        self._scripts = Scripts(connection)
        self._max_queue_rows = max_queue_rows
        self._durability = durability
        self._full = False

    def run(self) -> SystemHealth:
        """Return the health. Three round trips, and three more if the connection was lost since the last call."""
        health = self._look()
        return self._look() if health.lost else health

    def _look(self) -> SystemHealth:
        repairs = False
        try:
            _, incs, workers, rows, keys, memory, time, turn, waiting = self._scripts.send(
                [
                    Call("try_write", ["repair"]),
                    ("SMEMBERS", PREDICTION.group.members),
                    ("SMEMBERS", WORKERS),
                    ("HGETALL", "mg:rows"),
                    ("HLEN", KEYS),
                    ("INFO", "memory"),
                    ("TIME",),
                    ("ZRANGE", DUE, 0, 0, "WITHSCORES"),
                    ("HGETALL", WAITING),
                ]
            )
            repairs = True
            incs, names = ([name.decode(errors="replace") for name in members] for members in (incs, workers))
            slow_disk = self._waits_for_the_disk()
            *answers, stuck, timeouts, first_end = self._scripts.attempt(
                [
                    *(("EXISTS", f"mg:lease:{inc}") for inc in incs),
                    *(("EXISTS", status_key(name)) for name in names),
                    *(("GET", failures_key(name)) for name in names),
                    ("ZRANGE", STUCK, 0, -1, "WITHSCORES"),  # a worker may have made this and the next something else
                    ("ZRANGE", TIMEOUTS, 0, -1, "WITHSCORES"),
                    ("LINDEX", ENDED, 0),
                ]
            )
            self._scripts.checked(answers)
        except RedisError as error:
            lost = isinstance(error, RedisConnectionError) and not isinstance(error, BusyLoadingError)
            reason = fault_of(error)
            self._full = reason is FULL
            return SystemHealth(reason, repairs, lost=lost)
        self._full = self._full and memory["used_memory"] > ROOM_AGAIN * (memory["maxmemory"] or float("inf"))
        remaining = iter(answers)
        alive = [inc for inc in incs if next(remaining)]
        unheard = {name for name in names if not next(remaining)}
        silent = sorted(unheard & {worker_of(inc) for inc in alive})
        full, failures = self._full_queues(rows), parse_failures(remaining)
        fault = FULL if self._full else None
        now = time[0] + time[1] / 1_000_000
        too_many = sorted(owner.decode() for owner, count in waiting.items() if int(count) >= MOST_WAITING)
        return SystemHealth(
            fault,
            True,
            len(alive),
            silent,
            stuck_at(stuck, now),
            full,
            failures,
            slow_disk,
            keys,
            seconds_late(first_end, turn, now),
            too_many,
            timed_out(timeouts, now),
        )

    def _waits_for_the_disk(self) -> bool:
        """Write as a prediction does."""
        try:
            self._durability.send(self._scripts.send, [Call("try_write", ["job"])])
        except SlowDiskError:
            return True
        return False

    def _full_queues(self, rows: Mapping[bytes, bytes]) -> list[str]:
        of_models = Counter[str]()
        for queue, count in rows.items():
            of_models[PREDICTION.model_of(queue.decode())] += int(count)
        return sorted(model for model, count in of_models.items() if count >= self._max_queue_rows)
