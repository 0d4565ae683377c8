"""Predictions: a request becomes a job in Redis, or an answer that says what is wrong with it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from flask import Blueprint, Request, Response, request

from broker.gateway.jobs import Jobs
from contract.coercion import Instances, coerce
from contract.jobs import Job, PredictionJob, Refused, Status, timestamp
from contract.manifest import Signature
from contract.repository import Repository
from gateway.answers import job_response
from gateway.callers import hung_up
from gateway.door.bodies import whole
from gateway.problems import Problem
from gateway.protocols import dialects
from gateway.protocols.forms import form_in
from gateway.protocols.preferences import Preferences, preferences, seconds
from gateway.protocols.slips import check_csv
from gateway.routes.models import resolve
from gateway.serving.group_commit import GroupCommit
from gateway.serving.listener import Listener, Waiter

QUERY_WAIT = 10
"""Seconds that a prediction asked for in a query waits by itself."""

LONGEST_RETRY = 300
"""Seconds that a caller is told to stay away at most."""


@dataclass(frozen=True)
class Predictions:
    """What requests for predictions need. `most_rows` may ever wait for a model, `max_wait` is in seconds."""

    jobs: Jobs
    commit: GroupCommit
    repository: Repository
    listener: Listener
    most_rows: int
    max_wait: int

    def post(self, asked: Request, reference: str) -> Response:
        """The instances are in the body. Needs nothing of Flask but the request."""
        preferred = preferences(asked.environ.get("HTTP_PREFER"), self.max_wait)
        return self._predict(
            asked, reference, lambda signature: _instances(asked, signature, self.most_rows), preferred
        )

    def query(self, asked: Request, reference: str) -> Response:
        """One instance is in the query."""
        if asked.method == "HEAD":
            resolve(self.repository, reference)
            return Response(headers={"Cache-Control": "no-store"}, content_type="application/json")
        preferred = preferences(asked.environ.get("HTTP_PREFER"), self.max_wait)
        if preferred.wait is None:
            preferred = replace(preferred, wait=min(QUERY_WAIT, self.max_wait))
        pairs = asked.args.items(multi=True)
        response = self._predict(
            asked, reference, lambda _: (dialects.from_form(pairs), len(asked.query_string)), preferred
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    def _predict(
        self,
        asked: Request,
        reference: str,
        instances: Callable[[Signature], tuple[Instances, int]],
        preferred: Preferences,
    ) -> Response:
        """`instances` gives them and the bytes that they came in."""
        expires_after = seconds("Cancel-After", asked.environ.get("HTTP_CANCEL_AFTER"))
        name, version = resolve(self.repository, reference)
        manifest, wait = self.repository.manifest(name, version), preferred.wait
        given, size = instances(manifest.signature)
        if len(given.rows) > self.most_rows:
            raise _too_many_rows(self.most_rows)
        lenient = preferred.handling == "lenient"
        coerced = coerce(given, manifest.signature, manifest.training_data.target, lenient=lenient)
        job = PredictionJob(
            id=os.urandom(16).hex(),
            created_at=timestamp(datetime.now(UTC)),
            model=name,
            version=version,
            rows=coerced.rows,
            ids=coerced.ids,
            warnings=coerced.warnings,
            expires_after=expires_after,
            reply_to=self.listener.channel if wait else None,
            refused=Refused(coerced.refused, coerced.errors) if lenient else None,
        )
        with self.listener.expect(job.id, hung_up(asked)) if wait else nullcontext() as waiter:
            if not self.commit.submit(job, size):
                raise _queue_full(self.jobs, name)
            return _answer(job, preferred, waiter)


def blueprint(predictions: Predictions) -> Blueprint:
    routes = Blueprint("predictions", __name__, url_prefix="/v1/models")

    @routes.post("/<reference>/predict")
    def post(reference: str) -> Response:
        return predictions.post(request, reference)

    @routes.get("/<reference>/predict")
    def query(reference: str) -> Response:
        return predictions.query(request, reference)

    return routes


def _answer(job: PredictionJob, preferred: Preferences, waiter: Waiter | None) -> Response:
    headers = {"Location": f"/v1/jobs/{job.id}"}
    if applied := preferred.applied:
        headers["Preference-Applied"] = applied
    ended = waiter.wait(preferred.wait or 0) if waiter else None
    if ended:
        return job_response(ended, 200, headers)
    queued = Job(job.id, Status.QUEUED, job.model, job.version, job.created_at, warnings=job.warnings)
    return job_response(queued, 202, headers)


def _too_many_rows(most: int) -> Problem:
    detail = f"more rows than may ever wait for a model ({most}, MAX_QUEUE_ROWS); send them in several requests"
    return Problem(413, "too_many_rows", detail)


def _queue_full(jobs: Jobs, model: str) -> Problem:
    """Tells to come back when half of what waits will have been scored, at the rate of the last seconds."""
    left = jobs.backlog(model).seconds
    retry = 1 if left is None else min(LONGEST_RETRY, max(1, math.ceil(left / 2)))
    detail = f"too many rows wait for {model!r} already (MAX_QUEUE_ROWS); try again in {retry} s"
    return Problem(503, "queue_full", detail, headers={"Retry-After": str(retry)})


def _instances(request: Request, signature: Signature, most_rows: int) -> tuple[Instances, int]:
    """The body in whatever dialect its media type says, without one taken for JSON; and its bytes.

    Of a CSV with more than `most_rows` rows, just one more is read: a row can be two bytes, and costs hundreds.
    """
    if request.content_encoding:
        detail = f"the Content-Encoding {request.content_encoding[:40]!r} is not understood; send the body as it is"
        raise Problem(415, "unsupported_content_encoding", detail)
    kind = request.mimetype
    if kind in ("application/json", "") or (kind.startswith("application/") and kind.endswith("+json")):
        body = whole(request)
        return dialects.from_json(body, signature), len(body)
    if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        if request.content_length is None:
            raise Problem(411, "length_required", "send a form with a Content-Length")
        body = whole(request)
        return dialects.from_form(form_in(request, body).items(multi=True)), len(body)
    if kind == "text/csv":
        body = whole(request)
        check_csv(body)
        return dialects.from_csv(body, most_rows + 1), len(body)
    detail = f"the media type {kind[:80]!r} is not understood; send application/json, text/csv or an HTML form"
    raise Problem(415, "unsupported_media_type", detail, headers={"Accept-Post": "application/json, text/csv"})
