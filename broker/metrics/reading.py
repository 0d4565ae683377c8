"""Reads what Redis knows of the metrics: counters, queues, processes, memory."""

from __future__ import annotations

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain, islice, product, starmap
from typing import Any

from broker.link.scripts import Call, Connected, Step
from broker.metrics import table
from broker.metrics.counts import BY_FIELD, parse_counts
from broker.metrics.table import COUNTS, MODEL_COUNTS, TRAFFIC, TRAFFIC_STEPS, CountedBy, Metric, Type
from broker.records.job_kinds import (
    EXPLANATION,
    FILE_PREDICTION,
    PREDICTION,
    JobKind,
    kind_of,
    queue_names,
    readable_kinds,
    trainer_queues,
)
from broker.records.lease_groups import EXTRA, OBSERVERS, SCORERS, TRAINERS, is_extra, serves_today, worker_of
from broker.state.boards import HEALTH, HealthBoard
from broker.state.lake_schedules import KEY as LAKE_SCHEDULES
from broker.state.lake_schedules import PATIENCE
from broker.state.lake_schedules import readable as readable_lake_schedule
from broker.state.load_status import WORKERS as WORKER_NAMES
from broker.state.load_status import failures_key, memory_key, parse_failures
from broker.state.mirrors import MIRROR_STATES, MIRRORS, alive_mirrors, parse_reports, report_key
from broker.state.prediction_log import LOG_BYTES
from broker.state.presence import GATEWAYS, SENDERS, STUCK, TIMEOUTS, stuck_at, timed_out
from broker.state.schedules import KEY as SCHEDULES
from broker.state.schedules import readable as readable_schedule
from broker.state.webhook_store import DUE, ENDED, WAITING, seconds_late
from contract.work.jobs import timestamp

Labels = tuple[str, ...]

_QUEUES_PER_CALL = 50
_TRAINER_QUEUES = trainer_queues()
_GROUPS, _ENDS = ("scorers", "trainers"), ("succeeded", "failed", "canceled", "expired")
_BY_VERSION = frozenset(name.encode() for name, metric in BY_FIELD.items() if "version" in metric.labels)
_FROM_ZERO: Sequence[tuple[Metric, Labels]] = [
    *((table.TRAINER_JOBS, labels) for labels in product(_TRAINER_QUEUES, _ENDS)),
    *((metric, (group,)) for metric in (table.DEATHS, table.LEASES_LOST) for group in _GROUPS),
    *((table.GIVEN_BACK, (became,)) for became in ("queued", "failed", "expired")),
    *((metric, ()) for metric in (table.UPLOADS, table.UPLOAD_BYTES)),
    *((metric, (outcome,)) for metric in (table.WEBHOOKS, table.WEBHOOK_TRIES) for outcome in ("delivered", "failed")),
]
"""Rare events whose counters begin with 0: Prometheus cannot see the first one otherwise."""
_SILENT = 10
"""Seconds without a report after which a gateway, a sender of webhooks or a replica counts as gone."""
_SENTINELS = "__sentinel__:hello"
"""The channel of a primary to which each of its Sentinels subscribes (Redis' sentinel.c)."""
_GAUGES: Mapping[JobKind, tuple[Sequence[Metric], Sequence[Metric]]] = {
    PREDICTION: ((table.QUEUE_JOBS, table.RUNNING, table.QUEUE_ROWS), (table.QUEUE_AGE, table.RUNNING_AGE)),
    EXPLANATION: ((table.EXPLANATION_QUEUE_JOBS,), ()),
    FILE_PREDICTION: ((table.FILE_QUEUE_JOBS, table.RUNNING_FILES), (table.FILE_QUEUE_AGE,)),
}
"""For each kind the gauges of waiting jobs, running ones and rows, and those of the oldest."""
_SEEN = ("unseen", "fetched", "delivered")
_DIGITS = 16
"""A worker may write a longer number where a version belongs."""


@dataclass(frozen=True)
class Buckets:
    """The values of a histogram: how many are in each bucket, the last of which has no bound, and their sum."""

    counts: Sequence[int]
    sum: float


@dataclass
class Snapshot:
    """The values of the metrics at one moment, in the unit of each, by their labels."""

    values: defaultdict[Metric, dict[Labels, float]] = field(default_factory=lambda: defaultdict(dict))
    histograms: defaultdict[Metric, dict[Labels, Buckets]] = field(default_factory=lambda: defaultdict(dict))
    outdated: dict[str, Sequence[bytes]] = field(default_factory=dict)
    """Fields by hash that hold counters of too old versions (`table.NEWEST_VERSIONS`); the values have none of them."""

    def total(self, metric: Metric) -> float:
        return sum(self.values[metric].values())


class MetricsReader(Connected):
    """Reads a snapshot: at most four round trips, and work that grows with the number of queues, not with that of
    jobs."""

    def read(self, models: Sequence[str]) -> Snapshot:
        """Return what Redis knows, about these models. Raises `RedisError`."""
        queues = self._queues_of(models)
        hashes = [*(f"{COUNTS}{counter}" for counter in CountedBy), *(MODEL_COUNTS + model for model in models)]
        groups = [queues[start : start + _QUEUES_PER_CALL] for start in range(0, len(queues), _QUEUES_PER_CALL)]
        rings = [f"{TRAFFIC}{step}" for step in TRAFFIC_STEPS]
        ours = [*hashes[: len(CountedBy)], *rings]
        sample = [key for model in models[:1] for key in (MODEL_COUNTS + model, *(f"{ring}:{model}" for ring in rings))]
        steps: list[Step] = [
            ("TIME",),
            ("INFO", "memory"),
            ("INFO", "persistence"),
            ("INFO", "replication"),
            ("SMEMBERS", SCORERS.members),
            ("SMEMBERS", TRAINERS.members),
            ("SMEMBERS", OBSERVERS.members),
            ("SMEMBERS", WORKER_NAMES),
            ("ZRANGE", MIRRORS, 0, -1, "WITHSCORES"),
            ("PUBSUB", "NUMSUB", _SENTINELS),
            ("ZRANGE", GATEWAYS, 0, -1, "WITHSCORES"),
            ("ZRANGE", SENDERS, 0, -1, "WITHSCORES"),
            ("ZRANGE", STUCK, 0, -1, "WITHSCORES"),
            ("HGETALL", SCHEDULES),
            ("HGETALL", LAKE_SCHEDULES),
            ("ZRANGE", TIMEOUTS, 0, -1, "WITHSCORES"),
            ("GET", LOG_BYTES),
            ("HGETALL", HEALTH),
            ("LINDEX", ENDED, 0),
            ("LLEN", ENDED),
            ("HGETALL", WAITING),
            ("ZRANGE", DUE, 0, 0, "WITHSCORES"),
            *(("MEMORY", "USAGE", key) for key in (*ours, *sample)),
            *(("HGETALL", key) for key in hashes),
            *(Call("survey", group) for group in groups),
        ]
        answers = iter(self._scripts.attempt(steps))
        (
            now,
            memory,
            persistence,
            replication,
            *members,
            mirrors,
            sentinels,
            gateways,
            senders,
            stuck,
            trainings,
            lakes,
        ) = self._scripts.checked(list(islice(answers, 15)))
        timeouts, waiting, health, *webhooks = islice(answers, 7)
        sizes = [size or 0 for size in self._scripts.checked(list(islice(answers, len(ours) + len(sample))))]
        snapshot = Snapshot()
        snapshot.values[table.TIMED_OUT] = {(model,): 1 for model in timed_out(timeouts, now[0])}
        with suppress(ValueError, TypeError):  # a worker may have written anything
            snapshot.values[table.LOG_WAITING][()] = int(waiting or 0)
        for version, said in HealthBoard.parsed(health).items():
            model, _, number = version.partition("@")
            snapshot.values[table.MODEL_FINDINGS][model, number, said.state] = len(said.findings)
        _add_webhooks(snapshot, webhooks, now[0] + now[1] / 1_000_000)
        for metric, labels in (*_FROM_ZERO, *((table.JOBS, (model, "failed")) for model in models)):
            snapshot.values[metric][labels] = 0
        for key, counted in zip(hashes, islice(answers, len(hashes)), strict=True):
            if isinstance(counted, dict):  # a worker may have made its hash something else
                if outdated := _outdated(counted):
                    snapshot.outdated[key] = outdated
                _add_counts(snapshot, key, {name: counted[name] for name in counted.keys() - set(outdated)})
        surveys = dict(zip(queues, chain.from_iterable(self._scripts.checked(list(answers))), strict=True))
        shares = _add_queues(snapshot, surveys, now[0] + now[1] / 1_000_000)
        shares["metrics"] = sum(sizes[: len(ours)]) + sum(sizes[len(ours) :]) * len(models)
        _add_redis(snapshot, memory, persistence, shares)
        if snapshot.values[table.AOF_WRITTEN].get((), 1):  # else no lease is renewed, and nobody knows who lives
            *leased, workers = members
            self._add_processes(snapshot, leased, workers, alive_mirrors(mirrors, now[0]))
            snapshot.values[table.STUCK][()] = len(stuck_at(stuck, now[0]))
            since = (now[0] - _SILENT) * 1000
            # The gateway that asks is alive, whether or not it has reported.
            alive = {
                "gateways": max(1, sum(score >= since for _, score in gateways)),
                "replicas": _replicas(replication),
                "sentinels": sentinels[1],
                "senders": sum(score >= since for _, score in senders),
            }
            snapshot.values[table.ALIVE].update({(kind,): count for kind, count in alive.items()})
        moment = datetime.fromtimestamp(now[0], UTC)
        self._add_schedules(snapshot, trainings, moment)
        _add_lake_schedules(snapshot, lakes, moment)
        return snapshot

    def read_models(self, models: Sequence[str]) -> Snapshot:
        """Return what these models have counted. Raises `RedisError`."""
        keys = [MODEL_COUNTS + model for model in models]
        snapshot = Snapshot()
        for key, counted in zip(keys, self._scripts.attempt([("HGETALL", key) for key in keys]), strict=True):
            _add_counts(snapshot, key, counted)
        return snapshot

    def _queues_of(self, models: Sequence[str]) -> list[str]:
        """Return the queues of these models, of all owners, and those of the trainer."""
        known, queues = set(models), {PREDICTION.queue_of(model) for model in models}
        (keys,) = self._scripts.send([("SMEMBERS", "rq:queues")])
        names = queue_names(keys)
        for kind in readable_kinds():
            queues.update(name for name in names if kind.owns(name) and kind.model_of(name) in known)
        return [*sorted(queues), *_TRAINER_QUEUES]

    def _add_processes(
        self,
        snapshot: Snapshot,
        leased: Sequence[Iterable[bytes]],
        workers: Iterable[bytes],
        mirrors: Sequence[str],
    ) -> None:
        """Add what is known of processes. `leased`: the incarnations of scorers, trainers and observers."""
        scorers, trainers, observers = ([inc.decode() for inc in group] for group in leased)
        members = {table.SCORERS: scorers, table.TRAINERS: trainers}
        incs = [*scorers, *trainers, *observers]
        names = [worker.decode(errors="replace") for worker in workers]
        steps: list[Step] = [
            *(("GET", report_key(name)) for name in mirrors),
            *(("EXISTS", f"mg:lease:{inc}") for inc in incs),
            *(("ZCARD", f"mg:held:{inc}") for inc in incs),
            *(("GET", failures_key(name)) for name in names),
            *(("GET", memory_key(name)) for name in names),
        ]
        answers = self._scripts.send(steps) if steps else []
        reports, answers = parse_reports(mirrors, answers[: len(mirrors)]), answers[len(mirrors) :]
        if mirrors:
            mirroring = Tally(report.state for report in reports.values())
            snapshot.values[table.MIRRORS] = {(state,): mirroring[state] for state in MIRROR_STATES}
        alive = {inc for inc, exists in zip(incs, answers, strict=False) if exists}
        owned = dict(zip(incs, answers[len(incs) :], strict=False))
        for metric, group in members.items():
            states = Tally(
                EXTRA if is_extra(inc) else "busy" if owned[inc] else "idle" for inc in group if inc in alive
            )
            snapshot.values[metric] = {(state,): states[state] for state in ("busy", "idle", *states)}
        # Another pool of a worker sleeps and wakes; alerts compare this with the number that is expected.
        serving = {worker_of(inc) for inc in members[table.SCORERS] if inc in alive and serves_today(inc)}
        snapshot.values[table.WORKERS][()] = len(serving)
        takers = Tally(worker_of(inc).rpartition("-")[2] for inc in members[table.TRAINERS] if inc in alive)
        snapshot.values[table.ALIVE]["workers",] = len(serving)
        snapshot.values[table.ALIVE]["observers",] = len(alive.intersection(observers))
        snapshot.values[table.ALIVE]["trainers",] = min(takers[queue] for queue in _TRAINER_QUEUES)
        failures, sizes = answers[2 * len(incs) :][: len(names)], answers[2 * len(incs) + len(names) :]
        for name, text in zip(names, sizes, strict=True):
            with suppress(ValueError):  # a worker may have written anything
                for part, size in zip(("shared", "own"), (text or b"").split(), strict=False):
                    snapshot.values[table.MODEL_MEMORY][name, part] = int(size)
        for version in parse_failures(failures):
            model, _, number = version.partition("@")
            snapshot.values[table.NOT_LOADED][model, number] = 1

    def _add_schedules(self, snapshot: Snapshot, entries: Mapping[bytes, bytes], now: datetime) -> None:
        schedules = list(filter(None, starmap(readable_schedule, entries.items())))
        steps = [("HGET", f"rq:job:{job}", "status") for schedule in schedules for job in schedule.jobs]
        statuses = iter(self._scripts.send(steps) if steps else ())
        late = timestamp(now - timedelta(seconds=PATIENCE))
        for schedule in schedules:
            failed = b"failed" in list(islice(statuses, len(schedule.jobs)))
            snapshot.values[table.SCHEDULE_FAILED][schedule.model,] = failed or schedule.next_run < late


def _add_lake_schedules(snapshot: Snapshot, entries: Mapping[bytes, bytes], now: datetime) -> None:
    failed = snapshot.values[table.SCHEDULE_FAILED]
    for schedule in filter(None, map(readable_lake_schedule, entries.values())):
        failed[schedule.model,] = max(failed.get((schedule.model,), 0), schedule.has_failed(now))


def _replicas(replication: Mapping[str, Any]) -> int:
    """Return how many replicas follow this Redis."""
    replicas = [value for name, value in replication.items() if name.startswith("slave") and isinstance(value, dict)]
    return sum(replica.get("state") == "online" and replica.get("lag", 0) <= _SILENT for replica in replicas)


def _outdated(counted: Mapping[bytes, bytes]) -> list[bytes]:
    """Return the fields about other versions than the newest `table.NEWEST_VERSIONS`."""
    by_version: defaultdict[int, list[bytes]] = defaultdict(list)
    for name in counted:
        short, *labels = name.split(b"|", 2)
        if short in _BY_VERSION:
            text = labels[0] if labels else b""
            by_version[int(text) if text.isdigit() and len(text) < _DIGITS else 0].append(name)
    return [name for version in sorted(by_version)[: -table.NEWEST_VERSIONS] for name in by_version[version]]


def _add_counts(snapshot: Snapshot, key: str, counted: Mapping[bytes, bytes]) -> None:
    """Add the fields of a hash of counts."""
    model = key.removeprefix(MODEL_COUNTS) if key.startswith(MODEL_COUNTS) else None
    buckets: defaultdict[tuple[Metric, Labels], dict[str, int]] = defaultdict(dict)
    for metric, values, count in parse_counts(counted):
        if metric.by_model != (model is not None) or (model is None and key != f"{COUNTS}{metric.counted_by}"):
            continue
        part = values.pop() if metric.type is Type.HISTOGRAM else ""
        if model is not None:
            values.insert(metric.labels.index("model"), model)
        if metric.type is Type.HISTOGRAM:
            buckets[metric, tuple(values)][part] = count
        else:
            snapshot.values[metric][tuple(values)] = count / metric.scale
    for (metric, labels), parts in buckets.items():
        counts = [parts.get(str(at), 0) for at in range(len(metric.buckets) + 1)]
        snapshot.histograms[metric][labels] = Buckets(counts, parts.get("sum", 0) / metric.scale)


def _add_queues(snapshot: Snapshot, surveys: Mapping[str, Sequence[Any]], now: float) -> dict[str, int]:
    """Add the results of SURVEY by queue, at `now` in seconds. Returns the bytes of the jobs by purpose."""
    shares = dict.fromkeys(("jobs", *_SEEN, "trainings"), 0)
    values = snapshot.values
    for queue, (waiting, rows, since, running, began, *sizes) in surveys.items():
        age = _age(since, now)
        if queue in _TRAINER_QUEUES:
            values[table.TRAINER_QUEUE_JOBS][queue,] = waiting
            values[table.TRAINER_QUEUE_AGE][queue,] = age
            shares["trainings"] += sum(sizes)
            continue
        kind = kind_of(queue) or PREDICTION
        model, (gauges, ages) = kind.model_of(queue), _GAUGES.get(kind, _GAUGES[PREDICTION])
        for metric, amount in zip(gauges, (waiting, running, rows), strict=False):
            values[metric][model,] = values[metric].get((model,), 0) + amount
        for metric, seconds in zip(ages, (age, _age(began, now)), strict=False):
            values[metric][model,] = max(seconds, values[metric].get((model,), 0.0))
        for purpose, size in zip(("jobs", *_SEEN), sizes, strict=True):
            shares[purpose] += size
    return shares


def _add_webhooks(snapshot: Snapshot, answers: Sequence[Any], now: float) -> None:
    """Add what waits to be sent. A worker may have made the list of ends something else."""
    first, ended, waiting, turn = (None if isinstance(answer, Exception) else answer for answer in answers)
    snapshot.values[table.WEBHOOKS_WAITING][()] = (ended or 0) + sum(map(int, (waiting or {}).values()))
    snapshot.values[table.WEBHOOKS_AGE][()] = seconds_late(first, turn or (), now)


def _age(enqueued_at: bytes, now: float) -> float:
    """Return the seconds since a time in RQ's format; 0 without one."""
    try:
        since = datetime.fromisoformat(enqueued_at.decode())
    except ValueError:
        return 0.0
    if since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    return max(0.0, now - since.timestamp())


def _add_redis(
    snapshot: Snapshot, memory: Mapping[str, Any], persistence: Mapping[str, Any], shares: Mapping[str, int]
) -> None:
    values = snapshot.values
    values[table.REDIS_UP][()] = 1
    values[table.REDIS_USED][()] = memory["used_memory"]
    if memory["maxmemory"]:
        values[table.REDIS_MAX][()] = memory["maxmemory"]
    for purpose, size in {**shares, "other": max(0, memory["used_memory"] - sum(shares.values()))}.items():
        values[table.REDIS_SHARE][purpose,] = size
    if persistence["aof_enabled"]:
        values[table.AOF_WRITTEN][()] = persistence["aof_last_write_status"] == "ok"
        values[table.AOF_REWRITTEN][()] = persistence["aof_last_bgrewrite_status"] == "ok"
        values[table.AOF_DELAYED][()] = persistence["aof_delayed_fsync"]
