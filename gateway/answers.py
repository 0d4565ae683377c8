"""Jobs and other JSON as responses."""

from __future__ import annotations

import json
from collections.abc import Mapping

from flask import Response

from contract.jobs import Job

_dumps = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def json_response(
    body: object,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> Response:
    return Response(_dumps(body) + "\n", status, headers, content_type=content_type)


def job_response(job: Job, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The job; unless it is final, when to look again."""
    hint = {} if job.status.final else {"Retry-After": "1"}
    return json_response(job.to_json(), status, {**hint, **(headers or {})})
