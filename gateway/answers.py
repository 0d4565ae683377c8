"""Jobs and other JSON as responses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from flask import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

from contract.jobs import Job

_dumps = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


class JSONResponse(Response):
    """A whole body with final headers, which Werkzeug need not look at again: `Location` is plain ASCII."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(self.status, list(self.headers))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.get_data()]


def json_response(
    body: object,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> Response:
    return JSONResponse(_dumps(body) + "\n", status, headers, content_type=content_type)


def job_response(job: Job, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The job; unless it is final, when to look again."""
    hint = {} if job.status.final else {"Retry-After": "1"}
    return json_response(job.to_json(), status, {**hint, **(headers or {})})
