"""The text of a CSV column: which words stand for null, where commas stand in numbers, how dates are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TypeVar, cast

from contract.manifest import Field, Format, Kind

NULLS = frozenset({"NA", "N/A", "NaN", "nan", "NULL", "null", "None"})
"""Cells that stand for no value, as they do for pandas; so do blank ones."""

_NULL_WORDS = frozenset({"?", "-", "--", ".", "missing", "unknown", "inf", "-inf", "infinity", *map(str.lower, NULLS)})
"""Words, in small letters, that stand for no value where all others are numbers or dates."""

_EXPONENT = r"([eE][+-]?\d+)?"
PLAIN = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)" + _EXPONENT, re.ASCII)
"""A number as JSON has it, or a little freer."""
_WITH_COMMAS = {
    Format.DECIMAL_COMMA: re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?" + _EXPONENT, re.ASCII),
    Format.THOUSANDS_COMMA: re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?" + _EXPONENT, re.ASCII),
}
_WITHOUT_COMMAS = {
    Format.DECIMAL_COMMA: str.maketrans(",", ".", "."),
    Format.THOUSANDS_COMMA: str.maketrans("", "", ","),
}
_TIME = r"(\d{1,2}):(\d{2})(?::(\d{2})(\.\d{1,6})?)? *([AP]M)?"
_DATE = re.compile(r"(\d{4}|\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{1,2})(?:[T ] *" + _TIME + ")?", re.ASCII)
_DATE_PARTS = {Format.DAY_FIRST: (4, 3, 1), Format.MONTH_FIRST: (4, 1, 3), Format.YEAR_FIRST: (1, 3, 4)}
"""Which groups are the year, the month and the day."""


T = TypeVar("T")


def null_word(cell: object) -> bool:
    """Whether a cell among numbers, dates or truths stands for no value."""
    return isinstance(cell, str) and cell.strip().lower() in _NULL_WORDS


def as_text(column: list[object], field: Field, separator: str) -> list[object]:
    """The cells of one column in the words of JSON: numbers without commas, null words of texts null.

    What does not look like a value of `field` stays, for coercion to judge.
    """
    if field.kind is Kind.STRING:
        nulls = NULLS.difference(field.categories or ()) if field.nullable else frozenset[str]()
        return column if nulls.isdisjoint(column) else [None if cell in nulls else cell for cell in column]
    if field.kind in (Kind.NUMBER, Kind.INTEGER):
        return without_commas(column, number_format(column, separator, field.format))
    return column


def number_format(cells: Iterable[object], separator: str, known: Format | None = None) -> Format | None:
    """How the numbers among `cells` are written; `known` is how they were at the training, which decides doubts.

    Where commas separate the columns they stand between thousands alone: "1,2" is rather a list, and what was 1,2 at
    the training is not to be read as 12. Elsewhere 1,212 is a little more than one.
    """
    texts = [cell for cell in cells if isinstance(cell, str)]
    if known not in _WITH_COMMAS and "," not in "".join(texts):
        return None
    formats = list(_WITH_COMMAS)
    if separator == ",":
        formats = [Format.THOUSANDS_COMMA] if known is not Format.DECIMAL_COMMA else []
    if known in formats:
        formats.sort(key=lambda each: each is not known)
    patterns = (PLAIN, *_WITH_COMMAS.values())
    looked_at = {text for text in map(str.strip, texts) if any(pattern.fullmatch(text) for pattern in patterns)}
    return next((each for each in formats if all(map(_WITH_COMMAS[each].fullmatch, looked_at))), None)


def without_commas(column: list[T], written: Format | None) -> list[T | str]:
    """Its numbers as JSON has them; None: they are so."""
    if written not in _WITH_COMMAS:
        return cast("list[T | str]", column)
    pattern, change = _WITH_COMMAS[written], _WITHOUT_COMMAS[written]
    return [
        cell.translate(change) if isinstance(cell, str) and pattern.fullmatch(cell.strip()) else cell for cell in column
    ]


def date_format(texts: Iterable[str]) -> tuple[Format, bool] | None:
    """Which part of the dates among `texts` stands first, and whether that is a guess; None: no one part does in all.

    A part over 12 is no month. Where none is, dots and dashes are taken to follow a day, and a slash a month.
    """
    found = (_DATE.fullmatch(text.strip().upper()) for text in texts)
    dates = [match for match in found if match and 4 in (len(match[1]), len(match[4]))]
    if not dates:
        return None
    if all(len(match[1]) == 4 for match in dates):
        return Format.YEAR_FIRST, False
    months = {Format.MONTH_FIRST: 1, Format.DAY_FIRST: 3}  # the group in which the month stands
    possible = [each for each, group in months.items() if all(int(match[group]) <= 12 for match in dates)]
    if len(possible) == 2:
        slashes = all(match[2] == "/" for match in dates)
        return (Format.MONTH_FIRST if slashes else Format.DAY_FIRST), any(match[2] != "." for match in dates)
    return (possible[0], False) if possible else None


def not_quite_dates(texts: Sequence[str]) -> str | None:
    """Why texts that all look like dates are none; None: they do not look so, or one of them is wrong by itself."""
    found = [_DATE.fullmatch(text.strip().upper()) for text in texts]
    if not all(found):
        return None
    if any(match and max(len(match[1]), len(match[4])) < 4 for match in found):
        return "its dates have years of two digits; write four"
    if date_format(texts) is None:
        return "some of its dates begin with the day and some with the month; write all alike"
    return None


def moment_of(written: Format) -> Callable[[str], str | None]:
    """Reads a date that is written so as ISO 8601 text in UTC; None: it is none."""
    year, month, day = _DATE_PARTS[written]

    def read(text: str) -> str | None:
        match = _DATE.fullmatch(text.strip().upper())
        if not match or len(match[year]) != 4:
            return None
        hour, half = int(match[5] or 0), match[9]
        if half and not 1 <= hour <= 12:
            return None
        if half:
            hour = hour % 12 + (12 if half == "PM" else 0)
        micros = round(float(match[8] or 0) * 1_000_000)
        numbers = (int(match[year]), int(match[month]), int(match[day]), hour, int(match[6] or 0), int(match[7] or 0))
        try:
            return datetime(*numbers, micros, UTC).isoformat()
        except ValueError:
            return None

    return read
