"""The live workers and trainer processes, as Redis knows them: what each holds, and whether it works."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

from broker.link.scripts import Scripts, Step
from broker.records.lease_groups import SCORERS, TRAINERS, worker_of
from broker.state.load_status import (
    WORKERS,
    LoadFailure,
    LoadStatus,
    failures_key,
    memory_key,
    parse_failures,
    status_key,
)


@dataclass
class Worker:
    """A worker with its scorers: those that score (`busy`) and those that wait for jobs (`idle`).

    `host` is its machine. `models` are those that it serves (None: all). `loaded` are the versions (`loan@3`) that all
    its scorers hold in memory, and `memory` their bytes: shared by all scorers, and of single ones; None if unknown.
    `failures` are the versions that it cannot load. `silent`: it has reported nothing for some seconds.
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


@dataclass(frozen=True)
class TrainerProcess:
    """A process of the trainer, which takes the jobs of `queue`. `busy`: it runs a job, `job` (None: hidden)."""

    host: str
    queue: str
    busy: bool
    job: str | None


class ProcessReader:
    """Reads the processes. Raises `RedisError`."""

    def __init__(self, connection: Redis) -> None:
        self._scripts = Scripts(connection)

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
        if held:
            worker.busy += 1
        else:
            worker.idle += 1
    for name in workers:
        workers[name].name = name
        _add_report(workers[name], *said.get(name, (None, None, None)))
    return [worker for _, worker in sorted(workers.items())]


def _add_report(worker: Worker, status: bytes | None, failures: bytes | None, memory: bytes | None) -> None:
    """Add what a worker says of itself. It may have written anything; what cannot be read counts as nothing."""
    with suppress(ValueError, TypeError):
        if status is not None:
            report = LoadStatus.loads(status)
            worker.loaded = sorted(map(str, report.loaded))
            worker.models = None if report.models is None else sorted(map(str, report.models))
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
