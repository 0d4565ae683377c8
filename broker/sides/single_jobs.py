"""A queue whose jobs are taken one at a time: begin a job, report its progress, finish it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from broker.access.signatures import Signer
from broker.link.scripts import Scripts
from broker.records.job_kinds import JobKind
from broker.records.job_records import dumps, finished, payload_of, plain
from contract.errors import Code, Failure, ModelgateError
from contract.work.request_ids import RequestIds

LARGEST_DATA = 32_000_000
"""Most bytes of a job's `data`; the gateway accepts far fewer."""


class Ownership(StrEnum):
    """Whether a job still belongs to the process that began it: yes, no longer, or the job has ended."""

    MINE = "mine"
    LOST = "lost"
    ENDED = "ended"


@dataclass(frozen=True)
class OwnedJob:
    """A job that this process owns. `deaths` processes died while they owned it; its log has `log_bytes` bytes;
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
class SingleJobs:
    """The queue of one kind of job, as a trainer or an observer sees it.

    All methods are harmless to repeat and raise `redis.exceptions.RedisError`. `incarnation` must be registered
    (`broker.sides.supervisor`) in the group of the kind. `signer` checks jobs, `done` has the ids of jobs that must not
    run again, and refused jobs are reported to `on_refused`.
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
        text = plain(data, LARGEST_DATA)
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
        return bool(self._scripts.run("finish", self.kind.group.members, self.incarnation, 1, job_id, *args)[0])

    def wait_for_work(self, seconds: float) -> None:
        """Return when there may be a job, at the latest after `seconds`, which must be less than the connection's
        `socket_timeout`."""
        self.connection.blpop([f"mg:bell:{self.kind.queue}"], timeout=seconds)
