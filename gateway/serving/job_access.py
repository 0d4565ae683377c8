"""Lists, reads, awaits, cancels and deletes jobs, and decides which of them a caller sees, and what of each. Jobs of
earlier requests answer repeated ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from broker.link.idempotency import ConflictReason, IdempotencyConflict, IdempotencyRecords
from broker.records.job_kinds import JOB_KINDS, TRAINING
from broker.sides.gateway.job_client import Jobs
from broker.sides.gateway.listing import LARGEST_PAGE, JobFilter, Page
from contract.work.api_keys import Detail, Key, Scope
from contract.work.jobs import Job, Status
from contract.work.training import Progress
from gateway.problems import Problem, ProblemCode
from gateway.problems.problem import missing_scope
from gateway.problems.terse import terse_job
from gateway.serving.listener import Listener

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TERSE = Detail.TERSE  # looked up once: finding a member of an Enum is slow


def shown_to(caller: Key, job: Job) -> Job:
    """Return the job without what the caller may not know: for a terse key what a model tells, and without the scope
    `read`, which `/v1/system` asks for, who took it."""
    if caller.detail is _TERSE:
        return terse_job(job)
    return job.without_worker() if job.worker and not caller.allows(Scope.READ) else job


def scope_for(job: Job) -> Scope:
    """Return the scope that making such a job needs, and so does cancelling it."""
    return JOB_KINDS[job.kind].scope


@dataclass(frozen=True)
class JobReader:
    """Reads jobs, and waits for their end. `caller` returns the key of the current request.

    A job of another owner, or of a model that the key may not use, does not exist for the caller. Methods that take an
    id raise the same `Problem` for it as for an id without a job, and have no other effect.
    """

    jobs: Jobs
    listener: Listener
    records: IdempotencyRecords
    caller: Callable[[], Key]
    deleted: Callable[[str], object] = lambda _: None

    def list(self, wanted: JobFilter, limit: int, cursor: str | None) -> Page:
        """Return a page of the caller's jobs. Raises `ValueError` as `broker.sides.gateway.listing.Listing.page`."""
        caller = self.caller()
        owner = None if caller.allows(Scope.ADMIN) else caller.owner
        page = self.jobs.list(replace(wanted, owner=owner), limit, cursor)
        return replace(page, items=[shown_to(caller, job) for job in page.items if self._exists(job)])

    def made_with(self, record: str) -> Sequence[Job]:
        """Return the job that a request with an `Idempotency-Key` has made, if there is one. `record`: see
        `gateway.http.idempotency`."""
        caller, made = self.caller(), self.records.made_with(record)
        job = self.jobs.read([made])[0] if made and JOB_ID.fullmatch(made) else None
        return [shown_to(caller, job)] if job and self._exists(job) else []

    def running_trainings(self) -> Sequence[Job]:
        """Return the caller's trainings that run now."""
        return self.list(JobFilter(status=Status.RUNNING, kind=TRAINING.name), LARGEST_PAGE, None).items

    def read(self, job_id: str) -> Job:
        return self._existing(job_id, self.jobs.read([job_id])[0] if JOB_ID.fullmatch(job_id) else None)

    def wait(self, job_id: str, seconds: float, gone: Callable[[], bool]) -> Job:
        """Return the job once it is final, or its state after `seconds`. The wait ends when `gone`, called each second,
        returns True."""
        job = self.read(job_id)
        ended = self.listener.ended_within(job, self.caller().owner, seconds, gone)
        return self._with_queue_position(self._existing(job_id, ended))

    def cancel(self, job_id: str) -> Job:
        """Cancel the job unless it has ended, and return it. Raises `Problem` if the key may not make such a job."""
        return self._cancel(job_id)[1]

    def cancel_or_delete(self, job_id: str) -> Job | None:
        """Cancel the job and return it, or delete one that has ended. Raises `Problem` if the key may not make such a
        job."""
        canceled, ended = self._cancel(job_id)
        if canceled:
            return ended
        self.jobs.delete(job_id)
        self.deleted(job_id)
        return None

    def _cancel(self, job_id: str) -> tuple[bool, Job]:
        """Cancel the job. Returns whether this call has done it, and the job."""
        scope = scope_for(self.read(job_id))
        if not self.caller().allows(scope):
            raise missing_scope(self.caller(), scope)
        canceled, job = self.jobs.cancel(job_id) or (False, None)
        return canceled, self._existing(job_id, job)

    def _with_queue_position(self, job: Job) -> Job:
        """Return a job that waits in the queue for all models with the number of jobs before it as its progress."""
        kind = JOB_KINDS[job.kind]
        if kind.per_model or job.status is not Status.QUEUED or (ahead := self.jobs.ahead(kind, job.id)) is None:
            return job
        return replace(job, progress=Progress("waiting", 0.0, 0, ahead, f"{kind.name}s before it").to_json())

    def _existing(self, job_id: str, job: Job | None) -> Job:
        if job is None or not self._exists(job):
            detail = (
                f"there is no job {job_id[:64]!r}, or its result has expired: after RESULT_TTL, or a"
                " sixtieth of it if the response to its own request had it"
            )
            raise Problem(ProblemCode.UNKNOWN_JOB, detail)
        return shown_to(self.caller(), job)

    def _exists(self, job: Job) -> bool:
        caller = self.caller()
        return caller.sees(job.owner) and caller.may_use(job.model)


@dataclass(frozen=True)
class Replays:
    """Finds what earlier requests have made. `on_replay` is called when a job of one answers a request."""

    records: IdempotencyRecords
    jobs: Jobs
    listener: Listener
    on_replay: Callable[[], object]

    def find(self, idempotency: str) -> str | None:
        """Return what an earlier request has made, as `IdempotencyRecords.find` does; None without a key."""
        return self.records.find(idempotency) if idempotency else None

    def job_of(
        self, idempotency: str, caller: Key, wait: float = 0, gone: Callable[[], bool] = lambda: False
    ) -> Job | None:
        """Return the job of an earlier request as `job` does; None if there was none."""
        made = self.find(idempotency)
        return self.job(made, caller, wait, gone) if made else None

    def job(self, job_id: str, caller: Key, wait: float = 0, gone: Callable[[], bool] = lambda: False) -> Job:
        """Return the job of an earlier request as `caller` sees it, final if it ends within `wait` seconds.

        Raises `IdempotencyConflict` if it is gone, and `Problem` if the key may not use its model: another key of the
        owner has sent the request to an address that names no model.
        """
        job = self.jobs.read([job_id])[0]
        if job and not caller.may_use(job.model):
            detail = "an earlier request with this Idempotency-Key used a model that this key may not; send a new one"
            raise Problem(ProblemCode.UNKNOWN_MODEL, detail, models=[])
        self.on_replay()
        ended = job and self.listener.ended_within(job, caller.owner, wait, gone)
        if ended is None:
            raise IdempotencyConflict(ConflictReason.GONE)
        return shown_to(caller, ended)
