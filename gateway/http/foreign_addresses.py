"""Which protocol an address belongs to that no route has, so that its clients can read the refusal."""

from __future__ import annotations

import re

from gateway.http.rules import ErrorShape
from gateway.protocols import kserve, mlflow, open_inference, sagemaker

_SHAPES: tuple[tuple[re.Pattern[str], ErrorShape], ...] = (
    (re.compile(r"/v2(/.*)?"), open_inference.error),
    (re.compile(r"/endpoints/.*"), sagemaker.error),
    (re.compile(r"/v1/models/[^/]*(/versions/[^/]*)?:[a-z]+"), kserve.error),
    (re.compile(r"(/v1/models/[^/]+)?/invocations"), mlflow.error),
)


def foreign_shape(path: str) -> ErrorShape | None:
    """Return the shape of errors at this address; None for that of our own."""
    return next((shape for pattern, shape in _SHAPES if pattern.fullmatch(path)), None)
