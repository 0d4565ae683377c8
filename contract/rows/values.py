"""Converts one value, or one column, to the kind of its input, or says why it cannot."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf, isfinite, isinf
from types import NoneType
from typing import Any

from contract.json_objects import is_encodable
from contract.model.signature import Field, Format, Kind
from contract.row import Value
from contract.rows.csv_cells import PLAIN, date_format, date_reader, plain_numbers
from contract.wording import listed


@dataclass(frozen=True, slots=True, eq=False)
class Refusal:
    """Why a value is invalid. It takes the value's place until the error is written.

    `expected` completes "must be …"; `choices` are the allowed values, if there is a list.
    """

    code: str
    expected: str
    choices: Sequence[str] = ()


_Convert = Callable[[Any], Value | Refusal]
_ConvertBulk = Callable[[list[Any], set[type]], Sequence[Value] | None]
"""Converts a column, given the types in it, or returns None: then each value has to be converted by itself."""

_NOT_A_NUMBER = Refusal("not_a_number", "a finite number")
_NOT_AN_INTEGER = Refusal("not_an_integer", "a whole number")
_OUT_OF_RANGE = Refusal("out_of_range", "a whole number from -2**63 to 2**63 - 1")
_NOT_A_STRING = Refusal("not_a_string", "text")
_NOT_A_BOOLEAN = Refusal("not_a_boolean", "true or false")
_NOT_A_DATETIME = Refusal("not_a_datetime", "a date and time in ISO 8601, such as '2024-05-17T10:30:00Z'")
MAX_ID_LENGTH = 256
_NOT_AN_ID = Refusal("not_an_id", f"text of up to {MAX_ID_LENGTH} characters, a number, true, false or null")

_LEAST_INTEGER, _GREATEST_INTEGER = -(2**63), 2**63 - 1
_DATETIME = re.compile(r"[\dW-]{7,10}([T ][\d:.,]+(Z|[+-][\d:]+)?)?", re.ASCII)
TRUE_WORDS = ("true", "wahr", "vrai", "verdadero", "verdadeiro", "vero", "waar", "sant", "prawda")
FALSE_WORDS = ("false", "falsch", "faux", "falso", "onwaar", "falskt", "fałsz")
"""Booleans as spreadsheets write them, in lower case."""
_BOOLEANS = {**dict.fromkeys((*TRUE_WORDS, "1"), True), **dict.fromkeys((*FALSE_WORDS, "0"), False)}
_SPACES = " \t\n\v\f\r"
"""The white space around ASCII text that float() and int() ignore; strip() removes more."""
_MAX_BITS = 1024
"""Most bits of an int that is written as text: Python refuses to write thousands of digits."""


@dataclass(frozen=True, slots=True, eq=False)
class Conversion:
    """Converts the values of one field. `null` is the result for a null."""

    convert: _Convert
    bulk: _ConvertBulk
    null: Refusal | None

    @classmethod
    def for_field(cls, field: Field) -> Conversion:
        if field.kind is Kind.STRING and field.categories is not None:
            convert, bulk, refusal = _category(field.categories)
        elif field.kind is Kind.DATETIME and field.format in DATES:
            convert, bulk, refusal = _dates(field.format)
        elif field.kind is Kind.NUMBER and field.guessed:
            convert, bulk, refusal = _number_or_boolean, _numbers, _NOT_A_NUMBER
        else:
            convert, bulk, refusal = _KINDS[field.kind]
        if field.unit:
            convert, refusal = _in_unit(convert, field.unit, field.format, refusal.code)
        return cls(convert, bulk, None if field.nullable else Refusal("null_not_allowed", refusal.expected))

    @classmethod
    def of_kind(cls, kind: Kind) -> Conversion:
        """Return the conversion of a field of this kind that may not be null."""
        return cls.for_field(Field("", kind))

    def convert_bulk(self, column: list[Any]) -> Sequence[Value] | None:
        """Return all values converted, or None if their types differ or one may be invalid: then try `convert_each`."""
        types = set(map(type, column))
        if NoneType not in types or self.null is not None:
            return self.bulk(column, types)
        if len(types) == 1:
            return column
        present = [value for value in column if value is not None]
        converted = self.bulk(present, types - {NoneType})
        if converted is None or converted is present:
            return converted and column
        rest = iter(converted)
        return [None if value is None else next(rest) for value in column]

    def convert_each(self, column: list[Any]) -> list[Value | Refusal]:
        """Return each value converted, or why it is invalid."""
        null, convert = self.null, self.convert
        return [null if value is None else convert(value) for value in column]


def _number(value: object) -> float | Refusal:
    if type(value) is float:
        return value if isfinite(value) else _NOT_A_NUMBER
    if isinstance(value, bool) or not isinstance(value, (float, int, str)):
        return _NOT_A_NUMBER
    if isinstance(value, str) and not _decimal(value):
        return _NOT_A_NUMBER
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return _NOT_A_NUMBER
    return number if isfinite(number) else _NOT_A_NUMBER


def _number_or_boolean(value: object) -> float | Refusal:
    """True and false as 1 and 0: a column that is guessed to hold numbers may have held booleans."""
    if isinstance(value, str):
        value = _BOOLEANS.get(value.strip().lower(), value)
    return float(value) if isinstance(value, bool) else _number(value)


def _decimal(text: str) -> bool:
    """Whether `text` is a number in plain digits: not 1_000, nan, inf or ٣. Faster than an exception."""
    return text.isascii() and PLAIN.fullmatch(text.strip(_SPACES)) is not None


def _only_decimals(column: list[str]) -> bool:
    """Return whether all texts that float() and int() can read are numbers in plain digits."""
    text = "".join(column)
    return text.isascii() and not ("_" in text or "n" in text or "N" in text)


def _integer(value: object) -> int | Refusal:
    if type(value) is int:
        return value if _LEAST_INTEGER <= value <= _GREATEST_INTEGER else _OUT_OF_RANGE
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, float):
        if isinf(value):
            return _OUT_OF_RANGE
        value = int(value) if value.is_integer() else None
    if isinstance(value, bool) or not isinstance(value, int):
        return _NOT_AN_INTEGER
    return value if _LEAST_INTEGER <= value <= _GREATEST_INTEGER else _OUT_OF_RANGE


def _parsed(text: str) -> int | float | None:
    if not _decimal(text):
        return None
    if "." in text or "e" in text or "E" in text:
        return float(text)
    try:
        return int(text)  # a float holds 53 bits of a whole number
    except ValueError:
        return inf  # it has thousands of digits


def _string(value: object) -> str | Refusal:
    """Whole numbers become text without a point: pandas writes the column 1, 2, null as 1.0, 2.0, null."""
    if isinstance(value, str):
        return value if is_encodable(value) else _NOT_A_STRING
    if isinstance(value, float) and isfinite(value):
        return repr(value).removesuffix(".0")
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _MAX_BITS:
        return str(value)
    return _NOT_A_STRING


def _text(value: object) -> str | Refusal:
    """Text as it is. A number in place of a text is a mistake; in a column it may be how pandas wrote the text."""
    return value if isinstance(value, str) and is_encodable(value) else _NOT_A_STRING


def _boolean(value: object) -> bool | Refusal:
    if isinstance(value, str):
        return _BOOLEANS.get(value.strip().lower(), _NOT_A_BOOLEAN)
    return value == 1 if isinstance(value, (bool, int, float)) and value in (0, 1) else _NOT_A_BOOLEAN


def _datetime(value: object) -> str | Refusal:
    """Return ISO 8601 text in UTC. Without the pattern, fromisoformat() would read 2024-05-17+02:00 as two o'clock."""
    text = value.strip().upper() if isinstance(value, str) else ""
    if not _DATETIME.fullmatch(text):
        return _NOT_A_DATETIME
    try:
        time = datetime.fromisoformat(text)
        return (time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)).isoformat()
    except (ValueError, OverflowError):
        return _NOT_A_DATETIME


def _identity(value: object) -> Value | Refusal:
    """An id as it is: text, a finite number or a boolean."""
    if isinstance(value, str):
        return value if len(value) <= MAX_ID_LENGTH and is_encodable(value) else _NOT_AN_ID
    if isinstance(value, float):
        return value if isfinite(value) else _NOT_AN_ID
    return value if isinstance(value, int) and value.bit_length() <= _MAX_BITS else _NOT_AN_ID


def _numbers(column: list[Any], types: set[type]) -> Sequence[Value] | None:
    if types == {str}:
        if not _only_decimals(column):
            return None
    elif not types <= {float, int}:
        return None
    try:
        numbers = column if types == {float} else list(map(float, column))
    except (ValueError, OverflowError):
        return None
    return numbers if isfinite(sum(numbers)) else None  # a sum with an inf or nan in it is not finite


def _integers(column: list[Any], types: set[type]) -> Sequence[Value] | None:
    if types == {str} and _only_decimals(column):
        try:
            column, types = list(map(int, column)), {int}
        except ValueError:
            return None
    return column if types == {int} and min(column) >= _LEAST_INTEGER and max(column) <= _GREATEST_INTEGER else None


def _strings(column: list[Any], types: set[type]) -> Sequence[Value] | None:
    return column if types == {str} and is_encodable("".join(column)) else None


def _ids(column: list[Any], types: set[type]) -> Sequence[Value] | None:
    return _strings(column, types) if types == {str} and max(map(len, column)) <= MAX_ID_LENGTH else None


def _booleans(column: list[Any], types: set[type]) -> Sequence[Value] | None:
    return column if types == {bool} else None


def _datetimes(_column: list[Any], _types: set[type]) -> Sequence[Value] | None:
    return None  # each text has to be parsed


_KINDS: dict[Kind, tuple[_Convert, _ConvertBulk, Refusal]] = {
    Kind.NUMBER: (_number, _numbers, _NOT_A_NUMBER),
    Kind.INTEGER: (_integer, _integers, _NOT_AN_INTEGER),
    Kind.STRING: (_string, _strings, _NOT_A_STRING),
    Kind.BOOLEAN: (_boolean, _booleans, _NOT_A_BOOLEAN),
    Kind.DATETIME: (_datetime, _datetimes, _NOT_A_DATETIME),
}

DATES = {
    Format.DAY_FIRST: "a date as '17.5.2024', the day first,",
    Format.MONTH_FIRST: "a date as '5/17/2024', the month first,",
    Format.YEAR_FIRST: "a date as '2024/5/17'",
    Format.MONTH_NAMED: "a date as '17-May-2024'",
}
"""What completes "must be … or in ISO 8601"."""


def _dates(written: Format) -> tuple[_Convert, _ConvertBulk, Refusal]:
    """Read dates as the training file has them, or in ISO 8601: the two cannot be confused."""
    read, none = date_reader(written), Refusal("not_a_datetime", f"{DATES[written]} or in ISO 8601")

    def convert(value: object) -> str | Refusal:
        moment = _datetime(value)
        if isinstance(moment, str) or not isinstance(value, str):
            return moment if isinstance(moment, str) else none
        return read(value) or none

    return convert, _datetimes, none


def format_of_dates(cells: Iterable[object]) -> tuple[Format | None, bool]:
    """Return the format of the dates that are not in ISO 8601, if they have one, and whether it is a guess."""
    texts = [cell for cell in cells if isinstance(cell, str) and isinstance(_datetime(cell), Refusal)]
    return date_format(texts) or (None, False)


def _in_unit(convert: _Convert, unit: str, written: Format | None, code: str) -> tuple[_Convert, Refusal]:
    """Read text with the unit, too, with commas as in the training file."""
    none = Refusal(code, f"a finite number, alone or with {unit!r}")

    def convert_text(value: object) -> Value | Refusal:
        result = convert(value)
        if isinstance(result, Refusal) and isinstance(value, str):
            result = convert(plain_numbers([value], written, unit)[0])
        return none if isinstance(result, Refusal) else result

    return convert_text, none


ID = Conversion(_identity, _ids, None)
"""The conversion of the id field."""
TEXT = Conversion(_text, _strings, Refusal("null_not_allowed", _NOT_A_STRING.expected))
"""The conversion of rows that are texts."""


def _category(categories: Sequence[str]) -> tuple[_Convert, _ConvertBulk, Refusal]:
    allowed = frozenset(filter(is_encodable, categories))
    unknown = Refusal("unknown_category", f"one of {listed(categories)}", categories)

    def convert(value: object) -> str | Refusal:
        if type(value) is str and value in allowed:
            return value
        text = _string(value)
        return unknown if isinstance(text, str) and text not in allowed else text

    def bulk(column: list[Any], types: set[type]) -> Sequence[Value] | None:
        return column if types == {str} and allowed.issuperset(column) else None

    return convert, bulk, unknown
