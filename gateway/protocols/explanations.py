"""What is to be explained, in the query of a request."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from contract.work.explanations import ExplainRequest
from gateway.problems import Problem, ProblemCode

_SEED = re.compile(r"\d{1,9}", re.ASCII)
_FLAGS = {"true": True, "false": False}


def read(query: str) -> ExplainRequest:
    """Return what a query asks for. Raises `Problem` for a value that cannot be used, or a name that comes twice."""
    values = parse_qs(query, keep_blank_values=True)
    for name in ("class", "output", "exact", "seed"):
        if len(values.get(name, ())) > 1:
            raise Problem(ProblemCode.INVALID_PARAMETER, f"{name} comes {len(values[name])} times; send it once")
    label, output, exact, seed = (values.get(name, [None])[0] for name in ("class", "output", "exact", "seed"))
    if exact is not None and exact not in _FLAGS:
        raise Problem(ProblemCode.INVALID_PARAMETER, f"exact={exact[:64]!r} is neither true nor false")
    if seed is not None and not _SEED.fullmatch(seed):
        raise Problem(ProblemCode.INVALID_PARAMETER, f"seed={seed[:64]!r} is not a whole number of up to 9 digits")
    return ExplainRequest(label, output, _FLAGS[exact or "false"], int(seed or 0))
