"""A scorer's side of the queues: take a batch, finish it, wait for work."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

from broker.job_kinds import PREDICTION
from broker.records import failed, finished, payload_of, plain
from broker.scripts import Scripts
from contract.errors import Code, Failure
from contract.jobs import PredictionOutcome, Row

LARGEST_BATCH = 1000
"""Most jobs that one script moves: Redis does nothing else meanwhile."""

_BELL = "mg:bell"
_QUEUES_KNOWN_FOR = 1.0
"""Seconds before the list of queues is read again."""


@dataclass(frozen=True)
class BatchLimits:
    """What one batch may hold.

    A batch has at most `jobs` jobs (up to `LARGEST_BATCH`) and `rows` rows, or `model_rows` of its model; a first job
    that is larger comes alone. Only `models` are taken (None: all), and none of `skip`.
    """

    rows: int = 1000
    jobs: int = 64
    model_rows: Mapping[str, int] = field(default_factory=dict)
    models: Collection[str] | None = None
    skip: Collection[str] = ()


@dataclass(frozen=True)
class BatchJob:
    id: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Batch:
    """Jobs of one version of one model, the oldest first; never empty."""

    model: str
    version: int
    jobs: Sequence[BatchJob]


class ScorerQueue:
    """The prediction jobs, as one scorer sees them. All methods raise `redis.exceptions.RedisError`.

    `incarnation` must be registered (`broker.supervisor`), by this process or another.
    """

    def __init__(self, connection: Redis, incarnation: str) -> None:
        self._redis: Any = connection
        self._scripts = Scripts(connection)
        self._incarnation = incarnation
        self._limits: tuple[BatchLimits | None, tuple[int | str, ...]] = (None, ())
        self._known: tuple[float, list[str]] = (float("-inf"), [])

    def take(self, limits: BatchLimits) -> Batch | None:
        """Take the next batch, which this incarnation then owns. Returns None if no job waits. One round trip.

        Models take turns. A job that was being scored when a scorer died comes alone. A batch that this incarnation
        owns already is returned again. Unreadable jobs fail with `job_refused` and are not returned. Raises
        `FencedError` without a lease.
        """
        if limits is not self._limits[0]:
            self._limits = (limits, _arguments(limits))
        while True:
            answer = self._scripts.run("take", self._incarnation, *self._limits[1])
            if not answer:
                return None
            queue, version, *parts = answer
            jobs, refused = _read(parts)
            if refused:
                self.finish(refused)
            if jobs:
                return Batch(PREDICTION.model_of(queue.decode()), int(version), jobs)

    def finish(self, outcomes: Mapping[str, PredictionOutcome | Failure]) -> list[str]:
        """End jobs, by id, and wake the requests that wait for them. Harmless to repeat. One round trip.

        Returns the ids of the jobs that were cancelled meanwhile, whose outcomes are dropped. An outcome that JSON
        cannot hold becomes a failure that says so. Raises `FencedError` if the incarnation was given back; then nothing
        is written, and its scorer has to exit.
        """
        if not outcomes:
            return []
        args: list[str] = []
        for job_id, outcome in outcomes.items():
            args += (job_id, *_finished(outcome))
        written = self._scripts.run("finish", PREDICTION.group.members, self._incarnation, *args)
        return [job_id for job_id, answer in zip(outcomes, written, strict=True) if answer != 1]

    def wait_for_work(self, limits: BatchLimits, seconds: float = 1.0) -> None:
        """Return when there may be a batch for these limits, at the latest after `seconds`, which must be less than the
        connection's `socket_timeout`. Call it when `take` returned None.

        The bell is a hint: a scorer may die with the token that it took, so a wait is short.
        """
        bells = [_BELL] if limits.models is None and not limits.skip else self._bells(limits)
        if bells:
            self._redis.blpop(bells, timeout=seconds)
        else:
            time.sleep(seconds)

    def _bells(self, limits: BatchLimits) -> list[str]:
        """Return the bells of the single queues, because the common one also rings for models that are skipped."""
        models = self._models() if limits.models is None else limits.models
        return [f"{_BELL}:{PREDICTION.queue_of(model)}" for model in sorted(set(models) - set(limits.skip))]

    def _models(self) -> list[str]:
        read_at, models = self._known
        if time.monotonic() - read_at >= _QUEUES_KNOWN_FOR:
            names = (key.decode().removeprefix("rq:queue:") for key in self._redis.smembers("rq:queues"))
            models = [PREDICTION.model_of(name) for name in names if PREDICTION.owns(name)]
            self._known = (time.monotonic(), models)
        return models


def _arguments(limits: BatchLimits) -> tuple[int | str, ...]:
    if not 1 <= limits.jobs <= LARGEST_BATCH:
        raise ValueError(f"a batch has between 1 and {LARGEST_BATCH} jobs, not {limits.jobs}")
    if limits.models is not None and not limits.models:
        raise ValueError("without a model nothing can be taken")
    row_limits = _spaced(f"{PREDICTION.queue_of(model)}={rows}" for model, rows in limits.model_rows.items())
    queues, skip = (_spaced(map(PREDICTION.queue_of, models)) for models in (limits.models or (), limits.skip))
    return limits.jobs, limits.rows, row_limits, queues, skip


def _spaced(names: Iterable[str]) -> str:
    """Join names so that Lua finds one without parsing: ' predict:loan predict:iris '."""
    joined = " ".join(names)
    return f" {joined} " if joined else ""


def _read(parts: Sequence[bytes]) -> tuple[list[BatchJob], dict[str, Failure]]:
    """Return the jobs in TAKE's answer (id, data, id, data, …), and the failures of those that cannot be read."""
    jobs, refused = [], {}
    for job_id, data in zip(parts[::2], parts[1::2], strict=True):
        try:
            jobs.append(BatchJob(job_id.decode(), _rows(data)))
        except ValueError as error:
            refused[job_id.decode()] = Failure(Code.JOB_REFUSED, str(error))
    return jobs, refused


def _rows(data: bytes) -> Sequence[Row]:
    """Return the rows in RQ's `data`. Raises `ValueError` as `plain` and `payload_of` do."""
    rows = payload_of(plain(data), PREDICTION.functions).get("rows")
    if not isinstance(rows, list):
        raise ValueError("the job has no list of rows")
    return rows


def _finished(outcome: PredictionOutcome | Failure) -> tuple[str, str, str]:
    try:
        json = outcome if isinstance(outcome, Failure) else outcome.to_json()
        return finished(json, published=PREDICTION.published)
    except ValueError as error:
        # An exception would end the scorer, and the same jobs the next one.
        return failed(Failure(Code.MODEL_ERROR, f"the model's answer cannot be written as JSON: {error}"))
