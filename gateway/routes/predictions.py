"""Predictions: rows in a body, or one row in a query, and the job that they become."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from wsgiref.types import WSGIEnvironment

from flask import Blueprint, Request, Response, request

from broker.sides.gateway.receipts import Receipts
from contract.model.signature import EXPLAIN, OTHER_METHODS, PREDICT, RowFormat, Signature
from contract.rows.instances import Instances
from contract.work.api_keys import Scope
from contract.work.jobs import Job, Status
from contract.work.webhooks import AllowedTargets
from gateway.http.answers import FRESH, NO_HEADERS, JobAnswer, PredictionAnswer, quota_headers
from gateway.http.clients import request_context
from gateway.http.exchange import current, note_explained, noted
from gateway.http.forms import fields_in, length_of
from gateway.http.media_types import CSV, MULTIPART, TEXT, URLENCODED, check_not_rows, is_json, media_type, unsupported
from gateway.http.operations import (
    CANCEL_AFTER,
    ESCAPE,
    EXPERIMENT_KEY,
    EXPLAIN_PARAMETERS,
    IDEMPOTENCY_KEY,
    JOB_ACCEPTED,
    KEPT,
    PREFER,
    WEBHOOK_URL,
    Answer,
    Operation,
)
from gateway.http.rules import BodyLimit
from gateway.protocols import accepted, csv_rows, explanations, native, npy
from gateway.protocols.offload import offload
from gateway.protocols.parameters import Preferences, preferences, seconds
from gateway.protocols.webhooks import webhook_url
from gateway.serving.predicting import PredictionOptions, Predictor

DEFAULT_WAIT = 10
"""Seconds that a prediction waits by default if it is in a query, or asks for CSV."""

AT_ONCE = 0.25
"""Seconds within which an answer counts as seen without a look whether the client is still there."""

JSON = "application/json"
_ANSWERS = (JSON, CSV, npy.CONTENT_TYPE)
_TAKEN = ", ".join(_ANSWERS)

_ENDED = Answer("The job has ended within the wait; its `status` says how.", "Job", {"Location": "Its address."})
_ENDED_OR_TABLE = Answer(
    "The job has ended within the wait; its `status` says how. If it has succeeded and `Accept` asks for CSV: the rows"
    " of the request with their answers; for NumPy: what the method returned.",
    {JSON: "Job", CSV: "Csv", npy.CONTENT_TYPE: "NumpyFile"},
    {"Location": "Its address."},
)
_REFUSED = (
    *("400 invalid_parameter", "404 no_current_version", "413 too_many_rows", "422 invalid_instances"),
    "422 timed_out_twice",
    "503 environment_not_served",
    *("429 rate_limit", "429 rows_waiting_limit", "429 jobs_in_flight_limit"),
    *("503 manifest_invalid", "503 model_not_found", "503 queue_full", "503 overloaded", "503 redis_disk_slow", *KEPT),
)
_BODY_REFUSED = (
    *("403 no_webhooks", "406 not_acceptable", "411 length_required", "413 form_too_large"),
    "415 unsupported_media_type",
    *("415 unsupported_content_encoding", *_REFUSED),
)
_ROWS = {
    JSON: "Rows",
    npy.CONTENT_TYPE: "NumpyFile",
    CSV: "Csv",  # after the others: as this type openapi-python-client sends any file
    URLENCODED: "FormRow",
    MULTIPART: "FormRow",
}
_POST = Operation(
    "predict",
    "Predict rows",
    {200: _ENDED_OR_TABLE, 202: JOB_ACCEPTED},
    problems=_BODY_REFUSED,
    parameters=(ESCAPE, PREFER, CANCEL_AFTER, EXPERIMENT_KEY, IDEMPOTENCY_KEY, WEBHOOK_URL),
    body=_ROWS,
)
_CALL = replace(
    _POST,
    id="call_method",
    summary="Send rows to another method of the model",
    problems=("404 unknown_method", *_BODY_REFUSED),
)
_EXPLAIN = replace(
    _POST,
    id="explain",
    summary="Explain the answers to rows",
    problems=("404 unknown_method", "409 no_background", *_BODY_REFUSED),
    parameters=(*EXPLAIN_PARAMETERS, *_POST.parameters),
)
_QUERY = Operation(
    "predict_query",
    "Predict one row in the query; waits up to 10 s",
    {200: _ENDED, 202: JOB_ACCEPTED},
    problems=_REFUSED,
    parameters=(PREFER, CANCEL_AFTER, EXPERIMENT_KEY),
)


@dataclass(frozen=True)
class Predictions:
    """Speaks HTTP for the predictor. `max_wait`: seconds that a request may wait for its job. `receipts` notes which
    ended jobs clients have seen. `webhooks`: where they may go; None: there are none."""

    predictor: Predictor
    max_wait: int
    receipts: Receipts
    webhooks: AllowedTargets | None = None

    def post(self, environ: WSGIEnvironment, reference: str, method: str = PREDICT.name) -> PredictionAnswer:
        """Send the rows in the body to a method. The fast path calls this, too, so it needs nothing of Flask's
        context."""
        preferred = preferences(environ.get("HTTP_PREFER"), self.max_wait)
        kind = accepted.preferred(environ.get("HTTP_ACCEPT", ""), _ANSWERS)
        escape = kind == CSV and csv_rows.is_escaped(environ["QUERY_STRING"])
        if kind != JSON and preferred.wait is None:
            preferred = replace(preferred, wait=min(DEFAULT_WAIT, self.max_wait))
        options = PredictionOptions(
            method,
            preferred.wait,
            preferred.handling == "lenient",
            seconds("Cancel-After", environ.get("HTTP_CANCEL_AFTER")),
            webhook_url(environ, self.webhooks),
            explanations.read(environ.get("QUERY_STRING", "")) if method == EXPLAIN else None,
        )
        model = self.predictor.model(reference)
        if options.explain is None:  # metrics of the model count predictions
            noted(model, reference)
        else:
            note_explained(model)
        rows, size = _rows_in(environ, model.signature, self.predictor.max_rows)
        context = request_context()
        job = self.predictor.predict(model, rows, size, options, context)
        if kind == JSON or job.status is not Status.SUCCEEDED:
            return self._answer(job, preferred, context.gone)
        if kind == CSV:
            kind = csv_rows.CONTENT_TYPE
            body = offload(native.size_of(job), csv_rows.write, job, rows, model.signature, method, escape=escape)
        else:
            output: Mapping[str, Any] = job.output or {}
            body = offload(native.size_of(job), npy.write_answers, output["predictions"])
        headers = {**self._headers(job, preferred), "Content-Type": kind, "Vary": "Accept"}
        # The job has what these lack: warnings, and the errors of invalid rows.
        return PredictionAnswer(body, headers, partial(self.receipts.fetched, job.id), context.gone)

    def query(self, query_request: Request, reference: str) -> JobAnswer | Response:
        """Predict the row in the query. HEAD checks it, and makes no job."""
        preferred = preferences(query_request.environ.get("HTTP_PREFER"), self.max_wait)
        if preferred.wait is None:
            preferred = replace(preferred, wait=min(DEFAULT_WAIT, self.max_wait))
        options = PredictionOptions(
            wait=preferred.wait,
            lenient=preferred.handling == "lenient",
            expires_after=seconds("Cancel-After", query_request.environ.get("HTTP_CANCEL_AFTER")),
        )
        model = noted(self.predictor.model(reference), reference)
        row = native.read_fields(query_request.args.items(multi=True))
        context = request_context()
        if query_request.method == "HEAD":
            self.predictor.check(model, row, options, context.caller)
            headers = FRESH if preferred.applied is None else {**FRESH, "Preference-Applied": preferred.applied}
            return Response(headers=headers, content_type=JSON)
        job = self.predictor.predict(model, row, len(query_request.query_string), options, context)
        return self._answer(job, preferred, context.gone, FRESH)

    def _answer(
        self, job: Job, preferred: Preferences, gone: Callable[[], bool], headers: Mapping[str, str] = NO_HEADERS
    ) -> JobAnswer:
        exchange = current()
        headers = {**headers, **self._headers(job, preferred)}
        status = 200 if job.status.final else 202
        # The check is a system call. A client hardly leaves as soon as it has asked.
        gone = gone if exchange.elapsed() > AT_ONCE else _never
        # A delivered job is soon deleted, but not while its request may be repeated, or its webhook waits.
        kept = exchange.idempotency or "HTTP_WEBHOOK_URL" in exchange.environ
        note = self.receipts.fetched if kept else self.receipts.delivered
        return JobAnswer(job, status, headers, note=note, gone=gone)

    def _headers(self, job: Job, preferred: Preferences) -> dict[str, str]:
        """Return the headers that every answer with a job has. Notes the job for the access log."""
        exchange = current()
        exchange.job_id, exchange.version = job.id, job.version
        exchange.job_failed = job.status in (Status.FAILED, Status.EXPIRED)
        headers = {"Location": f"/v1/jobs/{job.id}"}
        if exchange.quota is not None:
            headers |= quota_headers(exchange.quota)
        if applied := preferred.applied:
            headers["Preference-Applied"] = applied
        return headers


def blueprint(predictions: Predictions, limit: BodyLimit) -> Blueprint:
    routes = Blueprint("predictions", __name__, url_prefix="/v1/models")

    @routes.post("/<reference>/predict", level=Scope.PREDICT, docs=_POST, body=limit)
    def post(reference: str) -> PredictionAnswer:
        return predictions.post(request.environ, reference)

    @routes.post(f"/<reference>/{EXPLAIN}", level=Scope.PREDICT, docs=_EXPLAIN, body=limit)
    def explain(reference: str) -> PredictionAnswer:
        return predictions.post(request.environ, reference, EXPLAIN)

    @routes.post(f"/<reference>/<any({', '.join(OTHER_METHODS)}):method>", level=Scope.PREDICT, docs=_CALL, body=limit)
    def call(reference: str, method: str) -> PredictionAnswer:
        return predictions.post(request.environ, reference, method)

    @routes.get("/<reference>/predict", level=Scope.PREDICT, docs=_QUERY, any_query=True)
    def query(reference: str) -> JobAnswer | Response:
        return predictions.query(request, reference)

    return routes


def _never() -> bool:
    return False


def _rows_in(environ: WSGIEnvironment, signature: Signature, max_rows: int) -> tuple[Instances, int]:
    """Return the rows in the body, read by its media type, and the bytes of the body.

    At most one row beyond `max_rows` is read of a CSV: a row can be two bytes, and costs hundreds.
    """
    kind, body = media_type(environ), environ["wsgi.input"].read()
    if is_json(kind):
        rows = native.read(body, signature)
    elif kind in (URLENCODED, MULTIPART):
        length_of(environ)
        rows = native.read_fields(fields_in(environ, body).items(multi=True))
    elif kind == CSV:
        rows = csv_rows.read(body, max_rows + 1)
    elif kind == npy.CONTENT_TYPE:
        rows = npy.read(body, signature, max_rows)
    elif kind == TEXT and signature.format is RowFormat.TEXTS:
        rows = native.read_lines(body, signature, max_rows + 1)
    else:
        if kind == TEXT:
            check_not_rows(body, "text")
        taken = f"{_TAKEN}, {TEXT}" if signature.format is RowFormat.TEXTS else _TAKEN
        raise unsupported(kind, f"one of {taken}, or an HTML form", taken)
    return rows, len(body)
