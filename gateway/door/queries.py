"""Refuses names in a query that a route does not know: a misspelt filter would list everything."""

from __future__ import annotations

from urllib.parse import parse_qs

from contract.suggestions import Suggestions
from contract.wording import listed, shown
from gateway.problems import Problem, ProblemCode


def check_query(query: str, known: frozenset[str]) -> None:
    """Raise `Problem` (`invalid_parameter`) if `query` has a name that is not `known`."""
    if unknown := parse_qs(query, keep_blank_values=True).keys() - known:
        name = min(unknown)
        near = Suggestions().closest(name, known, 0.7)
        parameters = f"there are {listed(sorted(known))}" if known else "it takes none"
        hint = f"did you mean {shown(near)}?" if near else f"{parameters}."
        raise Problem(ProblemCode.INVALID_PARAMETER, f"this address has no parameter {shown(name)}; {hint}")
