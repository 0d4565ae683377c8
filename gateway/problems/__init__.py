"""Why a request is refused, without HTTP."""

from __future__ import annotations

from gateway.problems.codes import ProblemCode
from gateway.problems.problem import MalformedBody, Problem, did_you_mean, invalid, missing_scope, read_body, read_valid

__all__ = [
    "MalformedBody",
    "Problem",
    "ProblemCode",
    "did_you_mean",
    "invalid",
    "missing_scope",
    "read_body",
    "read_valid",
]
