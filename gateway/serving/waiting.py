"""Waiting for the end of a job that exists already."""

from __future__ import annotations

from collections.abc import Callable

from broker.link.faults import DiskError
from broker.sides.gateway.job_client import Jobs
from contract.work.jobs import Job
from gateway.serving.listener import Listener


def ended_within(
    jobs: Jobs, listener: Listener, job: Job, owner: str, seconds: float, gone: Callable[[], bool]
) -> Job | None:
    """Return the job once it is final, or its state after `seconds`; None if it no longer exists. `owner` of the
    caller; the wait ends when `gone`, called each second, returns True."""
    if not seconds or job.status.final:
        return job
    with listener.expect(job.id, owner, gone) as waiter:
        try:
            ended = jobs.wait([job.id], listener.channel).get(job.id, job)
        except DiskError:
            ended = job  # it takes no subscription, but the listener also reads the job each second
        if ended is None or ended.status.final:
            return ended
        return waiter.wait(seconds) or jobs.read([job.id])[0]
