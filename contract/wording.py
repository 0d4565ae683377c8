"""Values, lists, counts and shares as words in messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_KINDS = {
    "integer": "whole number",
    "string": "text",
    "boolean": "yes or no",
    "datetime": "date and time",
    "datetime_day_first": "date and time, day first",
    "datetime_month_first": "date and time, month first",
}


def kind_in_words(kind: str) -> str:
    """Return the kind of an input or a column (`contract.work.training.KINDS`) as pages and reports call it."""
    return _KINDS.get(kind, kind)


def listed(values: Sequence[object], most: int = 10) -> str:
    """Return the first `values` as `shown` writes them, and the number of the others."""
    text = ", ".join(map(shown, values[:most]))
    return text if len(values) <= most else f"{text} and {len(values) - most} more"


def shown(value: object) -> str:
    """Return a value in a few words. repr() would descend to any depth, and fails for an int of 5,000 digits."""
    if isinstance(value, str):
        return repr(value) if len(value) <= 40 else f"{value[:40]!r}… ({len(value)} characters)"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of about {value.bit_length() * 301 // 1000} digits"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"a list of {counted(len(value), 'value')}"
    return "an object" if isinstance(value, Mapping) else f"a {type(value).__name__}"[:40]


def percent(share: float) -> str:
    """Return a share from 0 to 1 as text, with more digits where it is small."""
    return f"{100 * share:.{2 if 0 < share < 0.01 else 1}f} %"


def six_digits(value: float) -> str:
    """Return a number with six digits, or all before its point; with an exponent from 1e15 on, and below 1e-4."""
    return f"{value:,.0f}" if 1e5 <= abs(value) < 1e15 else f"{value:.6g}"


def counted(number: int, what: str) -> str:
    """Return `1 row`, `2 rows`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
