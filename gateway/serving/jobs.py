"""Existing jobs: read, waited for, cancelled, deleted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from broker.gateway.jobs import Jobs
from broker.job_kinds import TRAINING
from contract.jobs import Job, Status
from contract.training import Progress
from gateway.refusals import Reason, Refusal
from gateway.serving.listener import Listener

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class JobReader:
    """Reads jobs, and waits for their end. Every method raises `Refusal` if there is no such job."""

    jobs: Jobs
    listener: Listener

    def read(self, job_id: str) -> Job:
        return _existing(job_id, self.jobs.read([job_id])[0] if _ID.fullmatch(job_id) else None)

    def wait(self, job_id: str, seconds: float, gone: Callable[[], bool]) -> Job:
        """Return the job once it is final, or its state after `seconds`. The wait ends when `gone`, called each second,
        returns True."""
        job = self.read(job_id)
        if seconds and not job.status.final:
            with self.listener.expect(job_id, gone) as waiter:
                ended = self.jobs.wait([job_id], self.listener.channel).get(job_id, job)
                if ended is not None and not ended.status.final:
                    ended = waiter.wait(seconds) or self.jobs.read([job_id])[0]
            job = _existing(job_id, ended)
        return self._with_queue_position(job)

    def cancel_or_delete(self, job_id: str) -> Job | None:
        """Cancel the job and return it, or delete one that has ended."""
        canceled, job = (_ID.fullmatch(job_id) and self.jobs.cancel(job_id)) or (False, None)
        ended = _existing(job_id, job)
        if canceled:
            return ended
        self.jobs.delete(job_id)
        return None

    def _with_queue_position(self, job: Job) -> Job:
        """Return a queued training with the number of trainings before it as its progress."""
        if job.kind == TRAINING.name and job.status is Status.QUEUED and (ahead := self.jobs.ahead(job.id)) is not None:
            return replace(job, progress=Progress("waiting", 0.0, 0, ahead, "trainings before it").to_json())
        return job


def _existing(job_id: str, job: Job | None) -> Job:
    if job is None:
        detail = f"there is no job {job_id[:64]!r}, or its result has expired (RESULT_TTL)"
        raise Refusal(Reason.UNKNOWN_JOB, detail)
    return job
