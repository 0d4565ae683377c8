"""A trainer's side of its queues: begin a job, report its progress, finish it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis import Redis
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer

from broker.access.signatures import Signer
from broker.link.scripts import Scripts
from broker.records.job_kinds import JobKind
from broker.records.job_records import dumps, finished, payload_of, plain
from contract.errors import Code, Failure, ModelgateError
from contract.model.parameters import RecipeParameter
from contract.work.request_ids import RequestIds

_LARGEST_DATA = 4_000_000
"""Most bytes of a job's `data`; the gateway accepts far fewer."""

_LOCK_RETRY = 5
"""Seconds between two tries to become the trainer that schedules."""


class Ownership(StrEnum):
    """Whether a job still belongs to the trainer that began it: yes, no longer, or the job has ended."""

    MINE = "mine"
    LOST = "lost"
    ENDED = "ended"


@dataclass(frozen=True)
class OwnedJob:
    """A job that this trainer owns. `deaths` trainers died while they owned it; its log has `log_bytes` bytes;
    `request` has the ids of its request (`contract.work.request_ids`)."""

    id: str
    payload: Mapping[str, Any]
    deaths: int
    log_bytes: int
    request: str = ""

    def context(self) -> dict[str, Any]:
        """Return the context of a log line about this job."""
        ids = RequestIds.of_job(self.request, self.id)
        return {**ids.context(), "job_id": self.id, "model": self.payload.get("model")}


@dataclass
class TrainerQueue:
    """The queue of one kind of job, as a trainer sees it.

    All methods are harmless to repeat and raise `redis.exceptions.RedisError`. `incarnation` must be registered
    (`broker.sides.supervisor`, `TRAINERS`). `signer` checks jobs, `done` has the ids of jobs that must not run again,
    and refused jobs are reported to `on_refused`.
    """

    connection: Any
    incarnation: str
    kind: JobKind
    signer: Signer
    done: Container[str] = ()
    on_refused: Callable[[str, Failure], None] = lambda _, __: None

    def __post_init__(self) -> None:
        self._scripts = Scripts(self.connection)

    def begin(self, known: Collection[str]) -> OwnedJob | None:
        """Take the next job, which this incarnation then owns. Returns None if no job waits.

        `known` are the ids that it owns already. Jobs that are not signed fail with `not_trusted`, unreadable ones with
        `job_refused`; they are not returned. Raises `FencedError` without a lease.
        """
        while answer := self._scripts.run("begin", self.incarnation, self.kind.queue, *known):
            raw_id, data, deaths, log_bytes, signature, request = answer
            job_id = raw_id.decode(errors="replace")
            try:
                payload = self._payload(job_id, data, signature.decode(errors="replace"))
                return OwnedJob(job_id, payload, deaths, log_bytes, request.decode(errors="replace"))
            except ModelgateError as error:
                refusal = error.failure
            except ValueError as error:
                refusal = Failure(Code.JOB_REFUSED, str(error))
            self.on_refused(job_id, refusal)
            self.finish(raw_id, refusal)
        return None

    def _payload(self, job_id: str, data: bytes, signature: str) -> Mapping[str, Any]:
        """Raises `ModelgateError` and `ValueError`."""
        text = plain(data, _LARGEST_DATA)
        self.signer.check_job(self.kind.queue, job_id, text, signature)
        if job_id in self.done:
            message = "the job is refused: it has run already; send it again, as a new job"
            raise ModelgateError(Code.NOT_TRUSTED, message)
        return payload_of(text, self.kind.function)

    def report_progress(
        self, job_id: str, progress: Mapping[str, object] | None, lines: bytes, log_bytes: int
    ) -> Ownership:
        """Write the progress of a job, and append whole `lines` to its log, which had `log_bytes` bytes before them.

        Stop the job unless the answer is `Ownership.MINE`; nothing is written then.
        """
        shown = "" if progress is None else dumps(progress)
        return Ownership(self._scripts.run("progress", job_id, self.incarnation, shown, lines, log_bytes).decode())

    def finish(self, job_id: str | bytes, outcome: Mapping[str, Any] | Failure) -> bool:
        """End a job and wake the requests that wait for it. Returns False if it was cancelled meanwhile; then the
        outcome is dropped.

        Raises `FencedError` if the incarnation was given back, and `ValueError` for an outcome that JSON cannot hold.
        """
        args = finished(outcome)
        return bool(self._scripts.run("finish", self.kind.group.members, self.incarnation, job_id, *args)[0])

    def wait_for_work(self, seconds: float) -> None:
        """Return when there may be a job, at the latest after `seconds`, which must be less than the connection's
        `socket_timeout`."""
        self.connection.blpop([f"mg:bell:{self.kind.queue}"], timeout=seconds)

    def publish_recipes(self, names: Sequence[str], parameters: Mapping[str, Sequence[RecipeParameter]]) -> None:
        """Publish the recipes and their parameters for the gateway."""
        by_recipe = {
            name: [parameter.to_json() for parameter in recipe_parameters]
            for name, recipe_parameters in parameters.items()
        }
        self._scripts.run("publish_recipes", dumps(sorted(names)), dumps(by_recipe))


def unfinished(connection: Redis, kind: JobKind) -> list[Mapping[str, Any]]:
    """Return the payloads of the jobs of `kind` that wait or run in any trainer, without those that cannot be read.
    Raises `RedisError`."""
    redis: Any = connection
    queue = kind.queue
    with redis.pipeline(transaction=True) as pipeline:  # a job that begins meanwhile is in one of the two
        waiting, running = pipeline.lrange(f"rq:queue:{queue}", 0, -1).zrange(f"rq:wip:{queue}", 0, -1).execute()
    ids = [*waiting, *(entry.partition(b":")[0] for entry in running)]
    payloads = []
    for data in Scripts(connection).send([("HGET", b"rq:job:" + job_id, "data") for job_id in ids]) if ids else ():
        with suppress(ValueError):
            payloads.append(payload_of(plain(data or b"", _LARGEST_DATA), kind.function))
    return payloads


class Scheduler:
    """Moves the jobs of RQ's `enqueue_at` into their queue when they are due. Only one trainer at a time does so."""

    def __init__(self, connection: Redis, queue: str) -> None:
        self._scheduler: Any = RQScheduler([queue], connection, logging_level="WARNING", serializer=JSONSerializer)
        self._not_before = 0.0

    def enqueue_due(self) -> bool:
        """Enqueue the jobs that are due; call it each second. Returns whether this is the trainer that schedules.
        Raises `RedisError`: `OutOfMemoryError` from a full Redis; then the jobs stay due."""
        if self._scheduler.acquired_locks or time.monotonic() >= self._not_before:
            self._scheduler.acquire_locks()
            self._not_before = time.monotonic() + _LOCK_RETRY
        if self._scheduler.acquired_locks:
            self._scheduler.enqueue_scheduled_jobs()
        return bool(self._scheduler.acquired_locks)

    def stop(self) -> None:
        """Release the lock, so that another trainer can schedule at once. Raises `RedisError`."""
        self._scheduler.release_locks()
