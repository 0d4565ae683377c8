"""Waiting for a job within a request: how long the caller prefers to, and until when."""

from __future__ import annotations

import re
import time

from broker.jobs import Jobs
from contract.jobs import Job
from gateway.listener import Listener

LOOK_ANYWAY = 1.0
"""Seconds after which a waiting request looks at its job without having been woken."""

_WAIT = re.compile(r"""\s*wait\s*=\s*"?(\d{1,9})"?\s*""", re.IGNORECASE | re.ASCII)


def preferred_wait(header: str | None, most: int) -> int | None:
    """Seconds of `Prefer: wait=N` (RFC 7240), at most `most`; None without one that can be understood.

    The first `wait` counts. What is unknown or malformed is ignored, as the RFC asks.
    """
    for preference in (header or "").split(","):
        matched = _WAIT.fullmatch(preference.split(";")[0])
        if matched:
            return min(int(matched[1]), most)
    return None


def wait_for(job_id: str, seconds: float, jobs: Jobs, listener: Listener) -> Job | None:
    """The job as soon as it is final, else as it is after `seconds`; None when there is no such job."""
    deadline = time.monotonic() + seconds
    with listener.ended(job_id) as ended:
        while True:
            ended.clear()
            (job,) = jobs.read([job_id])
            left = deadline - time.monotonic()
            if job is None or job.status.final or left <= 0:
                return job
            ended.wait(min(left, LOOK_ANYWAY))
