"""Jobs: how is it going, what came out, and never mind."""

from __future__ import annotations

import re
from dataclasses import replace

from flask import Blueprint, Response, request

from broker.gateway.jobs import Jobs
from broker.gateway.listing import LARGEST_PAGE
from contract.jobs import Job, Status
from contract.repository import valid_name
from contract.training import Progress
from gateway.answers import job_response, json_response
from gateway.callers import hung_up
from gateway.problems import Problem
from gateway.protocols.preferences import seconds
from gateway.serving.listener import Listener

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_FRESH = {"Cache-Control": "no-store"}


def blueprint(jobs: Jobs, listener: Listener, max_wait: int) -> Blueprint:
    routes = Blueprint("jobs", __name__, url_prefix="/v1/jobs")

    @routes.get("")
    def index() -> Response:
        model, status = request.args.get("model"), request.args.get("status")
        if model is not None and not valid_name(model):
            raise Problem(400, "invalid_parameter", f"model={model[:64]!r} cannot be the name of a model")
        if status is not None and status not in list(Status):
            raise Problem(400, "invalid_parameter", f"status={status[:64]!r} is none of {', '.join(Status)}")
        limit = request.args.get("limit", "50")
        try:
            if not _NUMBER.fullmatch(limit):
                raise ValueError(f"limit={limit[:64]!r} is not a number")
            page = jobs.list(model, Status(status) if status else None, int(limit), request.args.get("cursor"))
        except ValueError as error:
            detail = f"limit is a number up to {LARGEST_PAGE}, cursor the next_cursor of a page: {error}"
            raise Problem(400, "invalid_parameter", detail) from error
        body = {"items": [job.to_json() for job in page.items], "next_cursor": page.next_cursor}
        return json_response(body, headers=_FRESH)

    @routes.get("/<job_id>")
    def show(job_id: str) -> Response:
        wait = min(seconds("wait", request.args.get("wait")) or 0, max_wait)
        job = _known(job_id, _wait(job_id, wait))
        if job.kind == "training" and job.status is Status.QUEUED and (ahead := jobs.ahead(job_id)) is not None:
            job = replace(job, progress=Progress("waiting", 0.0, 0, ahead, "trainings before it").to_json())
        return job_response(job, headers=_FRESH)

    @routes.delete("/<job_id>")
    def delete(job_id: str) -> Response:
        canceled, job = (_ID.fullmatch(job_id) and jobs.cancel(job_id)) or (False, None)
        ended = _known(job_id, job)
        if canceled:
            return job_response(ended)
        jobs.delete(job_id)
        return Response(status=204)

    def _wait(job_id: str, wait: float) -> Job | None:
        if not _ID.fullmatch(job_id):
            return None
        (job,) = jobs.read([job_id])
        if job is None or job.status.final or not wait:
            return job
        with listener.expect(job_id, hung_up(request)) as waiter:
            ended = jobs.wait([job_id], listener.channel).get(job_id, job)
            if ended is None or ended.status.final:
                return ended
            return waiter.wait(wait) or jobs.read([job_id])[0]

    return routes


def known(job_id: str, jobs: Jobs) -> Job:
    """The job; raises `Problem` (404)."""
    return _known(job_id, jobs.read([job_id])[0] if _ID.fullmatch(job_id) else None)


def _known(job_id: str, job: Job | None) -> Job:
    if job is None:
        detail = f"there is no job {job_id[:64]!r}, or its result has expired (RESULT_TTL)"
        raise Problem(404, "unknown_job", detail)
    return job
