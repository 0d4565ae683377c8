"""The state of the whole system for operators: processes, queues, Redis, and what is wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

from redis.exceptions import RedisError

from broker.metrics import table
from broker.metrics.reading import Snapshot
from broker.metrics.table import Metric
from broker.metrics.traffic import Period, Point, TrafficReader, together
from broker.sides.gateway.system_health import ProcessReader, TrainerProcess, Worker
from contract.model.repository import CURRENT
from contract.work.api_keys import Key, Scope
from gateway.serving.announcements import LEAST_ERRORS, LEAST_SHARE, WINDOW
from gateway.serving.metrics import Metrics, ttl_of_cost
from gateway.serving.readiness import Readiness, ReadinessReport, State
from runtime.ttl_cache import TtlCache

QUEUE_AGE, REDIS_WARNING, REDIS_CRITICAL, RUNNING_AGE, DISK_FREE, MOST_JOBS = 30, 0.7, 0.9, 10, 0.1, 0.5
"""The thresholds of `monitoring/alerts.yml`."""

KEEP = 5.0
"""Seconds that a reading of the processes is kept, since many people watch the same page."""

_CRITICAL, _WARNING = "critical", "warning"

_CONSEQUENCES = {
    "gateways": "requests go to the others",
    "workers": "jobs wait longer",
    "trainers": "trainings wait, and changes of models may be refused",
    "observers": "what is predicted waits to be logged, and nobody can read the log",
    "replicas": "Redis has fewer copies to fail over to",
    "sentinels": "Redis fails over only while most of them agree",
    "senders": "webhooks wait",
}


@dataclass(frozen=True)
class Alert:
    """Something that is wrong now. `code` is that of `/health/ready`, or names a rule of `monitoring/alerts.yml`."""

    code: str
    severity: str
    detail: str


@dataclass(frozen=True)
class Queue:
    """The jobs of a model: predictions that wait, with their rows and the age of the oldest (s); those that run; and
    the same of file predictions."""

    model: str
    waiting: int
    rows: int
    oldest_seconds: float
    running: int
    files_waiting: int
    files_running: int

    @property
    def empty(self) -> bool:
        return not (self.waiting or self.running or self.files_waiting or self.files_running)


@dataclass(frozen=True)
class TrainerQueueState:
    """The jobs that wait for the trainer in a queue, and the age of the oldest (s)."""

    name: str
    waiting: int
    oldest_seconds: float


@dataclass(frozen=True)
class RedisState:
    """Bytes that Redis uses, may use (`max_bytes`, None: no limit), and uses for each purpose (`shares`). `disk`:
    whether it writes its append-only file (None: it has none)."""

    bytes: int
    max_bytes: int | None
    shares: Mapping[str, int]
    disk: bool | None

    @property
    def share(self) -> float | None:
        """The used fraction of `max_bytes`."""
        return self.bytes / self.max_bytes if self.max_bytes else None


@dataclass(frozen=True)
class SystemState:
    """The state of the whole system. `queues` are those with jobs. `redis` is None while Redis does not answer."""

    status: State
    alerts: Sequence[Alert]
    workers: Sequence[Worker]
    trainers: Sequence[TrainerProcess]
    queues: Sequence[Queue]
    trainer_queues: Sequence[TrainerQueueState]
    redis: RedisState | None
    spool_bytes: int
    webhooks_waiting: int

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "workers": [_worker_json(worker) for worker in self.workers]}


class System:
    """Reads the state for all callers together. `metrics` and `readiness` keep what they have read for a while."""

    def __init__(self, metrics: Metrics, readiness: Readiness, processes: ProcessReader, rings: TrafficReader) -> None:
        self._metrics = metrics
        self._readiness = readiness
        self._processes = processes
        self._rings = rings
        self._cache: TtlCache[str, tuple[list[Worker], list[TrainerProcess]]] = TtlCache(1)

    def state(self, caller: Key) -> SystemState:
        """Return the state as `caller` may see it: without models that its key may not use, and without jobs that may
        be those of other owners. Without Redis, it has no processes and queues."""
        report, snapshot = self._readiness.report(), self._metrics.snapshot()
        failed = [
            model for (model, status), count in snapshot.values[table.JOBS].items() if status == "failed" and count
        ]
        workers, trainers, recent = self._read([model for model in failed if caller.may_use(model)])
        if caller.models is not None:
            report, workers = report.without_names(), [_of_models(worker, caller.models) for worker in workers]
        if not caller.allows(Scope.ADMIN):
            trainers = [replace(process, job=None) for process in trainers]
        queues = [queue for queue in _queues(snapshot) if caller.may_use(queue.model)]
        redis = _redis(snapshot)
        schedules = [model for (model,), failed in snapshot.values[table.SCHEDULE_FAILED].items() if failed]
        alerts = chain(
            _reasons(report, snapshot.values[table.ALIASES]), _rules(snapshot, queues, redis), _failing(recent)
        )
        return SystemState(
            status=report.state,
            alerts=[*alerts, *_failed(filter(caller.may_use, schedules))],
            workers=workers,
            trainers=trainers,
            queues=queues,
            trainer_queues=_trainer_queues(snapshot),
            redis=redis,
            spool_bytes=round(snapshot.total(table.SPOOL)),
            webhooks_waiting=round(snapshot.total(table.WEBHOOKS_WAITING)),
        )

    def _read(self, failed: Sequence[str]) -> tuple[list[Worker], list[TrainerProcess], Mapping[str, Point]]:
        """Return the processes, and the last minutes of these models."""
        read = self._processes.read
        try:
            processes = self._cache.fetch("processes", read, lambda _, seconds: ttl_of_cost(seconds, KEEP))
            minutes = self._rings.newest(Period.HOURS, failed, WINDOW + 1) if failed else []
        except RedisError:
            return [], [], {}  # an alert says that Redis is away
        return *processes, dict(zip(failed, map(together, minutes), strict=True))


def _of_models(worker: Worker, models: Collection[str]) -> Worker:
    def ours(version: str) -> bool:
        return version.partition("@")[0] in models

    return replace(
        worker,
        models=None if worker.models is None else [model for model in worker.models if model in models],
        loaded=[version for version in worker.loaded if ours(version)],
        failures={version: failure for version, failure in worker.failures.items() if ours(version)},
    )


def _queues(snapshot: Snapshot) -> list[Queue]:
    values = snapshot.values
    metrics = (table.QUEUE_JOBS, table.RUNNING, table.FILE_QUEUE_JOBS, table.RUNNING_FILES)
    models = sorted({model for metric in metrics for (model,) in values[metric]})

    def of(metric: Metric, model: str) -> float:
        return values[metric].get((model,), 0)

    queues = [
        Queue(
            model,
            waiting=round(of(table.QUEUE_JOBS, model)),
            rows=round(of(table.QUEUE_ROWS, model)),
            oldest_seconds=round(of(table.QUEUE_AGE, model), 3),
            running=round(of(table.RUNNING, model)),
            files_waiting=round(of(table.FILE_QUEUE_JOBS, model)),
            files_running=round(of(table.RUNNING_FILES, model)),
        )
        for model in models
    ]
    return [queue for queue in queues if not queue.empty]


def _trainer_queues(snapshot: Snapshot) -> list[TrainerQueueState]:
    waiting, ages = snapshot.values[table.TRAINER_QUEUE_JOBS], snapshot.values[table.TRAINER_QUEUE_AGE]
    return [
        TrainerQueueState(name, round(count), round(ages.get((name,), 0.0), 3))
        for (name,), count in sorted(waiting.items())
    ]


def _redis(snapshot: Snapshot) -> RedisState | None:
    values = snapshot.values
    if not values[table.REDIS_UP].get(()):
        return None
    most = values[table.REDIS_MAX].get(())
    flags = [values[metric][()] for metric in (table.AOF_WRITTEN, table.AOF_REWRITTEN) if () in values[metric]]
    return RedisState(
        bytes=round(values[table.REDIS_USED][()]),
        max_bytes=None if most is None else round(most),
        shares={purpose: round(size) for (purpose,), size in values[table.REDIS_SHARE].items()},
        disk=all(flags) if flags else None,
    )


def _reasons(report: ReadinessReport, aliases: Mapping[tuple[str, ...], float]) -> Iterator[Alert]:
    severity = _CRITICAL if report.state is State.NOT_READY else _WARNING
    for reason in report.reasons:
        current = aliases.get((str(reason.members.get("model")), CURRENT), 0)
        critical = reason.code == "no_worker" or reason.members.get("version") == current
        yield Alert(reason.code, _CRITICAL if critical else severity, reason.detail)


def _rules(snapshot: Snapshot, queues: Sequence[Queue], redis: RedisState | None) -> Iterator[Alert]:
    """Yield the alerts of `monitoring/alerts.yml` that need no rates and that `/health/ready` does not report."""
    for queue in queues:
        if queue.oldest_seconds > QUEUE_AGE:
            detail = f"a prediction with {queue.model} has waited for {queue.oldest_seconds:.0f} s"
            yield Alert("queue_age", _WARNING, detail)
    for (model,), seconds in snapshot.values[table.RUNNING_AGE].items():
        if seconds > RUNNING_AGE and model in {queue.model for queue in queues}:
            detail = f"a prediction with {model} has been running for {seconds:.0f} s: the model is slow or hangs"
            yield Alert("model_hangs", _WARNING, detail)
    alive = snapshot.values[table.ALIVE]
    for (kind,), expected in snapshot.values[table.EXPECTED].items():
        if alive.get((kind,), expected) < expected:
            detail = f"of {expected:g} expected {kind}, {alive[kind,]:g} are alive: {_CONSEQUENCES[kind]}"
            yield Alert(f"missing_{kind}", _WARNING, detail)
    for (folder,), share in snapshot.values[table.DISK_FREE].items():
        if share < DISK_FREE:
            yield Alert("disk_filling", _WARNING, f"the disk of the {folder} has {share:.0%} left")
    if redis and redis.share and redis.share > REDIS_WARNING:
        critical = redis.share > REDIS_CRITICAL
        more = " and will soon refuse new jobs" if critical else ""
        detail = f"Redis uses {redis.share:.0%} of its memory{more}"
        yield Alert("redis_90_percent" if critical else "redis_70_percent", _CRITICAL if critical else _WARNING, detail)
    if redis and redis.disk is False:
        detail = "Redis cannot write or rewrite its append-only file; with a full disk it refuses all writes"
        yield Alert("aof_failing", _CRITICAL, detail)


def _failed(models: Iterable[str]) -> Iterator[Alert]:
    """Yield an alert for each of these models, with a schedule whose last run failed or does not begin."""
    for model in models:
        detail = f"the last scheduled run of {model} failed or is late; modelgate schedule says which, and why"
        yield Alert("schedule_failed", _WARNING, detail)


def _failing(recent: Mapping[str, Point]) -> Iterator[Alert]:
    """Yield an alert for each of these models of which many predictions failed in the last minutes."""
    for model, point in recent.items():
        share = point.failed / max(point.requests, point.failed, 1)
        if point.failed >= LEAST_ERRORS and share > LEAST_SHARE:
            why = f"GET /v1/models/{model}/failures says why"
            detail = f"{share:.0%} of the predictions with {model} failed within {WINDOW} minutes; {why}"
            code, severity = ("most_jobs_failing", _CRITICAL) if share > MOST_JOBS else ("jobs_failing", _WARNING)
            yield Alert(code, severity, detail)


def _worker_json(worker: Worker) -> dict[str, Any]:
    memory = None if worker.memory is None else dict(zip(("shared", "own"), worker.memory, strict=True))
    failures = [
        {"version": version, "reason": failure.reason, "since": failure.since}
        for version, failure in sorted(worker.failures.items())
    ]
    return {**vars(worker), "memory": memory, "failures": failures}
