"""Finds the chunks of a CSV file: rows end where `contract.rows.csv_table` ends them, quoted line ends included."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from contract.model.signature import Kind, Signature
from contract.rows import csv_table
from contract.rows.coercion import check_columns
from contract.rows.csv_cells import NumberFormat
from contract.rows.csv_table import NotCsv
from contract.rows.instances import Grid
from contract.rows.row_plan import plan_of
from scoring.files.plan import (
    BLOCK_BYTES,
    MAX_ROW_BYTES,
    Chunk,
    ChunkBuilder,
    Contents,
    CsvLayout,
    NotReadable,
    RowBounds,
    Steps,
)

_PIECE_BYTES = 2**18
"""A chunk may end after so many bytes."""
_STARTS = {"utf-8-sig": ("utf-8", 3), "utf-16": ("utf-16-le", 2)}
"""The encoding behind a byte order mark, and the mark's bytes."""


def plan_csv(path: Path, signature: Signature, target: str | None, bounds: RowBounds) -> Steps[Contents]:
    """Plan a CSV file. Raises `InvalidInstances` and `NotReadable`, as `scoring.files.stages.plan`."""
    with path.open("rb") as file:
        try:
            for encoding in csv_table.encodings_of(file):
                try:
                    return (yield from _Planner(file, encoding, signature, target, bounds).plan())
                except UnicodeDecodeError:
                    continue
            raise NotCsv("its encoding is unknown; save it in UTF-8")
        except (NotCsv, csv.Error) as error:
            raise NotReadable(f"it is not CSV: {error}") from None


class _Planner:
    """Plans one file, read in one encoding."""

    def __init__(
        self, file: IO[bytes], encoding: str, signature: Signature, target: str | None, bounds: RowBounds
    ) -> None:
        file.seek(0)
        self._file = file
        self._big_endian = file.read(2) == b"\xfe\xff"
        self._encoding, self._offset = _STARTS.get(encoding, (encoding, 0))
        if self._encoding == "utf-16-le" and self._big_endian:
            self._encoding = "utf-16-be"
        self._guessed = csv_table.GUESSES.get(encoding)
        self._signature = signature
        self._target = target
        self._bounds = bounds
        self._header: list[str] = []
        self._separator = ","
        self._body = 0
        self._formats: dict[str, tuple[int, NumberFormat]] = {}

    def plan(self) -> Steps[Contents]:
        csv.field_size_limit(csv_table.LONGEST_CELL)
        self._read_header()
        warnings = check_columns(Grid(self._header, [], self._separator), self._signature, self._target)
        chunks = yield from self._chunks()
        if chunks is None:
            chunks = yield from self._chunks(every_cell=True)
        chunks, blank = yield from self._without_blank_rows(chunks or ())
        warnings = [*csv_table.remarks(self._guessed, blank), *warnings]
        formats = {name: numbers.format for name, (_, numbers) in self._formats.items()}
        return Contents(chunks, self._header, warnings, CsvLayout(self._encoding, self._separator, formats))

    def _without_blank_rows(self, chunks: Sequence[Chunk]) -> Steps[tuple[Sequence[Chunk], int]]:
        """Leave out the rows of blank cells at the end of the file. Return the number of these, too."""
        found, others = 0, [*chunks]
        while others:
            last = others.pop()
            self._file.seek(last.start)
            text = self._file.read(last.end - last.start).decode(self._encoding)
            yield 0
            records = csv_table.records(io.StringIO(text, newline=""), self._separator)
            # Most files end in a word or a number.
            blank = 0 if text.rstrip("\r\n")[-1:].isalnum() else csv_table.blank_rows([*records], self._header)
            found += blank
            if blank < last.rows:
                return [*others, last._replace(rows=last.rows - blank)], found
        return (), found

    def _chunks(self, every_cell: bool = False) -> Steps[Sequence[Chunk] | None]:
        """Find the chunks, and the formats of numbers. Return None if these need `every_cell`."""
        self._offset = self._body
        self._formats = self._number_formats()
        every_cell = every_cell or self._formats_needed()
        chunks = ChunkBuilder(self._offset, self._bounds.chunk_rows(self._header))
        while block := self._block():
            before = self._offset
            if not every_cell and self._is_plain(block):
                chunks.add_lines(block, self._offset)
                self._offset += len(block)
            else:
                self._add_records(chunks)
                if self._formats_needed() and not every_cell:
                    return None
            yield self._offset - before
        chunks.close()
        self._bounds.check(chunks.rows, self._header)
        return chunks.chunks

    def _formats_needed(self) -> bool:
        return any(numbers.needed for _, numbers in self._formats.values())

    def _read_header(self) -> None:
        self._file.seek(self._offset)
        head = self._file.read(MAX_ROW_BYTES)
        text = io.TextIOWrapper(io.BytesIO(head), self._encoding, newline="")
        skipped, self._separator = csv_table.find_separator(text)
        text.seek(0)
        lines = _Lines(text, self._encoding)
        for _ in range(skipped):
            next(lines)
        records = csv_table.records(lines, self._separator)
        self._header = [name.strip() for name in next(records, [])]
        self._body = self._offset + lines.end

    def _number_formats(self) -> dict[str, tuple[int, NumberFormat]]:
        """Return for each input of numbers its place in a row, and the format of those seen so far: none."""
        plan = plan_of(self._signature)
        places = plan.lay_out_csv(self._header).places if plan.is_table else {}
        inputs = ((column, self._signature.inputs[at]) for at, column in places.items() if at < plan.width)
        return {
            field.name: (column, NumberFormat(self._separator, field))
            for column, field in inputs
            if field.kind in (Kind.NUMBER, Kind.INTEGER)
        }

    def _block(self) -> bytes:
        """Return the next bytes, up to the last line end among them."""
        self._file.seek(self._offset)
        block = self._file.read(BLOCK_BYTES)
        return block if len(block) < BLOCK_BYTES else block[: block.rfind(b"\n") + 1] or block

    def _is_plain(self, block: bytes) -> bool:
        """Return whether each row is one line, and no number has a comma: there are no quotation marks, and no commas
        in cells. Raises `NotCsv` and `UnicodeDecodeError`."""
        if self._encoding.startswith("utf-16") or (len(block) == BLOCK_BYTES and not block.endswith(b"\n")):
            return False
        if b"\0" in block:
            raise NotCsv("it is binary")
        block.decode(self._encoding)
        commas = self._separator != "," and bool(self._formats) and b"," in block
        return not (commas or b'"' in block or block.count(b"\r") != block.count(b"\r\n"))

    def _add_records(self, chunks: ChunkBuilder) -> None:
        """Add the rows of about one block, as `csv.reader` finds them. Raises `csv.Error`."""
        self._file.seek(self._offset)
        text = io.TextIOWrapper(self._file, self._encoding, newline="")
        lines = _Lines(text, self._encoding)
        try:
            records = csv_table.records(lines, self._separator)
            while lines.end < BLOCK_BYTES and (piece := _piece(records, lines, chunks.piece_rows)):
                chunks.add(len(piece), self._offset + lines.end)
                fitting = [record for record in piece if len(record) == len(self._header)]
                for column, numbers in self._formats.values():
                    numbers.add(record[column] for record in fitting)
        finally:
            text.detach()  # which leaves the file open
        self._offset += lines.end


def _piece(records: Iterator[list[str]], lines: _Lines, most_rows: int) -> list[list[str]]:
    """Return the next rows, few enough for any chunk."""
    piece: list[list[str]] = []
    begin = lines.end
    for record in records:
        piece.append(record)
        lines.row = lines.end
        if len(piece) == most_rows or lines.end - begin > _PIECE_BYTES:
            break
    return piece


class _Lines:
    """The lines of a text; `end` counts the bytes of those that were taken."""

    def __init__(self, text: IO[str], encoding: str) -> None:
        self._text = text
        self._encoding = encoding
        self.end = 0
        self.row = 0
        """Where the row began."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(MAX_ROW_BYTES)
        if not line:
            raise StopIteration
        self.end += len(line) if line.isascii() and self._encoding[:6] != "utf-16" else len(line.encode(self._encoding))
        if "\0" in line:
            raise csv.Error("it is binary")
        if self.end - self.row >= MAX_ROW_BYTES:
            raise csv.Error(f"a row is longer than {MAX_ROW_BYTES >> 20} MB; is a quotation mark not closed?")
        return line
