"""Predictions: rows in a body, or one row in a query, and the job that they become."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flask import Blueprint, Request, Response, request

from contract.coercion import Instances
from contract.jobs import Job
from contract.manifest import Signature
from gateway.answers import FRESH, job_response
from gateway.clients import hung_up
from gateway.forms import fields_in, length_of
from gateway.media_types import CSV, MULTIPART, URLENCODED, is_json, media_type, unsupported
from gateway.problems import Problem
from gateway.protocols import csv_rows, form, native
from gateway.protocols.preferences import Preferences, preferences, seconds
from gateway.rules import BodyLimit, Level
from gateway.serving.models import resolve
from gateway.serving.predicting import Predictor

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

QUERY_WAIT = 10
"""Seconds that a prediction asked for in a query waits by default."""


@dataclass(frozen=True)
class Predictions:
    """Speaks HTTP for the predictor. `max_wait`: seconds that a request may wait for its job."""

    predictor: Predictor
    max_wait: int

    def post(self, environ: WSGIEnvironment, reference: str) -> Response:
        """Predict the rows in the body. The fast path calls this, too, so it needs nothing of Flask's context."""
        preferred = preferences(environ.get("HTTP_PREFER"), self.max_wait)
        expires_after = seconds("Cancel-After", environ.get("HTTP_CANCEL_AFTER"))
        model = self.predictor.model(reference)
        rows, size = _rows_in(environ, model.signature, self.predictor.max_rows)
        job = self.predictor.predict(
            model,
            rows,
            size,
            wait=preferred.wait,
            lenient=preferred.handling == "lenient",
            expires_after=expires_after,
            gone=hung_up(environ),
        )
        return _answer(job, preferred)

    def query(self, asked: Request, reference: str) -> Response:
        """Predict the row in the query."""
        if asked.method == "HEAD":
            resolve(self.predictor.repository, reference)
            return Response(headers=FRESH, content_type="application/json")
        preferred = preferences(asked.environ.get("HTTP_PREFER"), self.max_wait)
        if preferred.wait is None:
            preferred = replace(preferred, wait=min(QUERY_WAIT, self.max_wait))
        expires_after = seconds("Cancel-After", asked.environ.get("HTTP_CANCEL_AFTER"))
        job = self.predictor.predict(
            self.predictor.model(reference),
            form.read(asked.args.items(multi=True)),
            len(asked.query_string),
            wait=preferred.wait,
            lenient=preferred.handling == "lenient",
            expires_after=expires_after,
            gone=hung_up(asked.environ),
        )
        response = _answer(job, preferred)
        response.headers.update(FRESH)
        return response


def blueprint(predictions: Predictions, limit: BodyLimit) -> Blueprint:
    routes = Blueprint("predictions", __name__, url_prefix="/v1/models")

    @routes.post("/<reference>/predict", level=Level.PREDICT, body=limit)
    def post(reference: str) -> Response:
        return predictions.post(request.environ, reference)

    @routes.get("/<reference>/predict", level=Level.PREDICT)
    def query(reference: str) -> Response:
        return predictions.query(request, reference)

    return routes


def _answer(job: Job, preferred: Preferences) -> Response:
    headers = {"Location": f"/v1/jobs/{job.id}"}
    if applied := preferred.applied:
        headers["Preference-Applied"] = applied
    return job_response(job, 200 if job.status.final else 202, headers)


def _rows_in(environ: WSGIEnvironment, signature: Signature, max_rows: int) -> tuple[Instances, int]:
    """Return the rows in the body, read by its media type, and the bytes of the body.

    At most one row beyond `max_rows` is read of a CSV: a row can be two bytes, and costs hundreds.
    """
    if coding := environ.get("HTTP_CONTENT_ENCODING"):
        detail = f"the Content-Encoding {coding[:40]!r} is not supported; send the body as it is"
        raise Problem(415, "unsupported_content_encoding", detail)
    kind = media_type(environ)
    if is_json(kind):
        body = environ["wsgi.input"].read()
        return native.read(body, signature), len(body)
    if kind in (URLENCODED, MULTIPART):
        length_of(environ)
        body = environ["wsgi.input"].read()
        return form.read(fields_in(environ, body).items(multi=True)), len(body)
    if kind == CSV:
        body = environ["wsgi.input"].read()
        return csv_rows.read(body, max_rows + 1), len(body)
    raise unsupported(kind, "application/json, text/csv or an HTML form", "application/json, text/csv")
