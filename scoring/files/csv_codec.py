"""CSV files. The rows of one keep their cells as they are."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from contract.model.signature import Kind
from contract.rows import csv_table
from contract.rows.coercion import convert_column
from contract.rows.csv_cells import csv_lines
from contract.rows.instances import Grid
from contract.rows.row_plan import plan_of
from contract.rows.values import Refusal
from scoring.files.answers import Column, joined, listed
from scoring.files.codec import FREE_BYTES, ChunkReader, join_lines, write_lines
from scoring.files.csv_plan import plan_csv
from scoring.files.plan import FilePlan, Steps
from scoring.files.rows import ChunkRows, are_valid, coerce_chunk

_BOOLEANS = ("true", "True", "TRUE", "false", "False", "FALSE")
_BOM = "\ufeff"
_READS_EXACTLY = tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1)
_EXACT: dict[str, Any] = {} if _READS_EXACTLY else {"float_precision": "round_trip"}
"""pandas before 3.1 rounds about a third of all numbers differently in the last bit without this option."""
_LINES_AT_ONCE = 4096
_RECORDS_AT_ONCE = 2048


@dataclass
class CsvChunk(ChunkReader):
    """The rows of one chunk of a CSV file."""

    def __post_init__(self) -> None:
        if self.plan.csv is None:
            raise ValueError("the plan is not of a CSV file")
        self._layout = self.plan.csv
        self._lines: list[str] | None = None
        """The rows if each is one line that has a cell for each column."""
        self._grid = Grid(self.plan.columns, [], self._layout.separator, formats=self._layout.formats)

    def read(self, *, lenient: bool) -> Steps[ChunkRows]:
        csv.field_size_limit(csv_table.LONGEST_CELL)
        with self.path.open("rb") as file:
            file.seek(self.chunk.start)
            text = file.read(self.chunk.end - self.chunk.start).decode(self._layout.encoding)
        yield 0
        self._lines = self._plain_lines(text)
        yield 0
        if self._lines is not None and plan_of(self.signature).is_table:
            rows = yield from self._by_column(self._lines)
            if rows:
                return rows
        yield from self._read_cells(text)
        first_row = self.chunk.first_row
        return (yield from coerce_chunk([self._grid], self.signature, first_row, lenient=lenient))

    def _plain_lines(self, text: str) -> list[str] | None:
        width = len(self.plan.columns)
        if '"' in text or width == 1:
            return None
        text = text.replace("\r\n", "\n")
        lines = [line for line in text.split("\n") if line][: self.chunk.rows]
        fits = "\r" not in text and {line.count(self._layout.separator) for line in lines} == {width - 1}
        return lines if fits else None

    def _by_column(self, lines: Sequence[str]) -> Steps[ChunkRows | None]:
        """Return the rows if all are valid, else None."""
        pieces = []
        for start in range(0, len(lines), _LINES_AT_ONCE):
            piece = self._columns_of(lines[start : start + _LINES_AT_ONCE])
            if piece is None:
                return None
            pieces.append(piece)
            yield 0
        return ChunkRows.of_columns([joined(columns) for columns in zip(*pieces, strict=True)], self.signature)

    def _columns_of(self, lines: Sequence[str]) -> list[Column] | None:
        """Return the values of each input, and the ids if there are any, if all are valid, else None.

        pandas reads the numbers: the same ones as `float`, but for those with a plus sign, whose last bit may differ.
        What it takes besides is not finite, or a column of true and false. It drops a byte order mark.
        """
        text = "\n".join(lines)
        if text.startswith(_BOM):
            return None
        plan = plan_of(self.signature)
        layout = plan.lay_out_csv(self.plan.columns)
        numbers = {column for position, column in layout.places.items() if self._is_plain_number(position)}
        if text.count("+") > text.count("e+") + text.count("E+") or any(word in text for word in _BOOLEANS):
            numbers.clear()
        try:
            frame = pd.read_csv(
                io.StringIO(text),
                sep=self._layout.separator,
                header=None,
                names=range(len(self.plan.columns)),
                usecols=sorted(layout.places.values()),
                dtype={column: np.float64 if column in numbers else object for column in layout.places.values()},
                skipinitialspace=True,
                keep_default_na=False,
                na_values=[""],
                quoting=csv.QUOTE_NONE,
                low_memory=False,
                **_EXACT,
            )
        except ValueError:
            return None
        if len(frame) != len(lines):
            return None
        columns: list[Column] = []
        for position, column in sorted(layout.places.items()):
            if column in numbers:
                values: Any = frame[column].to_numpy()
                if not are_valid(values, self.signature.inputs[position]):
                    return None
                columns.append(values if self.takes_arrays else listed(values))
                continue
            cells = [None if cell.__class__ is float or cell.isspace() else cell for cell in frame[column].tolist()]
            _, values = convert_column(cells, position, plan, self._grid)
            if Refusal in map(type, values):
                return None
            columns.append(values)
        return columns

    def _is_plain_number(self, position: int) -> bool:
        inputs = self.signature.inputs
        if position >= len(inputs) or inputs[position].kind is not Kind.NUMBER:
            return False
        return not self._layout.formats.get(inputs[position].name)

    def _read_cells(self, text: str) -> Steps[None]:
        rows: list[list[str | None]] = []
        for record in csv_table.records(io.StringIO(text, newline=""), self._layout.separator):
            rows.append([None if not cell or cell.isspace() else cell for cell in record])
            if len(rows) % _RECORDS_AT_ONCE == 0:
                yield 0
        self._grid.rows = rows[: self.chunk.rows]

    def lines(self, *, escape: bool) -> list[str]:
        """Return the rows as lines of CSV, each with a cell for each column, without line ends."""
        if self._lines is not None and not escape:
            return self._lines
        return csv_lines(self._cells(), self._layout.separator, escape=escape)

    def columns(self) -> list[Sequence[Any]]:
        """Return the values of each column: inputs of the model as it gets them, invalid ones None; others as text."""
        plan = plan_of(self.signature)
        texts: list[Sequence[Any]] = list(self._cells())
        if not plan.is_table:
            return texts
        for position, column in plan.lay_out_csv(self.plan.columns).places.items():
            if position < plan.width:
                _, values = convert_column(list(texts[column]), position, plan, self._grid)
                texts[column] = [None if value.__class__ is Refusal else value for value in values]
        return texts

    def _cells(self) -> list[list[str | None]]:
        """Return the cells of each column. Rows that are too long lose their last cells, short ones get blank ones."""
        if not self._grid.rows and self._lines is not None:
            records = csv_table.records(iter(self._lines), self._layout.separator)
            self._grid.rows = [[None if not cell or cell.isspace() else cell for cell in record] for record in records]
        width = len(self.plan.columns)
        blank = [None] * width
        rows: Any = self._grid.rows
        return [list(column) for column in zip(*((*row, *blank)[:width] for row in rows), strict=True)]


class CsvCodec:
    """The codec of CSV."""

    free_bytes = FREE_BYTES
    repeats_names = False

    plan = staticmethod(plan_csv)
    reader = CsvChunk

    def write(self, path: Path, plan: FilePlan, reader: ChunkReader, answers: Sequence[Column]) -> Steps[None]:
        separator = _separator(plan)
        kept = reader.lines(escape=plan.escape) if isinstance(reader, CsvChunk) else None
        columns = [] if isinstance(reader, CsvChunk) else reader.columns()

        def texts(columns: Sequence[Column], rows: slice) -> list[str]:
            return csv_lines([listed(column[rows]) for column in columns], separator, escape=plan.escape)

        def lines(rows: slice) -> bytes:
            first = texts(columns, rows) if kept is None else kept[rows]
            pairs = zip(first, texts(answers, rows), strict=True)
            return "".join([f"{line}{separator}{added}\n" for line, added in pairs]).encode(errors="replace")

        return write_lines(path, plan, answers, lines)

    def join(self, plan: FilePlan, parts: Sequence[Path], target: Path) -> Steps[None]:
        names = [[name] for name in (*plan.columns, *plan.answers)]
        (header,) = csv_lines(names, _separator(plan), escape=plan.escape)
        return join_lines(parts, target, f"{header}\n".encode())


def _separator(plan: FilePlan) -> str:
    return plan.csv.separator if plan.csv else ","
