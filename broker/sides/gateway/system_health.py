"""The state of the system as Redis shows it: whether it takes jobs now, which workers and trainers are alive, what they
report.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from redis import Redis
from redis.exceptions import BusyLoadingError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from broker.access.key_store import KEYS
from broker.link.faults import DISK_SLOW, FULL, fault_of
from broker.link.scripts import Call, Connected, Durability, Durable, Step
from broker.records.job_kinds import PREDICTION
from broker.records.lease_groups import SCORERS, TRAINERS, is_extra, serves_today, worker_of
from broker.state.load_status import (
    WORKERS,
    LoadFailure,
    LoadStatus,
    failures_key,
    memory_key,
    parse_failures,
    status_key,
)
from broker.state.mirrors import MIRRORS, MirrorReport, alive_mirrors, parse_reports, report_key
from broker.state.presence import STUCK, TIMEOUTS, stuck_at, timed_out
from broker.state.webhook_store import DUE, ENDED, MOST_WAITING, WAITING, seconds_late
from contract.errors import Failure
from contract.model.environments import TODAY

ROOM_AGAIN = 0.95
"""The share of its memory below which a Redis that was full counts as having room. At the limit it accepts one job and
refuses the next, while results expire."""


@dataclass(frozen=True)
class SystemHealth:
    """State reported by Redis. `fault`: why it refuses predictions (None: it takes them). `repairs`: whether it accepts
    commands that free memory or repair, such as a rollback. `workers`: scorers of today's environment that are alive.
    `silent`: workers whose scorers have leases, but that have reported nothing for some seconds. `stuck`: processes of
    gateways and workers that make no progress. `full_queues`: models whose queue is full. `failures`: versions that
    workers cannot load.
    `slow_disk`: whether jobs wait for Redis' disk before they are accepted. `keys`: API keys, valid or expired.
    `webhooks_late`: seconds since a webhook should have been sent. `webhooks_full`: owners of which so many webhooks
    wait that further ones are given up. `timed_out`: models whose rows have timed out lately. `mirrors`: what those of
    the model repository report, by name. `lost`: whether the connection broke."""

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
    mirrors: Mapping[str, MirrorReport] = field(default_factory=dict)
    lost: bool = False


class HealthCheck(Durable):
    """Tries a write as a repair does it, and another as a prediction does it."""

    def __init__(self, connection: Redis, max_queue_rows: int, durability: Durability) -> None:
        """`connection` needs a short timeout and should not retry. `durability` decides when a job is accepted."""
        super().__init__(connection, durability)
        self._max_queue_rows = max_queue_rows
        self._full = False

    def run(self) -> SystemHealth:
        """Return the health. Three round trips, and three more if the connection was lost since the last call."""
        health = self._look()
        return self._look() if health.lost else health

    def _look(self) -> SystemHealth:
        try:
            _, incs, workers, rows, keys, memory, time, turn, waiting, mirrors = self._scripts.send(
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
                    ("ZRANGE", MIRRORS, 0, -1, "WITHSCORES"),
                ]
            )
            incs, names = ([name.decode(errors="replace") for name in members] for members in (incs, workers))
            mirroring = alive_mirrors(mirrors, time[0])
            refusal = self._refusal()
            *answers, stuck, timeouts, first_end = self._scripts.attempt(
                [
                    *(("EXISTS", f"mg:lease:{inc}") for inc in incs),
                    *(("EXISTS", status_key(name)) for name in names),
                    *(("GET", report_key(name)) for name in mirroring),
                    *(("GET", failures_key(name)) for name in names),
                    ("ZRANGE", STUCK, 0, -1, "WITHSCORES"),  # a worker may have made this and the next something else
                    ("ZRANGE", TIMEOUTS, 0, -1, "WITHSCORES"),
                    ("LINDEX", ENDED, 0),
                ]
            )
            self._scripts.checked(answers)
        except RedisError as error:
            lost = isinstance(error, RedisConnectionError) and not isinstance(error, BusyLoadingError)
            return SystemHealth(fault_of(error), lost=lost)
        room = memory["used_memory"] <= ROOM_AGAIN * (memory["maxmemory"] or float("inf"))
        self._full = refusal is FULL or (self._full and not room)
        remaining = iter(answers)
        alive = [inc for inc in incs if next(remaining)]
        unheard = {name for name in names if not next(remaining)}
        reports = parse_reports(mirroring, [next(remaining) for _ in mirroring])
        silent = sorted(unheard & {worker_of(inc) for inc in alive})
        full, failures = self._full_queues(rows), parse_failures(remaining)
        serving = [inc for inc in alive if serves_today(inc)]
        now = time[0] + time[1] / 1_000_000
        too_many = sorted(owner.decode() for owner, count in waiting.items() if int(count) >= MOST_WAITING)
        return SystemHealth(
            FULL if self._full else None if refusal is DISK_SLOW else refusal,
            True,
            sum(not is_extra(inc) for inc in serving) or len(serving),
            silent,
            stuck_at(stuck, now),
            full,
            failures,
            refusal is DISK_SLOW,
            keys,
            seconds_late(first_end, turn, now),
            too_many,
            timed_out(timeouts, now),
            reports,
        )

    def _refusal(self) -> Failure | None:
        """Write as a prediction does; return why Redis does not take it."""
        try:
            self._write("try_write", ["job"])
        except ResponseError as error:
            return fault_of(error)
        return None

    def _full_queues(self, rows: Mapping[bytes, bytes]) -> list[str]:
        of_models = Counter[str]()
        for queue, count in rows.items():
            of_models[PREDICTION.model_of(queue.decode())] += int(count)
        return sorted(model for model, count in of_models.items() if count >= self._max_queue_rows)


@dataclass
class Worker:
    """A worker with its scorers: those that score (`busy`) and those that wait for jobs (`idle`).

    `host` is its machine. `models` are those that it serves (None: all). `loaded` are the versions (`loan@3`) that all
    its scorers hold in memory, and `memory` their bytes: shared by all scorers, and of single ones; None if unknown.
    `failures` are the versions that it cannot load. `silent`: it has reported nothing for some seconds. `environment`:
    in which the versions live that it serves. `asleep`: it has no scorers until there is work for them.
    """

    name: str
    host: str = ""
    busy: int = 0
    idle: int = 0
    models: Collection[str] | None = None
    loaded: Sequence[str] = ()
    memory: tuple[int, int] | None = None
    failures: Mapping[str, LoadFailure] = field(default_factory=dict)
    silent: bool = True
    environment: str = TODAY
    asleep: bool = False


@dataclass(frozen=True)
class TrainerProcess:
    """A process of the trainer, which takes the jobs of `queue`. `busy`: it runs a job, `job` (None: hidden)."""

    host: str
    queue: str
    busy: bool
    job: str | None


class ProcessReader(Connected):
    """Reads the processes. Raises `RedisError`."""

    def read(self) -> tuple[list[Worker], list[TrainerProcess]]:
        """Return the workers by name, and the trainer's processes by queue. Two round trips."""
        scorers, trainers, names = (
            sorted(member.decode(errors="replace") for member in members)
            for members in self._scripts.send(
                [("SMEMBERS", key) for key in (SCORERS.members, TRAINERS.members, WORKERS)]
            )
        )
        processes = [*scorers, *trainers]
        steps: list[Step] = []
        for inc in processes:
            steps += [("EXISTS", f"mg:lease:{inc}"), ("ZRANGE", f"mg:held:{inc}", 0, 0)]
            steps += [("HMGET", f"rq:worker:{inc}", "hostname", "queues")]
        for name in names:
            steps += [("GET", key(name)) for key in (status_key, failures_key, memory_key)]
        answers = self._scripts.send(steps) if steps else []
        states = dict(zip(processes, zip(*[iter(answers[: 3 * len(processes)])] * 3, strict=True), strict=True))
        said = dict(zip(names, zip(*[iter(answers[3 * len(processes) :])] * 3, strict=True), strict=True))
        workers = _workers({inc: states[inc] for inc in scorers if states[inc][0]}, said)
        return workers, [_trainer(*states[inc][1:]) for inc in trainers if states[inc][0]]


def _workers(scorers: Mapping[str, Sequence[Any]], said: Mapping[str, Sequence[bytes | None]]) -> list[Worker]:
    workers: defaultdict[str, Worker] = defaultdict(lambda: Worker(""))
    for inc, (_, held, (host, _)) in scorers.items():
        worker = workers[worker_of(inc)]
        worker.host = _text(host)
        worker.busy += bool(held) and not is_extra(inc)
        worker.idle += not held and not is_extra(inc)
    for name in workers:
        workers[name].name = name
        _add_report(workers[name], *said.get(name, (None, None, None)))
    for name in said.keys() - workers.keys():
        pool = Worker(name, asleep=True)
        _add_report(pool, *said[name])
        pool.memory = None  # of scorers that have ended
        if pool.environment != TODAY:
            workers[name] = pool
    return [worker for _, worker in sorted(workers.items())]


def _add_report(worker: Worker, status: bytes | None, failures: bytes | None, memory: bytes | None) -> None:
    """Add what a worker says of itself. It may have written anything; what cannot be read counts as nothing."""
    with suppress(ValueError, TypeError):
        if status is not None:
            report = LoadStatus.loads(status)
            worker.loaded = sorted(map(str, report.loaded))
            worker.models = None if report.models is None else sorted(map(str, report.models))
            worker.environment = str(report.environment)
            worker.silent = False
    with suppress(ValueError):
        shared, private = map(int, (memory or b"").split())
        worker.memory = shared, private
    worker.failures = parse_failures([failures])


def _trainer(held: Sequence[bytes], about: Sequence[bytes | None]) -> TrainerProcess:
    host, queues = about
    return TrainerProcess(_text(host), _text(queues), bool(held), _text(held[0]) if held else None)


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")
