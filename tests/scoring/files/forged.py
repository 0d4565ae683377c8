"""Parquet files whose footer says what is not so: the footer is a structure in Thrift's compact protocol."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

I64, BINARY, LIST, STRUCT = 6, 8, 9, 12
_BOOLEANS, _NUMBERS = (1, 2), (4, 5, I64)

Struct = dict[int, tuple[int, Any]]
"""The type and the value of each field, by its number: a list has the type of its items and these."""


def forge(data: bytes, change: Callable[[Struct, list[Struct]], object]) -> bytes:
    """Return a file with a changed footer; `change` gets the footer and its row groups."""
    size = struct.unpack("<I", data[-8:-4])[0]
    footer, _ = _read_struct(data[-8 - size : -8], 0)
    change(footer, footer[4][1][1])
    text = _written(STRUCT, footer)
    return data[: -8 - size] + text + struct.pack("<I", len(text)) + b"PAR1"


def columns_of(group: Struct) -> list[Struct]:
    """Return the metadata of the columns of a row group."""
    return [column[3][1] for column in group[1][1][1]]


def _read_number(data: bytes, offset: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (data[offset] & 127) << shift
        shift, offset = shift + 7, offset + 1
        if data[offset - 1] < 128:
            return number, offset


def _read_signed(data: bytes, offset: int) -> tuple[int, int]:
    number, offset = _read_number(data, offset)
    return (number >> 1) ^ -(number & 1), offset


def _read(data: bytes, offset: int, kind: int) -> tuple[Any, int]:
    if kind in _NUMBERS:
        return _read_signed(data, offset)
    if kind == BINARY:
        size, offset = _read_number(data, offset)
        return data[offset : offset + size], offset + size
    if kind == LIST:
        count, item, offset = data[offset] >> 4, data[offset] & 15, offset + 1
        if count == 15:
            count, offset = _read_number(data, offset)
        items = []
        for _ in range(count):
            entry, offset = _read(data, offset, item)
            items.append(entry)
        return (item, items), offset
    assert kind == STRUCT
    return _read_struct(data, offset)


def _read_struct(data: bytes, offset: int) -> tuple[Struct, int]:
    fields: Struct = {}
    number = 0
    while head := data[offset]:
        kind, offset = head & 15, offset + 1
        number += head >> 4
        assert head >> 4, "no footer of DuckDB skips 15 numbers"
        fields[number] = kind, None
        if kind not in _BOOLEANS:
            value, offset = _read(data, offset, kind)
            fields[number] = kind, value
    return fields, offset + 1


def _written_number(number: int) -> bytes:
    text = b""
    while number > 127:
        text, number = text + bytes([number & 127 | 128]), number >> 7
    return text + bytes([number])


def _written(kind: int, value: Any) -> bytes:
    if kind in _BOOLEANS:
        return b""
    if kind in _NUMBERS:
        return _written_number(value << 1 if value >= 0 else (-value << 1) - 1)
    if kind == BINARY:
        return _written_number(len(value)) + value
    if kind == LIST:
        item, items = value
        head = (
            bytes([len(items) << 4 | item])
            if len(items) < 15
            else bytes([15 << 4 | item]) + _written_number(len(items))
        )
        return head + b"".join(_written(item, entry) for entry in items)
    text, last = b"", 0
    for number, (field, inner) in sorted(value.items()):
        text, last = text + bytes([(number - last) << 4 | field]) + _written(field, inner), number
    return text + b"\0"
