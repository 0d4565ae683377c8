"""The columns of an Arrow stream: the values in their buffers.

https://arrow.apache.org/docs/format/Columnar.html, and format/Schema.fbs in https://github.com/apache/arrow.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import chain, pairwise
from typing import Any

from contract.wording import shown
from gateway.protocols.flatbuffers import Table

Values = list[Any]
Views = Iterator[tuple[int, ...]]
"""How many buffers of text each column of views has."""

NULL, INT, FLOAT, TEXT, BOOL, DATE, TIMESTAMP, LARGE_TEXT, TEXT_VIEW = 1, 2, 3, 5, 6, 8, 10, 20, 24
_NAMES = {
    4: "binary",
    7: "decimal",
    9: "time",
    11: "interval",
    12: "list",
    13: "struct",
    14: "union",
    17: "map",
    15: "fixed-size binary",
    16: "fixed-size list",
    18: "duration",
    19: "large binary",
    21: "large list",
    22: "run-end encoded",
    23: "binary view",
    25: "list view",
    26: "large list view",
}
"""Types that no input takes."""
_INTS = {(8, True): "b", (16, True): "h", (32, True): "i", (64, True): "q"}
_INTS |= {(bits, False): letter.upper() for (bits, _), letter in list(_INTS.items())}
_FLOATS = "efd"
_UNITS = (1, 10**3, 10**6, 10**9)
"""Of timestamps, in a second."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BITS = [tuple(bool(byte >> bit & 1) for bit in range(8)) for byte in range(256)]
_INLINE = 12
"""Bytes of the longest text that stands in its view."""

_Decode = Callable[[int, Iterator[memoryview]], Values]
"""Returns so many values from the buffers behind the validity. Raises `ValueError` and `struct.error`."""


@dataclass(frozen=True)
class Column:
    """`dictionary`: the id of the one whose values the column has indexes of. `plain`: a column of those values."""

    name: str
    kind: int
    decode: _Decode
    dictionary: int | None = None
    values: _Decode | None = None

    @property
    def plain(self) -> Column:
        return replace(self, decode=self.values or self.decode, dictionary=None)

    @property
    def shares_text(self) -> bool:
        """Whether several values may stand in the body once."""
        return self.dictionary is not None or self.kind == TEXT_VIEW

    def read(self, rows: int, buffers: Iterator[memoryview], views: Views, most_text: int) -> Values:
        """Return the values, or their indexes in the dictionary. Raises `ValueError` also for views of more text than
        `most_text`."""
        if self.kind == NULL and self.dictionary is None:
            return [None] * rows
        validity = next(buffers)
        if self.kind == TEXT_VIEW and self.dictionary is None:
            values = _viewed(rows, buffers, next(views)[0], most_text)
        else:
            values = self.decode(rows, buffers)
        if not validity:
            return values
        return [value if valid else None for value, valid in zip(values, _bits(rows, validity), strict=True)]


def column_of(field: Table) -> Column:
    """Return the column that a field of a schema describes. Raises `ValueError` for a type that no input takes."""
    name, kind = field.text(0), field.number(2, "B")
    described = field.table(3)
    if kind in _NAMES:
        hint = "send numbers, booleans, text, dates or timestamps"
        raise ValueError(f"the column {shown(name)} is of the type {_NAMES[kind]}; {hint}")
    column = Column(name, kind, _decoder(kind, described))
    if not field.has(4):
        return column
    encoding = field.table(4)
    indexes = _numbers(_int(encoding.table(1)) if encoding.has(1) else "i")
    return replace(column, dictionary=encoding.number(0, "q"), decode=indexes, values=column.decode)


def _decoder(kind: int, described: Table) -> _Decode:
    if kind == INT:
        return _numbers(_int(described))
    if kind == FLOAT:
        return _floats(_FLOATS[described.number(0, "h")])
    if kind == BOOL:
        return lambda rows, buffers: _bits(rows, next(buffers))
    if kind in (TEXT, LARGE_TEXT):
        return _texts("i" if kind == TEXT else "q")
    if kind == DATE:
        return _dates(1 if described.number(0, "h", 1) == 0 else 86_400_000)
    if kind == TIMESTAMP:
        return _moments(_UNITS[described.number(0, "h")], "Z" if described.text(1) else "")
    if kind in (NULL, TEXT_VIEW):
        return lambda _rows, _buffers: []  # `Column.read` does it
    raise ValueError(f"a column is of the unknown type {kind}")


def _int(described: Table) -> str:
    return _INTS[described.number(0, "i"), bool(described.number(1, "?"))]


def _numbers(letter: str) -> _Decode:
    size = struct.calcsize("<" + letter)
    return lambda rows, buffers: list(struct.unpack(f"<{rows}{letter}", next(buffers)[: rows * size]))


def _floats(letter: str) -> _Decode:
    def decode(rows: int, buffers: Iterator[memoryview]) -> Values:
        values = numbers(rows, buffers)
        return [None if value != value else value for value in values] if math.isnan(sum(values)) else values

    numbers = _numbers(letter)
    return decode


def _texts(letter: str) -> _Decode:
    def decode(rows: int, buffers: Iterator[memoryview]) -> Values:
        offsets, data = ends(rows + 1 if rows else 0, buffers), next(buffers)
        if not offsets:
            return []
        if offsets[0] < 0 or offsets[-1] > len(data) or any(end < start for start, end in pairwise(offsets)):
            raise ValueError("the offsets of a text lead out of its buffer")
        if (text := bytes(data[: offsets[-1]])).isascii():
            plain = text.decode()
            return [plain[start:end] for start, end in pairwise(offsets)]
        return [text[start:end].decode() for start, end in pairwise(offsets)]

    ends = _numbers(letter)
    return decode


def _dates(in_a_day: int) -> _Decode:
    numbers = _numbers("i" if in_a_day == 1 else "q")
    first = date(1970, 1, 1).toordinal()
    return lambda rows, buffers: [
        date.fromordinal(first + number // in_a_day).isoformat() for number in numbers(rows, buffers)
    ]


def _moments(in_a_second: int, zone: str) -> _Decode:
    numbers = _numbers("q")
    return lambda rows, buffers: [
        (_EPOCH + timedelta(microseconds=number * 1_000_000 // in_a_second)).replace(tzinfo=None).isoformat() + zone
        for number in numbers(rows, buffers)
    ]


def _viewed(rows: int, buffers: Iterator[memoryview], count: int, most_text: int) -> Values:
    views = [view for (view,) in struct.iter_unpack("16s", next(buffers)[: rows * 16])]
    data = [next(buffers) for _ in range(count)]
    if len(views) < rows or sum(int.from_bytes(view[:4], "little") for view in views) > most_text:
        raise ValueError("a column of views has fewer values than rows, or more text than MAX_BODY_MB")
    texts = {view: _text_of(view, data) for view in set(views)}  # the same texts come again and again
    return [texts[view] for view in views]


def _text_of(view: bytes, data: Sequence[memoryview]) -> str:
    length, buffer, offset = struct.unpack("<i4x2i", view)
    part = view[4 : 4 + length] if length <= _INLINE else _part(data[buffer], offset, length)
    return str(part, "utf-8")


def _part(data: memoryview, start: int, length: int) -> memoryview:
    if start < 0 or length < 0 or start + length > len(data):
        raise ValueError("a view leads out of its buffer")
    return data[start : start + length]


def _bits(rows: int, bitmap: memoryview) -> Values:
    values = list(chain.from_iterable(map(_BITS.__getitem__, bitmap[: (rows + 7) // 8])))
    if len(values) < rows:
        raise ValueError("a column has fewer values than rows")
    return values[:rows]
