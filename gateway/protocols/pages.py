"""The parameters of a list that comes in pages."""

from __future__ import annotations

import re
from datetime import datetime

from gateway.problems import Problem, ProblemCode

DEFAULT_LIMIT = 50

_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


def moment(name: str, text: str | None) -> datetime | None:
    """Return the time in the parameter `name`. Raises `Problem` unless it has a zone."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        detail = f"{name}={text[:64]!r} is not a time with its zone, such as 2026-01-02T03:04:05Z"
        raise Problem(ProblemCode.INVALID_PARAMETER, detail)
    return time


def limit(text: str | None) -> int:
    """Return the number of items of a page. Raises `ValueError`."""
    if text is None:
        return DEFAULT_LIMIT
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"limit={text[:64]!r} is not a number")
    return int(text)
