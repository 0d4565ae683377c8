"""A scorer's side of the queue: take a batch, finish it, wait for work."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

from broker.lease_groups import SCORERS
from broker.records import PREFIX, failed, rows_of, succeeded
from broker.scripts import Scripts
from contract.errors import Code, Failure
from contract.jobs import PredictionOutcome, Row, prediction_queue

LARGEST_BATCH = 1000
"""Jobs; more than one script should move at once."""

_BELL = "mg:bell"
_QUEUES_KNOWN_FOR = 1.0


@dataclass(frozen=True)
class BatchLimits:
    """What one batch may be.

    `rows` is the most rows of a batch (`model_rows` for single models), unless its first job alone has more; `jobs` the
    most jobs, at most `LARGEST_BATCH`. Only `models` are taken (None: all), and none of `skip`.
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
    """What a scorer does with the queue. All methods raise `redis.exceptions.RedisError`.

    `incarnation` has to be registered (`broker.supervisor`), by this process or another.
    """

    def __init__(self, connection: Redis, incarnation: str) -> None:
        self._redis: Any = connection
        self._scripts = Scripts(connection)
        self._incarnation = incarnation
        self._known: tuple[float, list[str]] = (float("-inf"), [])

    def take(self, limits: BatchLimits) -> Batch | None:
        """The next batch, which from then on this incarnation owns; None when nothing waits. One round trip.

        Models take turns. A job that has been scored when its scorer died comes alone. What is owned already is
        answered again. Jobs that cannot be read are failed (`job_refused`) and never seen. Raises `FencedError`.
        """
        while True:
            answer = self._scripts.run("take", self._incarnation, *_arguments(limits))
            if not answer:
                return None
            queue, version, *parts = answer
            jobs, refused = _read(parts)
            if refused:
                self.finish(refused)
            if jobs:
                return Batch(queue.decode().removeprefix(PREFIX), int(version), jobs)

    def finish(self, outcomes: Mapping[str, PredictionOutcome | Failure]) -> list[str]:
        """Ends jobs, by id; wakes those who wait for them. One round trip.

        Returns the ids of those that were cancelled meanwhile, of which nothing is kept. Repeating it is harmless.
        Raises `FencedError` when the incarnation was given back: nothing is written, its scorer has to go.
        An outcome that JSON cannot hold becomes a failure that says so.
        """
        if not outcomes:
            return []
        args: list[str] = []
        for job_id, outcome in outcomes.items():
            args += (job_id, *_written(outcome))
        written = self._scripts.run("finish", SCORERS.members, self._incarnation, *args)
        return [job_id for job_id, answer in zip(outcomes, written, strict=True) if answer != 1]

    def wait_for_work(self, limits: BatchLimits, seconds: float = 1.0) -> None:
        """Returns when there may be work for these limits, at the latest after `seconds` (below the connection's
        `socket_timeout`). To be called when `take` answered None.

        The bell is a hint: a token can be lost with the scorer that took it, so nobody waits for long.
        """
        bells = [_BELL] if limits.models is None and not limits.skip else self._bells(limits)
        if bells:
            self._redis.blpop(bells, timeout=seconds)
        else:
            time.sleep(seconds)

    def _bells(self, limits: BatchLimits) -> list[str]:
        """The bells of the single queues: a token on the common one may mean a model that this scorer leaves out."""
        models = self._models() if limits.models is None else limits.models
        return [f"{_BELL}:{prediction_queue(model)}" for model in sorted(set(models) - set(limits.skip))]

    def _models(self) -> list[str]:
        read_at, models = self._known
        if time.monotonic() - read_at >= _QUEUES_KNOWN_FOR:
            names = (key.decode().removeprefix("rq:queue:") for key in self._redis.smembers("rq:queues"))
            models = [name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)]
            self._known = (time.monotonic(), models)
        return models


def _arguments(limits: BatchLimits) -> tuple[int | str, ...]:
    if not 1 <= limits.jobs <= LARGEST_BATCH:
        raise ValueError(f"a batch has between 1 and {LARGEST_BATCH} jobs, not {limits.jobs}")
    by_model = _spaced(f"{model}={rows}" for model, rows in limits.model_rows.items())
    if limits.models is not None and not limits.models:
        raise ValueError("without a model nothing can be taken")
    return limits.jobs, limits.rows, by_model, _spaced(limits.models or ()), _spaced(limits.skip)


def _spaced(names: Any) -> str:
    """Names in a form in which Lua finds one without parsing: ' loan iris '."""
    joined = " ".join(names)
    return f" {joined} " if joined else ""


def _read(parts: Sequence[bytes]) -> tuple[list[BatchJob], dict[str, Failure]]:
    """The jobs of TAKE's id, data, id, data, …, and the failures of those that cannot be read."""
    jobs, refused = [], {}
    for job_id, data in zip(parts[::2], parts[1::2], strict=True):
        try:
            jobs.append(BatchJob(job_id.decode(), rows_of(data)))
        except ValueError as error:
            refused[job_id.decode()] = Failure(Code.JOB_REFUSED, str(error))
    return jobs, refused


def _written(outcome: PredictionOutcome | Failure) -> tuple[str, str, str]:
    try:
        return failed(outcome) if isinstance(outcome, Failure) else succeeded(outcome)
    except ValueError as error:
        # Raised, it would end the scorer, and the same jobs the next one.
        return failed(Failure(Code.MODEL_ERROR, f"the model answered what JSON cannot hold: {error}"))
