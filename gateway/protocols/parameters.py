"""Parameters of a request in its query and its headers: `Prefer`, seconds, times, and those of lists in pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache

from gateway.problems import Problem, ProblemCode

DEFAULT_LIMIT = 50
"""Items of a page."""

LARGEST_NUMBER = 10**9 - 1
"""Of 9 digits."""
MOST_SECONDS = LARGEST_NUMBER
LONGEST_KEY = 256
"""Characters of an `Experiment-Key`."""

BARE_KEY = re.compile(r"[!#-~][!-~]{0,254}", re.ASCII)
"""An `Idempotency-Key` without quotes."""
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_HANDLING = re.compile(r"""\s*handling\s*=\s*"?(strict|lenient)"?\s*""", re.IGNORECASE)
_WAIT = re.compile(r"""\s*wait\s*=\s*"?(\d{1,9})"?\s*""", re.IGNORECASE | re.ASCII)
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,20})?(e-\d{1,3})?", re.ASCII | re.IGNORECASE)
"""A number as JSON writes it: 0.5, and 1e-7."""


@dataclass(frozen=True)
class Preferences:
    """The preferences of `Prefer` (RFC 7240): `wait` in seconds, and `handling`: invalid rows are left out ("lenient")
    or fail the request ("strict"). None: not given."""

    wait: int | None = None
    handling: str | None = None

    @cached_property
    def applied(self) -> str | None:
        """The value of `Preference-Applied`."""
        applied = {"handling": self.handling, "wait": self.wait}
        return ", ".join(f"{name}={value}" for name, value in applied.items() if value is not None) or None


@lru_cache(256)  # clients repeat the same header
def preferences(header: str | None, max_wait: int) -> Preferences:
    """Parse `header`; the wait is at most `max_wait` seconds.

    If a preference is repeated, the first counts. Unknown and malformed ones are ignored, as the RFC requires.
    """
    wait, handling = None, None
    for preference in (header or "").split(","):
        text = preference.split(";")[0]
        if wait is None and (matched := _WAIT.fullmatch(text)):
            wait = min(int(matched[1]), max_wait)
        elif handling is None and (matched := _HANDLING.fullmatch(text)):
            handling = matched[1].lower()
    return Preferences(wait, handling)


def experiment_key(header: str | None) -> str | None:
    """Return `Experiment-Key`. Raises `Problem` for an empty or a long one."""
    if header is None or 1 <= len(header) <= LONGEST_KEY:
        return header
    detail = f"Experiment-Key must have 1 to {LONGEST_KEY} characters; send what names the caller, such as a customer"
    raise Problem(ProblemCode.INVALID_PARAMETER, detail)


def seconds(name: str, text: str | None) -> float | None:
    """Return the seconds in the parameter or header `name`, None if it is absent. Raises `Problem` for other text."""
    if text is None:
        return None
    if not _SECONDS.fullmatch(text):
        raise Problem(ProblemCode.INVALID_PARAMETER, f"{name} {text[:64]!r} is not a number of seconds, such as 5")
    return float(text)


def moment(name: str, text: str | None) -> datetime | None:
    """Return the time in the parameter `name`. Raises `Problem` unless it has a zone."""
    if text is None:
        return None
    time = utc(text)
    if time is None:
        detail = f"{name}={text[:64]!r} is not a time with its zone, such as 2026-01-02T03:04:05Z"
        raise Problem(ProblemCode.INVALID_PARAMETER, detail)
    return time


def utc(value: object) -> datetime | None:
    """Return the time in UTC that ISO 8601 text with a zone says, or the nearest that there is; None for any other
    value."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
        return time.astimezone(UTC) if time and time.tzinfo else None
    except ValueError:
        return None
    except OverflowError:  # in UTC it is in the year 0 or 10000
        return (datetime.min if str(value).startswith("0001") else datetime.max).replace(tzinfo=UTC)


def limit(text: str | None, name: str = "limit") -> int:
    """Return the number of items of a page, or another number, the parameter `name`. Raises `ValueError`."""
    if text is None:
        return DEFAULT_LIMIT
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{name}={text[:64]!r} is not a number")
    return int(text)


@contextmanager
def refusing(advice: str) -> Iterator[None]:
    """Raise `Problem` for a page that cannot be read: the `ValueError` of the block, and what to send instead."""
    try:
        yield
    except ValueError as error:
        raise Problem(ProblemCode.INVALID_PARAMETER, f"{error}; {advice}") from error
