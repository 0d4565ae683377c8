"""Jobs for the gateway: submit predictions; read, await, cancel, delete and list jobs of every kind."""

from __future__ import annotations

import functools
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis import Redis
from redis.exceptions import OutOfMemoryError

from broker.link.idempotency import ConflictReason, IdempotencyConflict, made_in
from broker.link.outbox import Outbox
from broker.link.scripts import Call, Connected, Durability, Durable, Step
from broker.records.job_kinds import EXPLANATION, PREDICTION, JobKind, indexes_of
from broker.records.job_records import STATUSES, echo, further_fields, job_data
from broker.sides.gateway.listing import ALL_JOBS, JobFilter, Listing, Page
from broker.sides.gateway.room import RoomMaker
from broker.state.job_reading import job_of, read_jobs, read_step
from broker.state.pools import used_environments
from contract.model.signature import PREDICT
from contract.row import ColumnarRows
from contract.work.api_keys import PER_FREE, Limits, Quota
from contract.work.jobs import Job, PredictionJob
from runtime.ttl_cache import TtlCache

_MICROSECONDS = 1_000_000


class Limit(StrEnum):
    """What refuses a job: no worker serves its environment; its rows, which have timed out twice lately; the rows that
    may wait for a model; the share of its owner of unseen results; or a limit of its key
    (`contract.work.api_keys.Limits`)."""

    NO_WORKER = "no_worker"
    TIMED_OUT = "timed_out"
    QUEUE = "queue"
    RESULTS = "results"
    ROWS_WAITING = "rows_waiting"
    JOBS_IN_FLIGHT = "jobs_in_flight"
    ROWS_PER_SECOND = "rows_per_second"


@dataclass(frozen=True, slots=True)
class Submission:
    """The outcome of submitting a job. `refused_by`: what refuses it. `earlier`: the id of the job that an earlier
    request has made instead. Both None: it was accepted. `rate`: the state of `rows_per_second` if the key has this
    limit. `retry_after`: the seconds until that limit allows the job."""

    refused_by: Limit | ConflictReason | None = None
    rate: Quota | None = None
    retry_after: float = 0.0
    earlier: str | None = None

    @property
    def accepted(self) -> bool:
        return self.refused_by is None and self.earlier is None

    @classmethod
    def of_answer(cls, answer: Any, limits: Limits) -> Submission:
        """Read the answer of SUBMIT. `limits`: of the job's key."""
        if answer == 1:
            return ACCEPTED
        if isinstance(answer, bytes):
            return cls._refused_or_earlier(answer)
        first, remaining, reset, wait = answer
        rate = Quota("rows", limits.rows_per_second or 0, 1, remaining, reset / _MICROSECONDS)
        submission = ACCEPTED if first == 1 else cls._refused_or_earlier(first)
        return cls(submission.refused_by, rate, wait / _MICROSECONDS, submission.earlier)

    @classmethod
    def _refused_or_earlier(cls, answer: bytes) -> Submission:
        try:
            earlier = made_in(answer)
        except IdempotencyConflict as error:
            return cls(error.conflict)
        return cls(None if earlier else Limit(answer.decode()), earlier=earlier)


ACCEPTED = Submission()


@dataclass(frozen=True, slots=True)
class JobState:
    """How far a job is. `over`: it has ended or is gone. `progress`: JSON, or empty. `log`: bytes of its log so far."""

    over: bool
    status: str
    progress: bytes
    log: int


class JobWatch(Connected):
    """Looks at jobs. Raises `redis.exceptions.RedisError`."""

    def look(self, ids: Sequence[str]) -> Mapping[str, JobState]:
        """Return how far these jobs are. One round trip."""
        calls = [Call("watch", ids[i : i + _PER_CALL]) for i in range(0, len(ids), _PER_CALL)]
        answers = (answer for part in self._scripts.send(calls) for answer in part)
        return {job_id: _state(*answer) for job_id, answer in zip(ids, answers, strict=True)}


def _state(status: bytes, progress: bytes, log: int) -> JobState:
    known = STATUSES.get(status.decode())
    return JobState(known is None or known.final, str(known or ""), progress, log)


_PER_CALL = 500
"""Most jobs or ids of one call of a script: Redis does nothing else meanwhile."""

_ROOM_PER_SUBMIT = 5000
"""Results that are deleted at once for jobs that a full Redis has refused; supervisors delete the rest."""

_DRAIN_SECONDS = 10
"""The period for which the throughput of a queue is measured."""


@dataclass(frozen=True)
class Backlog:
    """The jobs that wait for a model, of all owners or of one. At the rate of the last 10 s they take `seconds` (None
    without a rate)."""

    rows: int
    jobs: int
    seconds: float | None


class Jobs(Durable):
    """All jobs. Every method is harmless to repeat and raises `redis.exceptions.RedisError`."""

    def __init__(
        self,
        connection: Redis,
        *,
        max_queue_rows: int,
        timeout: int,
        result_ttl: int,
        outbox: Outbox | None = None,
        durability: Durability | None = None,
    ) -> None:
        """`timeout`, for scoring one job, and `result_ttl`, of one that has ended, are in seconds. `outbox` leaves with
        the jobs that are submitted; `durability` decides when they are accepted."""
        super().__init__(connection, durability)
        self._outbox = outbox or Outbox(connection)
        self._room = RoomMaker(connection)
        self._first_expiry: TtlCache[str, float | None] = TtlCache(1)
        self._listing = Listing(connection)
        self._result_ttl = result_ttl
        self._header = (timeout, result_ttl, max_queue_rows, PER_FREE)

    def submit(self, jobs: Sequence[PredictionJob]) -> list[Submission]:
        """Submit predictions and explanations. Returns for each whether it is in Redis now, or which limit refuses it.

        One round trip for all models and keys. A full Redis makes room among results that clients have seen. Raises
        `OutOfMemoryError` if there are none, `SlowDiskError` and `TooFewReplicas`; some jobs may be in Redis by then.
        Submit all of them again to learn which.
        """
        positions: defaultdict[tuple[str, str, str, bool], list[int]] = defaultdict(list)
        for position, job in enumerate(jobs):
            positions[job.model, job.environment, job.caller.id, job.explain is None].append(position)
        groups = [group[i : i + _PER_CALL] for group in positions.values() for i in range(0, len(group), _PER_CALL)]
        calls = [self._submission([jobs[position] for position in group]) for group in groups]
        send = functools.partial(self._durability.send, functools.partial(self._outbox.send, self._scripts), calls)
        try:
            answers = send()
        except OutOfMemoryError:
            if not self._room.make(_ROOM_PER_SUBMIT):
                raise
            answers = send()
        submissions = [ACCEPTED] * len(jobs)
        for group, answer in zip(groups, answers, strict=True):
            limits = jobs[group[0]].caller.limits
            for position, outcome in zip(group, answer, strict=True):
                submissions[position] = Submission.of_answer(outcome, limits)
        return submissions

    def _submission(self, jobs: Sequence[PredictionJob]) -> Call:
        """Return the call for jobs of one model, environment, key and kind."""
        model, caller = jobs[0].model, jobs[0].caller
        limits = (caller.limits.rows_waiting, caller.limits.jobs_in_flight, caller.limits.rows_per_second)
        queue = kind_of_job(jobs[0]).queue_of(model, caller.owner, jobs[0].environment)
        args: list[Any] = [queue, model, *self._header, caller.id]
        args += ("" if limit is None else limit for limit in limits)
        for job in jobs:
            expires = "" if job.expires_after is None else max(0, round(job.expires_after * 1000))
            args += (job.id, job.created_at, job.counts or len(job.rows), job.version, _data(job))
            args += (echo(job), job.reply_to or "", expires, job.request, further_fields(job))
        return Call("submit", args)

    def read(self, ids: Sequence[str]) -> list[Job | None]:
        """Return the jobs with these ids, None for one that does not exist. One round trip; see `read_jobs`."""
        return read_jobs(self._scripts, ids)

    def ahead(self, kind: JobKind, job_id: str) -> int | None:
        """Return the number of jobs before this one in the only queue of its kind, or None if it does not wait. One
        round trip."""
        waiting, running = self._scripts.send(
            [("LPOS", f"rq:queue:{kind.queue}", job_id), ("ZCOUNT", f"rq:wip:{kind.queue}", "-inf", "+inf")]
        )
        return None if waiting is None else waiting + running

    def wait(self, ids: Sequence[str], channel: str) -> dict[str, Job | None]:
        """Have the ends of these jobs published to `channel`. Returns the jobs that have ended already, and None for
        those that do not exist.

        An end is either in the answer or published later, never missed in between. One round trip, and another if some
        jobs have ended.
        """
        calls = [Call("wait", [channel, *ids[i : i + _PER_CALL]]) for i in range(0, len(ids), _PER_CALL)]
        answers = [answer for part in self._scripts.send(calls) for answer in part]
        jobs: dict[str, Job | None] = {i: None for i, answer in zip(ids, answers, strict=True) if answer == b"unknown"}
        final = [job_id for job_id, answer in zip(ids, answers, strict=True) if answer == b"final"]
        jobs.update(zip(final, self.read(final), strict=True))
        return jobs

    def cancel(self, job_id: str) -> tuple[bool, Job] | None:
        """Cancel a job. Returns whether this call cancelled it (False: it had ended before), and the job; None if there
        is none.

        A running job is cancelled at once, and its outcome is dropped.
        """
        answer, values = self._scripts.send([Call("cancel", [job_id, uuid.uuid4().hex]), read_step(job_id)])
        job = job_of(job_id, values)
        return None if job is None else (answer == b"canceled", job)

    def delete(self, job_id: str) -> bool:
        """Remove a job that has ended. Returns False if it has not ended; then it stays."""
        return bool(self._scripts.run("delete", job_id) == b"deleted")

    def list(self, wanted: JobFilter = ALL_JOBS, limit: int = 50, cursor: str | None = None) -> Page:
        """Return a page of jobs; see `broker.sides.gateway.listing.Listing.page`."""
        return self._listing.page(wanted, limit, cursor)

    def backlog(self, model: str, owner: str | None = None, kind: JobKind = PREDICTION) -> Backlog:
        """Return the jobs of a kind and an owner (None: of all) that wait for the model, and how long they will take,
        for Retry-After. Three round trips."""
        environments = used_environments(self._redis)
        if owner is None:
            queues = {kind.queue_of(model, environment=environment) for environment in environments}
            owners = [("ZRANGE", f"mg:owners:{base}", 0, -1) for base in queues]
            (seconds, _), *waiting = self._scripts.send([("TIME",), *owners])
            queues.update(queue.decode() for group in waiting for queue in group)
        else:
            seconds, _ = self._redis.time()
            queues = {kind.queue_of(model, owner, environment) for environment in environments}
        since = seconds - _DRAIN_SECONDS
        steps: list[Step] = []
        for queue in queues:
            steps += [("HGET", "mg:rows", queue), ("LLEN", f"rq:queue:{queue}")]
            steps += [("ZCOUNT", index, since, "+inf") for index in indexes_of(queue, "finished", "failed")]
        steps_per_queue = len(steps) // len(queues)
        answers = self._scripts.send(steps)
        rows, jobs, *scored = (
            sum(int(answer or 0) for answer in answers[offset::steps_per_queue]) for offset in range(steps_per_queue)
        )
        ended = sum(scored)
        return Backlog(rows, jobs, jobs * _DRAIN_SECONDS / ended if ended else None)

    def seconds_to_room(self, model: str) -> float | None:
        """Return the seconds until a full Redis may take jobs of the model again, for Retry-After: until the first
        result expires, or half of the queue has been scored. None if there is neither."""
        expiry = self._first_expiry.fetch("", lambda: self._room.seconds_to_expiry(self._result_ttl), 1.0)
        waiting = self.backlog(model).seconds
        return min((seconds for seconds in (expiry, waiting and waiting / 2) if seconds is not None), default=None)

    def workers(self) -> int:
        """Return the number of scorers that are alive, in all workers together."""
        incarnations = self._redis.smembers(PREDICTION.group.members)
        return int(self._redis.exists(*(b"mg:lease:" + inc for inc in incarnations))) if incarnations else 0


def _data(job: PredictionJob) -> bytes:
    payload: dict[str, Any] = {"model": job.model, "version": job.version}
    if isinstance(job.rows, ColumnarRows):
        payload["columns"] = job.rows.columns
    else:
        payload["rows"] = job.rows
    if job.method != PREDICT.name:
        payload["method"] = job.method
    if job.logged is not None:
        payload["log"] = job.logged
    if job.explain is not None:
        payload["explain"] = job.explain.to_json()
    return job_data(kind_of_job(job).function, payload)


def kind_of_job(job: PredictionJob) -> JobKind:
    """Return the kind of a job that is to be submitted."""
    return PREDICTION if job.explain is None else EXPLANATION
