"""Jobs: listed, read, waited for, cancelled, deleted."""

from __future__ import annotations

import re

from flask import Blueprint, Response, request

from broker.gateway.listing import LARGEST_PAGE
from contract.jobs import Status
from contract.repository import valid_name
from gateway.answers import FRESH, job_response, json_response
from gateway.clients import hung_up
from gateway.problems import Problem
from gateway.protocols.preferences import seconds
from gateway.rules import Level
from gateway.serving.jobs import JobReader

_NUMBER = re.compile(r"[0-9]{1,9}")


def blueprint(reader: JobReader, max_wait: int) -> Blueprint:
    """`max_wait`: seconds that a request may wait for a job."""
    routes = Blueprint("jobs", __name__, url_prefix="/v1/jobs")

    @routes.get("", level=Level.READ)
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
            page = reader.jobs.list(model, Status(status) if status else None, int(limit), request.args.get("cursor"))
        except ValueError as error:
            detail = f"{error}; limit is a number up to {LARGEST_PAGE}, and cursor is the next_cursor of a page"
            raise Problem(400, "invalid_parameter", detail) from error
        body = {"items": [job.to_json() for job in page.items], "next_cursor": page.next_cursor}
        return json_response(body, headers=FRESH)

    @routes.get("/<job_id>", level=Level.READ)
    def show(job_id: str) -> Response:
        wait = min(seconds("wait", request.args.get("wait")) or 0, max_wait)
        return job_response(reader.wait(job_id, wait, hung_up(request.environ)), headers=FRESH)

    @routes.delete("/<job_id>", level=Level.PREDICT)
    def delete(job_id: str) -> Response:
        canceled = reader.cancel_or_delete(job_id)
        return job_response(canceled) if canceled else Response(status=204)

    return routes
