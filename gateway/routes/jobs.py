"""Jobs: how is it going, and what came out?"""

from __future__ import annotations

import re

from flask import Blueprint, Response, request

from broker.jobs import Jobs
from gateway.answers import job_response
from gateway.listener import Listener
from gateway.problems import Problem
from gateway.waiting import wait_for

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def blueprint(jobs: Jobs, listener: Listener, max_wait: int) -> Blueprint:
    routes = Blueprint("jobs", __name__, url_prefix="/v1/jobs")

    @routes.get("/<job_id>")
    def show(job_id: str) -> Response:
        wait = _wait(request.args.get("wait"), max_wait)
        job = wait_for(job_id, wait, jobs, listener) if _ID.fullmatch(job_id) else None
        if job is None:
            detail = f"there is no job {job_id[:64]!r}, or its result has expired (RESULT_TTL)"
            raise Problem(404, "unknown_job", detail)
        return job_response(job, headers={"Cache-Control": "no-store"})

    return routes


def _wait(text: str | None, most: int) -> float:
    if text is None:
        return 0
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise Problem(400, "invalid_parameter", f"wait={text[:64]!r} is not a number of seconds, such as wait=5")
    return min(float(text), most)
