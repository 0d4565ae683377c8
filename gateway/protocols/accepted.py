"""What a client accepts, of media types or codings, and how much (RFC 9110, 12.4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache


def weights(accept: str) -> Mapping[str, float]:
    """Return the weight of each name in the value of an `Accept…` header, in lower case. One that is no number is 0."""
    parts = (part.split(";") for part in accept.lower().split(","))
    return {name.strip(" \t"): _weight(parameters) for name, *parameters in parts}


@lru_cache(256)  # clients repeat the same header
def preferred(accept: str, kinds: Sequence[str]) -> str:
    """Return which of the media types a client with this `Accept` likes best: the first, unless it names another and
    likes that at least as much as it names the first."""
    accepted = weights(accept)
    chosen = max(kinds[1:], key=lambda kind: accepted.get(kind, 0.0))
    weight = accepted.get(chosen, 0.0)
    return chosen if weight > 0 and weight >= accepted.get(kinds[0], 0.0) else kinds[0]


def _weight(parameters: Sequence[str]) -> float:
    stripped = (parameter.strip(" \t") for parameter in parameters)
    weight = next((parameter[2:] for parameter in stripped if parameter.startswith("q=")), "1")
    try:
        return float(weight)
    except ValueError:
        return 0.0
