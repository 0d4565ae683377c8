"""Reads the text of a CSV column: null words, commas and units in numbers, formats of dates. Writes columns of values
as CSV: numbers read back equal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from contract.model.signature import Field, Format, Kind
from contract.rows.number_text import are_plain, without_unit

NULLS = frozenset({"NA", "N/A", "NaN", "nan", "NULL", "null", "None"})
"""Cells that mean null, as in pandas. Blank cells do, too."""

_SPREADSHEET_ERRORS = frozenset(
    {"#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!", "#BEZUG!", "#NV", "#WERT!", "#ZAHL!"}
)
"""Results of formulas that fail, which mean null if all other cells are numbers or dates."""
MISSING = NULLS | _SPREADSHEET_ERRORS
"""What a target holds in a row without one."""

_NULL_WORDS = frozenset(
    {"?", "-", "--", "\u2013", "\u2014", ".", "missing", "unknown", "inf", "-inf", "infinity"}
    | set(map(str.lower, MISSING))
)
"""Words, in lower case, that mean null if all other cells are numbers or dates."""

_EXPONENT = r"([eE][+-]?\d+)?"
PLAIN = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)" + _EXPONENT, re.ASCII)
"""A number as JSON has it, or a little freer."""
_WITH_COMMAS = {
    Format.DECIMAL_COMMA: re.compile(r"[+-]?(\d+|[1-9]\d{0,2}(\.\d{3})+)(,\d+)?" + _EXPONENT, re.ASCII),
    Format.THOUSANDS_COMMA: re.compile(r"[+-]?(\d+|[1-9]\d{0,2}(,\d{3})+)(\.\d+)?" + _EXPONENT, re.ASCII),
}
_WITHOUT_COMMAS = {
    Format.DECIMAL_COMMA: str.maketrans(",", ".", "."),
    Format.THOUSANDS_COMMA: str.maketrans("", "", ","),
}
_TIME = r"(\d{1,2}):(\d{2})(?::(\d{2})(\.\d{1,6})?)? *([AP]M)?"
_DATE = re.compile(r"(\d{4}|\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{1,2})(?:[T ] *" + _TIME + ")?", re.ASCII)
_NAMED_MONTH = re.compile(
    r"(?:([0-9]{1,2})(?:[-/ ]|\. ?)?([^\W\d_]{3,9})\.?[-/, ]? ?|([^\W\d_]{3,9})\.? ([0-9]{1,2}),? )"
    r"([0-9]{4}|[0-9]{2})\b"
)
_MONTHS = (
    *("JANUARY", "FEBRUARY", "MARCH MÄRZ MRZ", "APRIL", "MAY MAI", "JUNE JUNI", "JULY JULI", "AUGUST", "SEPTEMBER"),
    *("OCTOBER OKTOBER", "NOVEMBER", "DECEMBER DEZEMBER"),
)
_DATE_PARTS = {Format.DAY_FIRST: (4, 3, 1), Format.MONTH_FIRST: (4, 1, 3), Format.YEAR_FIRST: (1, 3, 4)}
"""The groups of the year, the month and the day."""

_NUMBER = Field("", Kind.NUMBER)

T = TypeVar("T")
Formats = Mapping[str, Format | None]
"""The format of the numbers of each input of numbers, by its name."""


def is_null_word(cell: object) -> bool:
    """Return whether a cell among numbers, dates or booleans means null."""
    return isinstance(cell, str) and cell.strip().lower() in _NULL_WORDS


def is_number(cell: str) -> bool:
    """Return whether a cell is a number, with or without commas."""
    text = cell.strip()
    return any(pattern.fullmatch(text) for pattern in (PLAIN, *_WITH_COMMAS.values()))


def as_json_cells(column: list[object], field: Field, separator: str, formats: Formats | None = None) -> list[object]:
    """Return the cells of one column as JSON has them: numbers without commas, null words as None.

    Cells that do not look like a value of `field` stay as they are; coercion reports them. `formats` has the format of
    each column of numbers in the whole file, if the cells are a part of it.
    """
    if field.kind is Kind.STRING:
        nulls = NULLS.difference(field.categories or (), field.words) if field.nullable else frozenset[str]()
        return column if nulls.isdisjoint(column) else [None if cell in nulls else cell for cell in column]
    if field.kind in (Kind.NUMBER, Kind.INTEGER):
        written = field.format if formats is None else formats[field.name]
        if written is None and field.unit is None and are_plain(column):
            return column
        written = number_format(column, separator, field) if formats is None else written
        return plain_numbers(column, written, field.unit)
    return column


def number_format(cells: Iterable[object], separator: str, field: Field = _NUMBER) -> Format | None:
    """Return the format of the numbers in `cells`. That of `field`, from the training file, decides ambiguous ones."""
    detected = NumberFormat(separator, field)
    detected.add(cells)
    return detected.format


class NumberFormat:
    """The format of the numbers in one column of a CSV, of which cells are added piece by piece.

    If commas separate the columns, commas in numbers without a unit can only separate thousands: "1,2" is more likely a
    list, and must not be read as 12. Otherwise 1,212 is a little more than one.
    """

    def __init__(self, separator: str, field: Field) -> None:
        known, self._unit = field.format, field.unit
        self.needed = known in _WITH_COMMAS
        """Whether cells may have to be read in a format: one has a comma, or the training file had."""
        self._possible = list(_WITH_COMMAS)
        if separator == ",":
            self._possible.reverse()
            if field.unit is None:
                self._possible = [Format.THOUSANDS_COMMA] if known is not Format.DECIMAL_COMMA else []
        if known in self._possible:
            self._possible.sort(key=lambda candidate: candidate is not known)

    def add(self, cells: Iterable[object]) -> None:
        texts = without_unit([*{cell for cell in cells if isinstance(cell, str)}], self._unit)
        numbers = {text.strip() for text in texts if is_number(text)}
        self.needed = self.needed or "," in "".join(numbers)
        self._possible = [known for known in self._possible if all(map(_WITH_COMMAS[known].fullmatch, numbers))]

    @property
    def format(self) -> Format | None:
        """The format of the cells so far; None if they are numbers as in JSON."""
        return self._possible[0] if self.needed and self._possible else None


def plain_numbers(column: list[T], written: Format | None, unit: str | None) -> list[T | str]:
    """Return the column with the numbers of this format, alone or in this unit, as JSON has them."""
    return without_commas(without_unit(column, unit), written)


def without_commas(column: list[T], written: Format | None) -> list[T | str]:
    """Return the column with the numbers of this format as JSON has them."""
    if written not in _WITH_COMMAS:
        return cast("list[T | str]", column)
    pattern, change = _WITH_COMMAS[written], _WITHOUT_COMMAS[written]
    return [
        cell.translate(change) if isinstance(cell, str) and pattern.fullmatch(cell.strip()) else cell for cell in column
    ]


def _date(text: str) -> tuple[re.Match[str] | None, bool]:
    """Return the parts of a date, and whether its month has a name: the month then follows the day."""
    text = text.strip().upper()
    named = _NAMED_MONTH.match(text)
    for month, names in enumerate(_MONTHS if named else (), 1):
        if named and f" {named[2] or named[3]}" in f" {names}":
            text = f"{named[1] or named[4]}.{month}.{named[5]}{text[named.end() :]}"
            return _DATE.fullmatch(text), True
    return _DATE.fullmatch(text), False


def date_format(texts: Iterable[str]) -> tuple[Format, bool] | None:
    """Return which part of the dates in `texts` comes first, and whether that is a guess; None if no part does in
    all.

    A part over 12 is not a month. If none is over 12, the day comes before dots and dashes, the month before slashes.
    """
    found = [(match, named) for match, named in map(_date, texts) if match and 4 in (len(match[1]), len(match[4]))]
    dates = [match for match, named in found if not named]
    if not dates:
        return (Format.MONTH_NAMED, False) if found else None
    if all(len(match[1]) == 4 for match in dates):
        return Format.YEAR_FIRST, False
    months = {Format.MONTH_FIRST: 1, Format.DAY_FIRST: 3}  # the group of the month
    possible = [order for order, group in months.items() if all(int(match[group]) <= 12 for match in dates)]
    if len(possible) == 2:
        slashes = all(match[2] == "/" for match in dates)
        return (Format.MONTH_FIRST if slashes else Format.DAY_FIRST), any(match[2] != "." for match in dates)
    return (possible[0], False) if possible else None


def why_not_dates(texts: Sequence[str]) -> str | None:
    """Return why texts that all look like dates are not dates; None if they do not look so, or one of them is
    invalid."""
    matches = [_date(text)[0] for text in texts]
    if not all(match and int(match[1]) and int(match[3]) for match in matches):  # 1.0.2 is a version
        return None
    if any(match and max(len(match[1]), len(match[4])) < 4 for match in matches):
        return "its dates have years of two digits; write four"
    if date_format(texts) is None:
        return "some of its dates begin with the day and some with the month; write all alike"
    return None


def date_reader(written: Format) -> Callable[[str], str | None]:
    """Return a function that reads a date of this format, or with the month's name, as ISO 8601 text in UTC; it returns
    None for other text."""

    def read(text: str) -> str | None:
        match, named = _date(text)
        parts = _DATE_PARTS.get(Format.DAY_FIRST if named else written)
        if not match or not parts or len(match[parts[0]]) != 4:
            return None
        year, month, day = parts
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


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet runs as a formula."""


def csv_lines(columns: Sequence[Sequence[Any]], separator: str, *, escape: bool) -> list[str]:
    """Return the rows of columns of values as lines without line ends. `escape`: no cell is a formula."""
    texts = [cells(column) for column in columns]
    return joined([quoted(list(map(escaped, column)) if escape else column, separator) for column in texts], separator)


def joined(columns: Sequence[Sequence[str]], separator: str) -> list[str]:
    """Return the rows of columns of cells that need no more quotation marks."""
    if len(columns) == 1:  # readers skip blank lines
        return [cell or '""' for cell in columns[0]]
    return list(map(separator.join, zip(*columns, strict=True)))


def cells(column: Sequence[Any]) -> list[str]:
    """Return values as the text of cells. Null is blank; booleans, lists and objects are as in JSON."""
    types = set(map(type, column))
    if types == {str}:
        return list(column)
    return list(map(repr, column)) if types in ({float}, {int}) else list(map(_cell, column))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def quoted(column: list[str], separator: str) -> list[str]:
    """Return cells in quotation marks where they need them."""
    marks = ('"', separator, "\n", "\r")

    def quote(cell: str) -> str:
        needed = cell[:1] == " " or any(mark in cell for mark in marks)
        return '"' + cell.replace('"', '""') + '"' if needed else cell

    text = "".join(column)
    return list(map(quote, column)) if any(mark in text for mark in (*marks, " ")) else column


def escaped(cell: str) -> str:
    """Return a cell that no spreadsheet runs: an apostrophe comes before a formula. Numbers stay."""
    return "'" + cell if cell.lstrip(" ").startswith(_FORMULA) and not is_number(cell) else cell
