"""FlatBuffers, as far as Arrow's messages need them: tables of numbers, text, tables, and vectors of tables or structs.

https://flatbuffers.dev/internals/. The library of that name imports NumPy where it is installed; a gateway does not.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SLOT = 8
"""Bytes of each field that is written: every number is aligned so."""


@dataclass(frozen=True)
class Table:
    """A table at a position of a buffer. Its fields are numbered as in their schema; one that is missing has a default.

    All methods raise `struct.error`, `ValueError` or `UnicodeDecodeError` for what leads out of the buffer.
    """

    data: bytes
    position: int

    @classmethod
    def root(cls, data: bytes) -> Table:
        return cls(data, struct.unpack_from("<I", data)[0])

    def number(self, field: int, letter: str, default: int = 0) -> int:
        """Return a number; `letter` is its type for `struct`."""
        at = self._field(field)
        value: int = struct.unpack_from("<" + letter, self.data, at)[0] if at else default
        return value

    def text(self, field: int) -> str:
        start, length = self.vector(field)
        return self.data[start : start + length].decode()

    def table(self, field: int) -> Table:
        if not (at := self._field(field)):
            raise ValueError("a part of a message is missing")
        return Table(self.data, self._target(at))

    def tables(self, field: int) -> list[Table]:
        start, length = self.vector(field)
        if start + length * 4 > len(self.data):
            raise ValueError("a vector leads out of its message")
        return [Table(self.data, self._target(at)) for at in range(start, start + length * 4, 4)]

    def vector(self, field: int) -> tuple[int, int]:
        """Return the position of the first element of a vector, and how many there are; 0 of one that is missing."""
        if not (at := self._field(field)):
            return 0, 0
        start = self._target(at)
        return start + 4, struct.unpack_from("<I", self.data, start)[0]

    def has(self, field: int) -> bool:
        return self._field(field) > 0

    def _field(self, field: int) -> int:
        """Return the position of a field; 0 if it is missing."""
        vtable = self.position - struct.unpack_from("<i", self.data, self.position)[0]
        if vtable < 0:
            raise ValueError("a table leads out of its message")
        size = struct.unpack_from("<H", self.data, vtable)[0]
        entry = 4 + 2 * field
        offset: int = struct.unpack_from("<H", self.data, vtable + entry)[0] if entry < size else 0
        return self.position + offset if offset else 0

    def _target(self, at: int) -> int:
        target: int = at + struct.unpack_from("<I", self.data, at)[0]
        return target


@dataclass(frozen=True)
class Number:
    """A number to write; `letter` is its type for `struct`."""

    letter: str
    value: int


@dataclass(frozen=True)
class Structs:
    """A vector of structs to write, each of so many whole numbers of 64 bits."""

    values: Sequence[tuple[int, ...]]


Fields = Mapping[int, "Number | Structs | str | Fields | Sequence[Fields]"]
"""The fields of a table to write, by number."""


def written(root: Fields) -> bytes:
    """Return a buffer with this table."""
    buffer = bytearray(4)
    struct.pack_into("<I", buffer, 0, _write_table(buffer, root))
    return bytes(buffer)


def _write_table(buffer: bytearray, fields: Fields) -> int:
    """Append a table and all that it refers to, and return its position."""
    _align(buffer)
    vtable, count = len(buffer), max(fields, default=-1) + 1
    offsets = {field: _SLOT * (place + 1) for place, field in enumerate(fields)}
    size = _SLOT * (len(fields) + 1)
    buffer += struct.pack(f"<2H{count}H", 4 + 2 * count, size, *(offsets.get(field, 0) for field in range(count)))
    _align(buffer)
    position = len(buffer)
    buffer += struct.pack("<i", position - vtable).ljust(size, b"\0")
    for field, value in fields.items():
        at = position + offsets[field]
        if isinstance(value, Number):
            struct.pack_into("<" + value.letter, buffer, at, value.value)
        else:
            struct.pack_into("<I", buffer, at, _write(buffer, value) - at)
    return position


def _write(buffer: bytearray, value: Structs | str | Fields | Sequence[Fields]) -> int:
    """Append what a field refers to, and return its position."""
    if isinstance(value, Mapping):
        return _write_table(buffer, value)
    _align(buffer)
    if isinstance(value, Structs):
        buffer += bytes(_SLOT - 4)
        position = len(buffer)
        buffer += struct.pack("<I", len(value.values))
        buffer += b"".join(struct.pack(f"<{len(numbers)}q", *numbers) for numbers in value.values)
        return position
    position = len(buffer)
    if isinstance(value, str):
        text = value.encode(errors="replace")
        buffer += struct.pack("<I", len(text)) + text + b"\0"
        return position
    buffer += struct.pack("<I", len(value)) + bytes(4 * len(value))
    for at, table in zip(range(position + 4, position + 4 + 4 * len(value), 4), value, strict=True):
        struct.pack_into("<I", buffer, at, _write_table(buffer, table) - at)
    return position


def _align(buffer: bytearray) -> None:
    buffer += bytes(-len(buffer) % _SLOT)
