"""Reads the rows of one chunk of a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from contract.model.manifest import InputFormat
from contract.model.signature import Kind, Signature
from contract.row import ColumnarRows
from contract.rows import csv_table
from contract.rows.coercion import convert_column
from contract.rows.csv_writer import csv_lines
from contract.rows.instances import Grid
from contract.rows.row_plan import plan_of
from contract.rows.values import Refusal
from scoring.files.answers import Column, Scorable, joined, listed
from scoring.files.plan import Chunk, FilePlan, Steps
from scoring.files.rows import ChunkRows, are_valid, coerce_chunk, takes_arrays

_BOOLEANS = ("true", "True", "TRUE", "false", "False", "FALSE")
_BOM = "\ufeff"
_LINES_AT_ONCE = 4096
_RECORDS_AT_ONCE = 2048


class CsvChunk:
    """The rows of one chunk of a CSV file."""

    def __init__(self, path: Path, plan: FilePlan, chunk: Chunk, model: Scorable) -> None:
        if plan.csv is None:
            raise ValueError("the plan is not of a CSV file")
        self._path = path
        self._chunk = chunk
        self._layout = plan.csv
        self._columns = plan.columns
        self._signature = model.manifest.signature
        self._input_format = model.manifest.artifact.input_format
        self._lines: list[str] | None = None
        """The rows if each is one line that has a cell for each column."""
        self._grid = Grid(plan.columns, [], plan.csv.separator, formats=plan.csv.formats)

    def read(self, *, lenient: bool) -> Steps[ChunkRows]:
        """Return the rows as the inputs of the model. Raises `InvalidInstances` unless `lenient`."""
        csv.field_size_limit(csv_table.LONGEST_CELL)
        with self._path.open("rb") as file:
            file.seek(self._chunk.start)
            text = file.read(self._chunk.end - self._chunk.start).decode(self._layout.encoding)
        yield 0
        self._lines = self._plain_lines(text)
        yield 0
        if self._lines is not None and plan_of(self._signature).is_table:
            rows = yield from self._by_column(self._lines)
            if rows:
                return ChunkRows(rows)
        yield from self._read_cells(text)
        first_row = self._chunk.first_row
        return (yield from coerce_chunk([self._grid], self._signature, first_row, lenient=lenient))

    def _plain_lines(self, text: str) -> list[str] | None:
        width = len(self._columns)
        if '"' in text or width == 1:
            return None
        text = text.replace("\r\n", "\n")
        lines = [line for line in text.split("\n") if line]
        fits = "\r" not in text and {line.count(self._layout.separator) for line in lines} == {width - 1}
        return lines if fits else None

    def _by_column(self, lines: Sequence[str]) -> Steps[ColumnarRows | None]:
        """Return the rows if all are valid, else None."""
        pieces = []
        for start in range(0, len(lines), _LINES_AT_ONCE):
            piece = _columns_of(lines[start : start + _LINES_AT_ONCE], self._grid, self._signature, self._input_format)
            if piece is None:
                return None
            pieces.append(piece)
            yield 0
        return ColumnarRows([joined(columns) for columns in zip(*pieces, strict=True)])

    def _read_cells(self, text: str) -> Steps[None]:
        rows: list[list[str | None]] = []
        for record in csv_table.records(io.StringIO(text, newline=""), self._layout.separator):
            rows.append([None if not cell or cell.isspace() else cell for cell in record])
            if len(rows) % _RECORDS_AT_ONCE == 0:
                yield 0
        self._grid.rows = rows

    def lines(self, *, escape: bool) -> list[str]:
        """Return the rows as lines of CSV, each with a cell for each column, without line ends."""
        if self._lines is not None and not escape:
            return self._lines
        return csv_lines(self._cells(), self._layout.separator, escape=escape)

    def columns(self) -> list[Sequence[Any]]:
        """Return the values of each column: inputs of the model as it gets them, invalid ones None; others as text."""
        plan = plan_of(self._signature)
        texts: list[Sequence[Any]] = list(self._cells())
        if not plan.is_table:
            return texts
        for position, column in plan.lay_out_csv(self._columns).places.items():
            if position < plan.width:
                _, values = convert_column(list(texts[column]), position, plan, self._grid)
                texts[column] = [None if value.__class__ is Refusal else value for value in values]
        return texts

    def _cells(self) -> list[list[str | None]]:
        """Return the cells of each column. Rows that are too long lose their last cells, short ones get blank ones."""
        if not self._grid.rows and self._lines is not None:
            records = csv_table.records(iter(self._lines), self._layout.separator)
            self._grid.rows = [[None if not cell or cell.isspace() else cell for cell in record] for record in records]
        width = len(self._columns)
        blank = [None] * width
        rows: Any = self._grid.rows
        return [list(column) for column in zip(*((*row, *blank)[:width] for row in rows), strict=True)]


def _columns_of(
    lines: Sequence[str], grid: Grid, signature: Signature, input_format: InputFormat
) -> list[Column] | None:
    """Return the values of each input if all are valid, else None.

    pandas reads the numbers: the same ones as `float`, but for those with a plus sign, whose last bit may differ. What
    it takes besides is not finite, or a column of true and false. It drops a byte order mark.
    """
    text = "\n".join(lines)
    if text.startswith(_BOM):
        return None
    plan = plan_of(signature)
    layout = plan.lay_out_csv(grid.columns or ())
    numbers = {column for position, column in layout.places.items() if _is_plain_number(position, grid, signature)}
    if text.count("+") > text.count("e+") + text.count("E+") or any(word in text for word in _BOOLEANS):
        numbers.clear()
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=grid.separator,
            header=None,
            names=range(len(grid.columns or ())),
            usecols=sorted(layout.places.values()),
            dtype={column: np.float64 if column in numbers else object for column in layout.places.values()},
            skipinitialspace=True,
            keep_default_na=False,
            na_values=[""],
            quoting=csv.QUOTE_NONE,
            low_memory=False,
        )
    except ValueError:
        return None
    if len(frame) != len(lines):
        return None
    as_arrays = takes_arrays(signature, input_format)
    columns: list[Column] = []
    for position, column in sorted(layout.places.items()):
        if column in numbers:
            values: Any = frame[column].to_numpy()
            if not are_valid(values, signature.inputs[position]):
                return None
            columns.append(values if as_arrays else listed(values))
            continue
        cells = [None if cell.__class__ is float or cell.isspace() else cell for cell in frame[column].tolist()]
        _, values = convert_column(cells, position, plan, grid)
        if Refusal in map(type, values):
            return None
        columns.append(values)
    return columns[: plan.width]


def _is_plain_number(position: int, grid: Grid, signature: Signature) -> bool:
    if position >= len(signature.inputs) or signature.inputs[position].kind is not Kind.NUMBER:
        return False
    return not (grid.formats or {}).get(signature.inputs[position].name)
