"""Predictions: a request becomes a job in Redis, or an answer that says what is wrong with it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

from flask import Blueprint, Request, Response, request

from broker.jobs import Jobs
from contract.coercion import Instances, coerce
from contract.jobs import Job, PredictionJob, Status, timestamp
from contract.manifest import Signature
from contract.repository import Repository
from gateway import dialects
from gateway.answers import job_response
from gateway.listener import Listener
from gateway.problems import RETRY_SOON, Problem
from gateway.routes.models import resolve
from gateway.waiting import preferred_wait, wait_for

QUERY_WAIT = 10
"""Seconds that a prediction asked for in a query waits by itself."""


def blueprint(
    jobs: Jobs, repository: Repository, listener: Listener, max_wait: int, refuse_foreign: Callable[[], None]
) -> Blueprint:
    routes = Blueprint("predictions", __name__, url_prefix="/v1/models")

    @routes.post("/<reference>/predict")
    def post(reference: str) -> Response:
        refuse_foreign()
        job = submit(reference, lambda signature: _instances(request, signature))
        return answer(job, preferred_wait(request.headers.get("Prefer"), max_wait))

    @routes.get("/<reference>/predict")
    def query(reference: str) -> Response:
        refuse_foreign()
        if request.method == "HEAD":
            resolve(repository, reference)
            return Response(headers={"Cache-Control": "no-store"}, content_type="application/json")
        job = submit(reference, lambda _: dialects.from_form(request.args.items(multi=True)))
        wait = preferred_wait(request.headers.get("Prefer"), max_wait)
        response = answer(job, min(QUERY_WAIT, max_wait) if wait is None else wait)
        response.headers["Cache-Control"] = "no-store"
        return response

    def submit(reference: str, instances: Callable[[Signature], Instances]) -> PredictionJob:
        name, version = resolve(repository, reference)
        signature = repository.manifest(name, version).signature
        coerced = coerce(instances(signature), signature)
        now = timestamp(datetime.now(UTC))
        job = PredictionJob(uuid.uuid4().hex, now, name, version, coerced.rows, coerced.ids, coerced.warnings)
        if jobs.submit([job]) != [True]:
            detail = f"too many rows wait for {name!r} already (MAX_QUEUE_ROWS); try again later"
            raise Problem(503, "queue_full", detail, headers=RETRY_SOON)
        return job

    def answer(submitted: PredictionJob, wait: int | None) -> Response:
        headers = {"Location": f"/v1/jobs/{quote(submitted.id)}"}
        if wait is None:
            return job_response(_as_queued(submitted), 202, headers)
        headers["Preference-Applied"] = f"wait={wait}"
        job = wait_for(submitted.id, wait, jobs, listener) or _as_queued(submitted)
        return job_response(job, 200 if job.status.final else 202, headers)

    return routes


def _as_queued(job: PredictionJob) -> Job:
    return Job(job.id, Status.QUEUED, job.model, job.version, job.created_at, warnings=job.warnings)


def _instances(request: Request, signature: Signature) -> Instances:
    """The body in whatever dialect its media type says; without one it is taken for JSON."""
    if request.content_encoding:
        detail = f"the Content-Encoding {request.content_encoding[:40]!r} is not understood; send the body as it is"
        raise Problem(415, "unsupported_content_encoding", detail)
    kind = request.mimetype
    if kind in ("", "application/json") or (kind.startswith("application/") and kind.endswith("+json")):
        return dialects.from_json(request.get_data(cache=False), signature)
    if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return dialects.from_form(request.form.items(multi=True))
    if kind == "text/csv":
        return dialects.from_csv(request.get_data(cache=False))
    detail = f"the media type {kind[:80]!r} is not understood; send application/json, text/csv or an HTML form"
    raise Problem(415, "unsupported_media_type", detail, headers={"Accept-Post": "application/json, text/csv"})
