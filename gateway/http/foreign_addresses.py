"""Which protocol, or old service, an address belongs to that no route has, so that its clients can read the refusal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from werkzeug.routing import Rule

from gateway.http.exchange import current
from gateway.http.rules import ErrorShape, Route
from gateway.protocols import kserve, mlflow, open_inference, sagemaker


def sagemaker_error(status: int, code: str, sentence: str) -> tuple[object, Mapping[str, str]]:
    """Return an error as botocore reads it, with the id of the request."""
    body, headers = sagemaker.error(status, code, sentence)
    return body, {**headers, sagemaker.REQUEST_ID: current().request_id}


_SHAPES: tuple[tuple[re.Pattern[str], ErrorShape], ...] = (
    (re.compile(r"/v2(/.*)?"), open_inference.error),
    (re.compile(r"/endpoints/.*"), sagemaker_error),
    (re.compile(r"/v1/models/[^/]*(/versions/[^/]*)?:[a-z]+"), kserve.error),
    (re.compile(r"(/v1/models/[^/]+)?/invocations"), mlflow.error),
)


def foreign_shape(path: str, rules: Iterable[Rule]) -> ErrorShape | None:
    """Return the shape of errors at an address that none of the rules has; None for that of our own."""
    for rule in rules:
        if isinstance(rule, Route) and rule.errors_below and f"{path}/".startswith(f"{rule.errors_below}/"):
            return rule.errors
    return next((shape for pattern, shape in _SHAPES if pattern.fullmatch(path)), None)
