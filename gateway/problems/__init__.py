"""Why a request is refused, without HTTP."""

from __future__ import annotations

from gateway.problems.codes import ProblemCode
from gateway.problems.problem import MalformedBody, Problem

__all__ = ["MalformedBody", "Problem", "ProblemCode"]
