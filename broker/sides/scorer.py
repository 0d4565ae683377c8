"""A scorer's side of the queues: take a batch, finish it, wait for work."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from redis import Redis

from broker.link.outbox import Outbox
from broker.link.scripts import Call, Connected, Step
from broker.records.job_kinds import EXPLANATION, PREDICTION, JobKind, kind_of, pool_of, queue_names
from broker.records.job_records import finished, payload_of, plain
from broker.records.lease_groups import place_of
from broker.sides.file_tasks import lane_bell, spaced
from broker.state.prediction_log import log_arguments
from contract.errors import Code, Failure
from contract.model.environments import TODAY
from contract.model.signature import PREDICT
from contract.row import ColumnarRows, Row
from contract.work.explanations import ExplainRequest
from contract.work.jobs import PredictionOutcome
from contract.work.prediction_log import LoggedRequest, LogRecord
from contract.work.request_ids import RequestIds
from runtime.ttl_cache import TtlCache

LARGEST_BATCH = 1000
"""Most jobs that one script moves: Redis does nothing else meanwhile."""

_BELL = "mg:bell"
_QUEUES_KNOWN_FOR = 1.0
"""Seconds before the list of queues is read again."""


@dataclass(frozen=True)
class BatchLimits:
    """What one batch of jobs of a `kind` may hold.

    A batch has at most `jobs` jobs (up to `LARGEST_BATCH`) and `rows` rows, or `model_rows` of its model; a first job
    that is larger comes alone. Only `models` are taken (None: all), and none of `skip`.

    `homes` maps models to the scorer (`place_of`) that has them in memory: their jobs are left to it, until one has
    waited for `patience` seconds and there is no other work. The versions live in `environment`.
    """

    rows: int = 1000
    jobs: int = 64
    model_rows: Mapping[str, int] = field(default_factory=dict)
    models: Collection[str] | None = None
    skip: Collection[str] = ()
    homes: Mapping[str, str] = field(default_factory=dict)
    patience: float = 0.1
    environment: str = TODAY
    kind: JobKind = PREDICTION


@dataclass(frozen=True)
class BatchJob:
    """A job of a batch. `request` has the ids of its request (`contract.work.request_ids`); `method` gets the rows.
    `logged`: what the prediction log gets of its request; None: it does not get the job. `explain`: what is to be
    explained."""

    id: str
    rows: Sequence[Row]
    request: str = ""
    method: str = PREDICT.name
    logged: LoggedRequest | None = None
    explain: ExplainRequest | None = None

    def context(self) -> dict[str, str | None]:
        """Return the context of a log line about this job."""
        return {**RequestIds.of_job(self.request, self.id).context(), "job_id": self.id}


@dataclass(frozen=True)
class Batch:
    """Jobs of one version of one model, the oldest first; never empty. `left` is what ended it
    (`broker.metrics.table.BATCHES`), `taken_at` a time of `time.perf_counter`."""

    model: str
    version: int
    jobs: Sequence[BatchJob]
    left: str = ""
    taken_at: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True)
class Woken:
    """What a wait has brought. `other`: whether there may be something else than a batch."""

    batch: Batch | None
    other: bool


class ScorerQueue(Connected):
    """Predictions and explanations, as one scorer sees them. All methods raise `redis.exceptions.RedisError`.

    `incarnation` must be registered (`broker.sides.supervisor`), by this process or another. What it sends also has
    what is in `outbox`.
    """

    def __init__(self, connection: Redis, incarnation: str, outbox: Outbox | None = None) -> None:
        super().__init__(connection)
        self._outbox = outbox or Outbox(connection)
        self._incarnation = incarnation
        self._own_bell = f"{_BELL}:scorer:{place_of(incarnation)}"
        self._limits: tuple[BatchLimits | None, tuple[int | str, ...]] = (None, ())
        self._queued: TtlCache[str, list[str]] = TtlCache(1)

    def take(self, limits: BatchLimits, *, owned: bool = False) -> Batch | None:
        """Take the next batch, which this incarnation then owns. Returns None if no job waits. One round trip.

        Models take turns. A job that was being scored when a scorer died comes alone. A batch that this incarnation
        owns already is returned again, with `owned` no other. Unreadable jobs fail with `job_refused` and are not
        returned. Raises `FencedError` without a lease.
        """
        while True:
            (answer,) = self._outbox.send(self._scripts, [self._taking(limits, "owned" if owned else "next")])
            if not answer:
                return None
            if batch := self._batch(answer, limits.kind):
                return batch

    def _taking(self, limits: BatchLimits, wanted: str) -> Call:
        if limits is not self._limits[0]:
            self._limits = (limits, _arguments(limits))
        return Call("take", [self._incarnation, wanted, *self._limits[1]])

    def _batch(self, answer: Sequence[bytes], kind: JobKind) -> Batch | None:
        """Return the batch in TAKE's answer. Its unreadable jobs fail; None if it has no others."""
        queue, version, left, *parts = answer
        jobs, refused = _read(parts, kind)
        if refused:
            self.finish(refused)
        return Batch(kind.model_of(queue.decode()), int(version), jobs, left.decode()) if jobs else None

    def finish(
        self, outcomes: Mapping[str, PredictionOutcome | Failure], version: str = "", records: Sequence[LogRecord] = ()
    ) -> list[str]:
        """End jobs, by id, and wake the requests that wait for them. Harmless to repeat. One round trip. The prediction
        log gets the `records` of these jobs, which are of `version`, such as `loan@3`, without those that this does not
        end.

        Returns the ids of the jobs that were cancelled meanwhile, whose outcomes are dropped. An outcome that JSON
        cannot hold becomes a failure that says so. Raises `FencedError` if the incarnation was given back; then nothing
        is written, and its scorer has to exit.
        """
        if not outcomes:
            return []
        args: list[str | bytes | int] = [PREDICTION.group.members, self._incarnation, len(outcomes)]
        for job_id, outcome in outcomes.items():
            args += (job_id, *_finished(outcome))
        args += log_arguments(version, records)
        (written,) = self._outbox.send(self._scripts, [Call("finish", args)])
        return [job_id for job_id, answer in zip(outcomes, written, strict=True) if answer != 1]

    def release(self, batch: Batch) -> None:
        """Return the jobs of a batch to their queue, for other scorers. Harmless to repeat. One round trip."""
        self._outbox.send(self._scripts, [Call("release", [self._incarnation, *(job.id for job in batch.jobs)])])

    def wait_for_work(self, limits: BatchLimits, seconds: float = 1.0) -> Woken:
        """Return the next batch for these limits, or when there may be an explanation or a task of a file; at the
        latest after `seconds`, which must be less than the connection's `socket_timeout`, and after `limits.patience`
        if there are jobs that it may take then.

        The gateway may hand over a batch even if this is interrupted: `take` returns it. The bell is a hint: a scorer
        may die with the token that it took, so a wait is short. One round trip.
        """
        if limits.homes:
            seconds = min(seconds, limits.patience)
        handed, others = f"mg:batch:{self._incarnation}", [lane_bell(limits.environment)]
        others += self._bells(limits, EXPLANATION)
        wait: Step = ("BLPOP", handed, *others, *self._bells(limits), seconds)
        answer, rung = self._scripts.send([self._taking(limits, "wait"), wait])  # the outbox would wait, too
        bell, token = (rung[0].decode(), rung[1]) if rung else ("", b"")
        if answer:
            return Woken(self._batch(answer, limits.kind), other=False)
        return Woken(self._handed(token, limits) if bell == handed else None, bell in others)

    def _handed(self, text: bytes, limits: BatchLimits) -> Batch | None:
        """Return the batch that SUBMIT has handed over with this text: all of it, or what has ended a large one."""
        try:
            return self._batch(_unframed(text), limits.kind)
        except ValueError:  # the jobs have the rest, or all if another worker has written the text
            batch = self.take(limits, owned=True)
            return batch and replace(batch, left=text.decode(errors="replace"))

    def _bells(self, limits: BatchLimits, kind: JobKind = PREDICTION) -> list[str]:
        """Return the bells for these limits: the own one, which rings for models that have their home here, and the
        common one; or those of the single queues if models are left out, whose rings this scorer would not pass on."""
        if limits.models is None and not limits.skip:
            common = _BELL + kind.turns + pool_of(limits.environment)
            return [self._own_bell, common] if kind is PREDICTION else [common]
        models = set(self._models() if limits.models is None else limits.models) - {*limits.skip, *limits.homes}
        return [f"{_BELL}:{kind.queue_of(model, environment=limits.environment)}" for model in sorted(models)]

    def _models(self) -> list[str]:
        def read() -> list[str]:
            names = queue_names(self._redis.smembers("rq:queues"))
            kinds = ((kind_of(name), name) for name in names)
            return [kind.model_of(name) for kind, name in kinds if kind and kind.batched]

        return self._queued.fetch("", read, _QUEUES_KNOWN_FOR)


def _arguments(limits: BatchLimits) -> tuple[int | str, ...]:
    if not 1 <= limits.jobs <= LARGEST_BATCH:
        raise ValueError(f"a batch has between 1 and {LARGEST_BATCH} jobs, not {limits.jobs}")
    if limits.models is not None and not limits.models:
        raise ValueError("without a model nothing can be taken")
    queues, skip = (spaced(_queues(models, limits)) for models in (limits.models or (), limits.skip))
    row_limits, homes = (_mapped(of_models, limits) for of_models in (limits.model_rows, limits.homes))
    patience, turns = round(limits.patience * 1_000_000), limits.kind.turns + pool_of(limits.environment)
    return limits.jobs, limits.rows, row_limits, queues, skip, homes, patience, turns


def _queues(models: Iterable[str], limits: BatchLimits) -> list[str]:
    return [limits.kind.queue_of(model, environment=limits.environment) for model in models]


def _mapped(of_models: Mapping[str, int | str], limits: BatchLimits) -> str:
    return spaced(map("{}={}".format, _queues(of_models, limits), of_models.values()))


def _unframed(text: bytes) -> list[bytes]:
    """Return the texts that SUBMIT has made one."""
    sizes, _, rest = text.partition(b"\n")
    ends = list(itertools.accumulate(map(int, sizes.split())))
    return [rest[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _read(parts: Sequence[bytes], kind: JobKind) -> tuple[list[BatchJob], dict[str, Failure]]:
    """Return the jobs in TAKE's answer (id, data, request, id, …), and the failures of those that cannot be read."""
    jobs, refused = [], {}
    for job_id, data, request in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        try:
            jobs.append(BatchJob(job_id.decode(), request=request.decode(errors="replace"), **_payload(data, kind)))
        except (ValueError, TypeError) as error:
            refused[job_id.decode()] = Failure(Code.JOB_REFUSED, str(error))
    return jobs, refused


def _payload(data: bytes, kind: JobKind) -> dict[str, Any]:
    """Return the `rows`, `method`, `logged` and `explain` of a `BatchJob` in RQ's `data`. Raises `ValueError` as
    `plain` and `payload_of` do, and `TypeError`."""
    payload = payload_of(plain(data), kind.function)
    if kind is EXPLANATION:
        return {"rows": _rows(payload), "explain": ExplainRequest.from_json(payload.get("explain"))}
    method, logged = payload.get("method", PREDICT.name), payload.get("log")
    if not isinstance(method, str):
        raise ValueError("the job has a method that is no text")
    if not isinstance(logged, dict | None):
        raise ValueError("what the job has for the prediction log is no object")
    return {"rows": _rows(payload), "method": method, "logged": logged}


def _rows(payload: Mapping[str, Any]) -> Sequence[Row]:
    """Return the rows, which the gateway sends by column if there are several."""
    rows, columns = payload.get("rows"), payload.get("columns")
    if isinstance(rows, list):
        return rows
    if isinstance(columns, list) and set(map(type, columns)) == {list} and len(set(map(len, columns))) == 1:
        return ColumnarRows(columns)
    raise ValueError("the job has neither a list of rows nor columns of equal length")


def _finished(outcome: PredictionOutcome | Failure) -> tuple[str, str]:
    try:
        return finished(outcome if isinstance(outcome, Failure) else outcome.to_json())
    except ValueError as error:
        # An exception would end the scorer, and the same jobs the next one.
        return finished(Failure(Code.MODEL_ERROR, f"the model's answer cannot be written as JSON: {error}"))
