"""Jobs and other JSON as responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from flask import Response

from contract.jobs import Job
from gateway.protocols import native

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

FRESH = {"Cache-Control": "no-store"}


class JSONResponse(Response):
    """A whole body with final headers, which Werkzeug need not process: `Location` is plain ASCII."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(self.status, list(self.headers))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.get_data()]


def json_response(
    body: object,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> Response:
    return JSONResponse(native.to_json(body), status, headers, content_type=content_type)


def job_response(job: Job, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return the job, with `Retry-After` unless it is final."""
    hint = {} if job.status.final else {"Retry-After": "1"}
    return JSONResponse(native.write(job), status, {**hint, **(headers or {})}, content_type="application/json")
