"""What a request asks for in its headers beside the data."""

from __future__ import annotations

import re

from gateway.problems import Problem

_WAIT = re.compile(r"""\s*wait\s*=\s*"?(\d{1,9})"?\s*""", re.IGNORECASE | re.ASCII)
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


def preferred_wait(header: str | None, most: int) -> int | None:
    """Seconds of `Prefer: wait=N` (RFC 7240), at most `most`; None without one that can be understood.

    The first `wait` counts. What is unknown or malformed is ignored, as the RFC asks.
    """
    for preference in (header or "").split(","):
        matched = _WAIT.fullmatch(preference.split(";")[0])
        if matched:
            return min(int(matched[1]), most)
    return None


def seconds(name: str, text: str | None) -> float | None:
    """The number of seconds in the parameter or header `name`; None without it. Raises `Problem` (400)."""
    if text is None:
        return None
    if not _SECONDS.fullmatch(text):
        raise Problem(400, "invalid_parameter", f"{name} {text[:64]!r} is not a number of seconds, such as 5")
    return float(text)
