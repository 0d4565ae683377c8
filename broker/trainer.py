"""A trainer's side of its queues: begin a job, say how far it is, finish it."""

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

from broker.lease_groups import TRAINERS
from broker.records import dumps, failed, payload_of, plain, returned
from broker.scripts import Scripts
from broker.signatures import Signer
from broker.trainer_jobs import PARAMETERS, RECIPES
from contract.errors import Code, Failure, ModelgateError
from contract.parameters import Parameter

BELL = "mg:bell:"
_LARGEST = 4_000_000
"""Most bytes of a job's `data`: the gateway accepts far fewer."""


class Ownership(StrEnum):
    """Whose a job is that was begun: this trainer's; somebody else's or nobody's; or it was cancelled."""

    MINE = "mine"
    LOST = "lost"
    ENDED = "ended"


@dataclass(frozen=True)
class OwnedJob:
    """A job that a trainer owns now. `deaths`: how many trainers died that had it. `log_bytes`: how long its log is."""

    id: str
    payload: Mapping[str, Any]
    deaths: int
    log_bytes: int


class TrainerQueue:
    """What a trainer does with one queue. All methods are harmless to repeat and raise `redis.exceptions.RedisError`.

    `incarnation` has to be registered (`broker.supervisor`, `TRAINERS`). `functions` are the dotted paths that jobs
    of this queue may name.
    """

    def __init__(
        self,
        connection: Redis,
        incarnation: str,
        queue: str,
        functions: Collection[str],
        signer: Signer,
        *,
        done: Container[str] = (),
        on_refused: Callable[[str, Failure], None] = lambda _, __: None,
    ) -> None:
        """`signer` checks jobs, `done` has the ids of jobs that must not run again, and refused jobs are reported to
        `on_refused`."""
        self._redis: Any = connection
        self._scripts = Scripts(connection)
        self._incarnation = incarnation
        self._queue = queue
        self._functions = functions
        self._signer = signer
        self._done = done
        self._on_refused = on_refused

    def begin(self, known: Collection[str]) -> OwnedJob | None:
        """Take the next job, which this incarnation then owns. Returns None if no job waits.

        `known` are the ids that it owns already. Jobs that are not signed fail with `not_trusted`, unreadable ones with
        `job_refused`; they are not returned. Raises `FencedError` without a lease.
        """
        while answer := self._scripts.run("begin", self._incarnation, self._queue, *known):
            raw_id, data, deaths, log_bytes, signature = answer
            job_id = raw_id.decode(errors="replace")
            try:
                return OwnedJob(
                    job_id, self._payload(job_id, data, signature.decode(errors="replace")), deaths, log_bytes
                )
            except ModelgateError as error:
                refusal = error.failure
            except ValueError as error:
                refusal = Failure(Code.JOB_REFUSED, str(error))
            self._on_refused(job_id, refusal)
            self.finish(raw_id, refusal)
        return None

    def _payload(self, job_id: str, data: bytes, signature: str) -> Mapping[str, Any]:
        """Raises `ModelgateError` and `ValueError`."""
        text = plain(data, _LARGEST)
        self._signer.check_job(self._queue, job_id, text, signature)
        if job_id in self._done:
            message = "the job is refused: it has been done already; send it again, as a new job"
            raise ModelgateError(Code.NOT_TRUSTED, message)
        return payload_of(text, self._functions)

    def report_progress(
        self, job_id: str, progress: Mapping[str, object] | None, lines: bytes, log_bytes: int
    ) -> Ownership:
        """Notes how far a training is, and whole `lines` of its log, which has had `log_bytes` before them.

        Unless the job is still this incarnation's, what works on it has to end.
        """
        shown = "" if progress is None else dumps(progress)
        return Ownership(self._scripts.run("progress", job_id, self._incarnation, shown, lines, log_bytes).decode())

    def finish(self, job_id: str | bytes, outcome: Mapping[str, Any] | Failure) -> bool:
        """Ends a job and wakes those who wait for it; False: it was cancelled meanwhile, and nothing is kept.

        Raises `FencedError` when the incarnation was given back, and `ValueError` for an outcome that JSON cannot hold.
        """
        kind, value, text = failed(outcome) if isinstance(outcome, Failure) else returned(outcome)
        # A result is not published but read: see parse_reply.
        published = text if isinstance(outcome, Failure) else ""
        return bool(self._scripts.run("finish", TRAINERS.members, self._incarnation, job_id, kind, value, published)[0])

    def unfinished(self) -> list[Mapping[str, Any]]:
        """The payloads of the jobs that wait or run, whoever has them; those that cannot be read are left out."""
        running = self._redis.zrange(f"rq:wip:{self._queue}", 0, -1)
        ids = [*self._redis.lrange(f"rq:queue:{self._queue}", 0, -1), *(one.partition(b":")[0] for one in running)]
        found = []
        for data in self._scripts.send([("HGET", b"rq:job:" + job_id, "data") for job_id in ids]) if ids else ():
            with suppress(ValueError):
                found.append(payload_of(plain(data or b"", _LARGEST), self._functions))
        return found

    def wait_for_work(self, seconds: float) -> None:
        """Returns when there may be a job, at the latest after `seconds` (below the connection's `socket_timeout`)."""
        self._redis.blpop([BELL + self._queue], timeout=seconds)

    def publish_recipes(self, names: Sequence[str], parameters: Mapping[str, Sequence[Parameter]]) -> None:
        """Publish the recipes and their parameters for the gateway."""
        taken = {name: [parameter.to_json() for parameter in found] for name, found in parameters.items()}
        self._redis.set(PARAMETERS, dumps(taken))
        self._redis.set(RECIPES, dumps(sorted(names)))


class Scheduler:
    """Brings the jobs of RQ's `enqueue_at` into their queue when their time has come; one trainer at a time does it."""

    def __init__(self, connection: Redis, queue: str) -> None:
        self._scheduler: Any = RQScheduler([queue], connection, logging_level="WARNING", serializer=JSONSerializer)
        self._not_before = 0.0

    def enqueue_due(self) -> bool:
        """To be called each second; whether this is the trainer that does it. Raises `RedisError`."""
        if self._scheduler.acquired_locks or time.monotonic() >= self._not_before:
            self._scheduler.acquire_locks()
            self._not_before = time.monotonic() + 5
        if self._scheduler.acquired_locks:
            self._scheduler.enqueue_scheduled_jobs()
        return bool(self._scheduler.acquired_locks)

    def stop(self) -> None:
        """Lets another trainer do it at once. Raises `RedisError`."""
        self._scheduler.release_locks()
