"""The plan of a file: what its columns are, and the chunks in which it is scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from contract.model.signature import Format
from contract.rows.file_formats import FileFormat

T = TypeVar("T")
Steps = Generator[int, None, T]
"""Work that pauses after each step of about 20 ms at most, and yields how far the step has come. `return` gives the
result."""

MAX_CHUNK_ROWS = 4096
MAX_CHUNK_BYTES = 4 * 2**20
BLOCK_BYTES = 2**20
"""Bytes of one step of planning."""
PIECE_ROWS = 1024
"""A chunk may end after so many rows."""
MOST_CHUNKS = 16_384
"""Chunks of a file; beyond, they grow."""
_CELL_BYTES, _INPUT_BYTES, _NAME_BYTES = 8, 16, 4
"""What a cell takes in memory, besides its text; what an input takes of which most rows may have an error; and what a
name takes in NDJSON, besides its letters."""
_STEP_BYTES = 4 * 2**20
"""Bytes in memory of the rows of a chunk: a step may take a few tenths of a second."""
_GROWTH = 256
"""Bytes that all rows may take in memory for each byte of the file, if these are more than `RowBounds.free`."""
MAX_ROW_BYTES = 8 * 2**20
"""Longest row of a CSV or NDJSON file: a row is held in memory."""


class NotReadable(ValueError):
    """The file is not in its format; the message completes "the file cannot be read: …"."""


class Chunk(NamedTuple):
    """Rows of a file that are scored together: `rows` of them, the first of which has the number `first_row` from 0.

    `start` and `end` are bytes of a CSV or NDJSON file, and rows of a Parquet file.
    """

    number: int
    first_row: int
    rows: int
    start: int
    end: int


@dataclass(frozen=True)
class CsvLayout:
    """How a CSV file is written: `formats` are those of the inputs of numbers, found in all of its rows."""

    encoding: str
    separator: str
    formats: Mapping[str, Format | None]


@dataclass(frozen=True)
class FilePlan:
    """How a file is scored. It is JSON between processes: `to_json`, `from_json`.

    `columns` are the names in the file, in its order; those in the first rows if an NDJSON file becomes one, whose rows
    stay as they are. `answers` are the names of the columns that the output adds. `types` are the types in SQL of all
    these columns in a Parquet file. `call_rows` is how many
    rows each call of the model gets: the last bit of a number may depend on it, and a chunk that is scored again has to
    give the same bytes. `warnings` are sentences for the caller of the job. `escape`: an apostrophe comes before cells
    that a spreadsheet would run as a formula, where the output is CSV.
    """

    input: FileFormat
    output: FileFormat
    rows: int
    chunks: Sequence[Chunk]
    columns: Sequence[str]
    answers: Sequence[str]
    types: Sequence[str]
    call_rows: int
    warnings: Sequence[str]
    csv: CsvLayout | None = None
    escape: bool = False

    def to_json(self) -> dict[str, Any]:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**fields, "csv": self.csv and dataclasses.asdict(self.csv)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FilePlan:
        csv = data["csv"]
        formats = csv and {name: text and Format(text) for name, text in csv["formats"].items()}
        fields = {
            "input": FileFormat(data["input"]),
            "output": FileFormat(data["output"]),
            "chunks": [Chunk(*chunk) for chunk in data["chunks"]],
            "csv": csv and CsvLayout(csv["encoding"], csv["separator"], formats),
        }
        return cls(**{**data, **fields})


class Contents(NamedTuple):
    """What planning finds in a file, apart from the model: see `FilePlan`."""

    chunks: Sequence[Chunk]
    columns: Sequence[str]
    warnings: Sequence[str]
    csv: CsvLayout | None = None


@dataclass(frozen=True)
class RowBounds:
    """How many rows of a file are in memory at once, and how many it may have: few bytes may stand for very wide rows.

    `size`: bytes of the file. `free`: bytes in memory that a file of any size may take. `inputs`: of the model.
    `answers`: names of the columns that the output adds. `converted`: the output is in another format. `named`: each of
    its rows then has the names of all columns. `most_rows`: of a chunk; 0: as many as its
    codec makes.
    """

    size: int
    free: int
    inputs: int
    answers: Sequence[str]
    converted: bool
    named: bool
    most_rows: int = 0

    def row_bytes(self, columns: Sequence[str]) -> int:
        """Return what a row with these columns takes in memory, besides its texts."""
        every = (*columns, *self.answers)
        names = sum(map(len, every)) + _NAME_BYTES * len(every) if self.named else 0
        return _CELL_BYTES * len(every) + _INPUT_BYTES * self.inputs + names

    def chunk_rows(self, columns: Sequence[str]) -> int:
        """Return the most rows of a chunk of text."""
        return max(1, min(self.most_rows or MAX_CHUNK_ROWS, _STEP_BYTES // self.row_bytes(columns)))

    def check(self, rows: int, columns: Sequence[str], texts: int = 0) -> None:
        """Raise `NotReadable` for rows that take far more memory than the file has bytes; `texts`: bytes of their
        texts, if these are known."""
        names = sum(map(len, columns)) if self.named else 0
        needed, most = rows * (_CELL_BYTES * len(columns) + names) + texts, max(self.free, _GROWTH * self.size)
        if needed > most:
            raise NotReadable(
                f"its {rows} rows of {len(columns)} columns take {needed >> 20} MB, and a file of its size may take"
                f" {most >> 20} MB; leave out columns that most rows lack or repeat, or send the rows in several files"
            )


class ChunkBuilder:
    """Joins pieces of a file, each of some rows and bytes, to chunks."""

    def __init__(self, start: int, most_rows: int = MAX_CHUNK_ROWS) -> None:
        """`most_rows`: of a chunk."""
        self.chunks: list[Chunk] = []
        self.rows = 0
        self.most_rows = most_rows
        self._most_bytes = MAX_CHUNK_BYTES
        self.piece_rows = min(PIECE_ROWS, most_rows)
        self._first_row = 0
        self._start = self._end = start

    def add(self, rows: int, end: int) -> None:
        """Add the next `rows`, which end at the byte `end`."""
        if self.rows - self._first_row + rows > self.most_rows or end - self._start > self._most_bytes:
            self.close()
        self.rows += rows
        self._end = end

    def add_lines(self, block: bytes, offset: int) -> None:
        """Add the rows of a block that begins at the byte `offset`: its lines that are not blank."""
        data = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(data == ord("\n")) + 1
        if not len(ends) or ends[-1] < len(block):
            ends = np.append(ends, len(block))
        lengths = np.diff(ends, prepend=0)
        first = data[ends - lengths]
        blank = (first == ord("\n")) | ((lengths == 2) & (first == ord("\r")) & (data[ends - 1] == ord("\n")))
        ends = ends[~blank]
        for start in range(0, len(ends), self.piece_rows):
            some = ends[start : start + self.piece_rows]
            self.add(len(some), offset + int(some[-1]))

    def close(self) -> None:
        """Make a chunk of the rows that are in none yet."""
        rows = self.rows - self._first_row
        if rows:
            self.chunks.append(Chunk(len(self.chunks), self._first_row, rows, self._start, self._end))
        self._first_row, self._start = self.rows, self._end
        if len(self.chunks) == MOST_CHUNKS:
            pairs = zip(self.chunks[::2], self.chunks[1::2], strict=True)
            self.chunks = [
                Chunk(number, first.first_row, first.rows + second.rows, first.start, second.end)
                for number, (first, second) in enumerate(pairs)
            ]
            self.most_rows, self._most_bytes = 2 * self.most_rows, 2 * self._most_bytes
