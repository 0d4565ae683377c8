"""What a caller sees of a job that exists for it."""

from __future__ import annotations

from contract.work.api_keys import Detail, Key, Scope
from contract.work.jobs import Job
from gateway.problems.terse import terse_job

_TERSE = Detail.TERSE  # looked up once: finding a member of an Enum is slow


def shown_to(caller: Key, job: Job) -> Job:
    """Return the job without what the caller may not know: for a terse key what a model tells, and without the scope
    `read`, which `/v1/system` asks for, who took it."""
    if caller.detail is _TERSE:
        return terse_job(job)
    return job.without_worker() if job.worker and not caller.allows(Scope.READ) else job
