"""Rows as an Arrow stream, read without Arrow's libraries: the small ones end the process on a damaged stream.

https://arrow.apache.org/docs/format/Columnar.html, and format/Message.fbs and format/Schema.fbs in
https://github.com/apache/arrow for the numbers of fields and types.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from contract.model.signature import Signature
from contract.rows.instances import Grid, Instances, check_width
from contract.wording import shown
from gateway.problems import MalformedBody
from gateway.protocols.arrow_columns import Column, Values, column_of
from gateway.protocols.flatbuffers import Table

CONTENT_TYPE = "application/vnd.apache.arrow.stream"
CONTINUES = b"\xff\xff\xff\xff"
SCHEMA, DICTIONARY, BATCH = 1, 2, 3

_MOST_BLANKS = 1_000_000
"""Cells that may take less than a byte of the body each."""
_PER_COLUMN = 32
"""Cells as which a column counts in each batch, however few rows that has: it takes about as long, and more bytes."""


def read(body: bytes, signature: Signature, most_rows: int, most_bytes: int) -> Instances:
    """Return the rows of a stream, at most the first `most_rows`; NaN is null.

    Raises `InvalidInstances` for too many columns, and `MalformedBody` for a damaged stream, columns that are neither
    numbers, booleans, text, dates nor timestamps, compressed buffers, or text that takes more than `most_bytes` once
    dictionaries are resolved.
    """
    try:
        return _Stream(memoryview(body), most_rows, most_bytes).read(signature)
    except (struct.error, ValueError, IndexError, KeyError, OverflowError, StopIteration) as error:
        why = str(error) if type(error) is ValueError else "it is damaged"
        raise MalformedBody(f"the body is no Arrow stream that can be read: {why}") from None


@dataclass
class _Stream:
    body: memoryview
    rows_left: int
    bytes_left: int
    dictionaries: dict[int, Values] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cells_left = len(self.body) + _MOST_BLANKS

    def read(self, signature: Signature) -> Grid:
        messages = self._messages()
        kind, header, _ = next(messages, (0, None, None))
        if kind != SCHEMA or header is None:
            raise ValueError("it does not begin with a schema; write it as pyarrow.ipc.new_stream does, not as a file")
        if header.number(0, "h"):
            raise ValueError("its numbers begin with their highest byte")
        check_width(header.vector(1)[1], signature)
        columns = [column_of(described) for described in header.tables(1)]
        by_dictionary = {column.dictionary: column for column in columns if column.dictionary is not None}
        values: list[Values] = [[] for _ in columns]
        for kind, header, data in messages:
            if kind == DICTIONARY:
                self._note_dictionary(header, data, by_dictionary)
            elif kind == BATCH and self.rows_left > 0:
                for column, more in zip(values, self._batch(header, data, columns, self.rows_left), strict=True):
                    column += more
                self.rows_left -= header.number(0, "q")
        return Grid([column.name for column in columns], list(zip(*values, strict=True)))

    def _messages(self) -> Iterator[tuple[int, Table, memoryview]]:
        """Yield kind, header and data of each message."""
        at = 0
        while self.body[at : at + 4] == CONTINUES:
            (size,) = struct.unpack_from("<i", self.body, at + 4)
            if size <= 0:
                return
            at += 8
            message = Table.root(bytes(self.body[at : at + size]))
            at += size
            length = message.number(3, "q")
            if length < 0 or at + length > len(self.body):
                raise ValueError("it ends within a message")
            yield message.number(1, "B"), message.table(2), self.body[at : at + length]
            at += length

    def _note_dictionary(self, header: Table, data: memoryview, columns: Mapping[int, Column]) -> None:
        number, is_delta = header.number(0, "q"), header.number(2, "?")
        (values,) = self._batch(header.table(1), data, [columns[number].plain], len(self.body))
        if is_delta:
            self.dictionaries.setdefault(number, []).extend(values)
        else:
            self.dictionaries[number] = values

    def _batch(self, header: Table, data: memoryview, columns: Sequence[Column], most_rows: int) -> list[Values]:
        """Return the values of each column, of at most the first `most_rows`."""
        if header.has(3):
            raise ValueError("its buffers are compressed; write it without compression")
        rows = min(header.number(0, "q"), most_rows)
        self.cells_left -= (rows + _PER_COLUMN) * len(columns)
        if rows < 0 or self.cells_left < 0:
            raise ValueError("it has far more cells than bytes; send fewer rows or columns")
        buffers, views = _buffers(header, data), _longs(header, 4, 1)
        return [self._values(column, rows, buffers, views) for column in columns]

    def _values(
        self, column: Column, rows: int, buffers: Iterator[memoryview], views: Iterator[tuple[int, ...]]
    ) -> Values:
        values = column.read(rows, buffers, views, self.bytes_left)
        if column.dictionary is not None:
            dictionary = self.dictionaries.get(column.dictionary, [])
            if any(index is not None and not 0 <= index < len(dictionary) for index in values):
                raise ValueError(f"the column {shown(column.name)} has an index that its dictionary lacks")
            values = [None if index is None else dictionary[index] for index in values]
        if column.shares_text:  # which stands in the body once, and in many rows
            self.bytes_left -= sum(len(value) for value in values if isinstance(value, str))
            if self.bytes_left < 0:
                raise ValueError("its text takes more than MAX_BODY_MB; send fewer rows")
        return values


def _buffers(header: Table, data: memoryview) -> Iterator[memoryview]:
    for offset, length in _longs(header, 2, 2):
        if offset < 0 or length < 0 or offset + length > len(data):
            raise ValueError("a buffer leads out of its message")
        yield data[offset : offset + length]


def _longs(header: Table, number: int, width: int) -> Iterator[tuple[int, ...]]:
    """Return the structs of a vector, each of so many whole numbers."""
    start, count = header.vector(number)
    return struct.iter_unpack(f"<{width}q", header.data[start : start + count * width * 8])
