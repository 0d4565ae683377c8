"""Writes the rows of a chunk with their answers, in the format of the output. Numbers read back equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from contract.rows.csv_writer import cells, csv_lines
from contract.rows.file_formats import FileFormat
from runtime.exact_json import dumps
from scoring.files.answers import Column, listed
from scoring.files.chunks import ChunkReader
from scoring.files.csv_chunk import CsvChunk
from scoring.files.json_chunk import JsonChunk
from scoring.files.parquet import in_background, write_part
from scoring.files.parquet_chunk import ParquetChunk
from scoring.files.plan import FilePlan, Steps

_SEPARATOR = ","
"""Between the columns of a CSV that was none before."""
_CELLS_AT_ONCE, _ROWS_AT_ONCE = 8192, 16
"""Cells that are written in one step, and the fewest rows, because each column of a step takes some time as well."""

_Lines = Callable[[slice], bytes]
"""Returns some rows as lines of the output."""


def write_rows(
    path: Path, plan: FilePlan, reader: ChunkReader, answers: Sequence[Column], *, escape: bool
) -> Steps[None]:
    """Write the rows that `reader` has read, each with its answers."""
    if plan.output is FileFormat.PARQUET:
        yield from _parquet(path, plan, reader, answers)
    else:
        lines = _csv(plan, reader, answers, escape) if plan.output is FileFormat.CSV else _json(plan, reader, answers)
        yield 0
        count = max(_ROWS_AT_ONCE, _CELLS_AT_ONCE // (len(plan.columns) + len(plan.answers)))
        with path.open("wb") as file:
            for start in range(0, len(answers[0]), count):
                file.write(lines(slice(start, start + count)))
                yield 0
    yield 0


def _csv(plan: FilePlan, reader: ChunkReader, answers: Sequence[Column], escape: bool) -> _Lines:
    separator = plan.csv.separator if plan.csv else _SEPARATOR
    kept = reader.lines(escape=escape) if isinstance(reader, CsvChunk) else None
    columns = [] if isinstance(reader, CsvChunk) else reader.columns()

    def texts(columns: Sequence[Column], rows: slice) -> list[str]:
        return csv_lines([listed(column[rows]) for column in columns], separator, escape=escape)

    def lines(rows: slice) -> bytes:
        first = texts(columns, rows) if kept is None else kept[rows]
        pairs = zip(first, texts(answers, rows), strict=True)
        return "".join([f"{line}{separator}{added}\n" for line, added in pairs]).encode()

    return lines


def _json(plan: FilePlan, reader: ChunkReader, answers: Sequence[Column]) -> _Lines:
    kept = reader.lines(plan.answers) if isinstance(reader, JsonChunk) else None
    columns = [] if isinstance(reader, JsonChunk) else reader.columns()
    names = unlike(plan.columns)

    def objects(names: Sequence[str], columns: Sequence[Column], rows: slice) -> list[bytes]:
        values = zip(*(listed(column[rows]) for column in columns), strict=True)
        return [dumps(dict(zip(names, row, strict=True))) for row in values]

    def lines(rows: slice) -> bytes:
        first = objects(names, columns, rows) if kept is None else kept[rows]
        return b"".join(map(_spliced, first, objects(plan.answers, answers, rows)))

    return lines


def _spliced(first: bytes, second: bytes) -> bytes:
    """Return two objects in JSON as a line of one."""
    inner = first[1:-1].strip()
    return b"{" + inner + b"," * bool(inner) + second[1:] + b"\n"


def _parquet(path: Path, plan: FilePlan, reader: ChunkReader, answers: Sequence[Column]) -> Steps[None]:
    names = unlike([*plan.columns, *plan.answers])
    types = dict(zip(names, plan.types, strict=True))
    kept = None if isinstance(reader, ParquetChunk) else reader.columns()
    yield 0
    values = [*([None] * len(plan.columns) if kept is None else kept), *answers]
    added = {}
    for name, column in zip(names, values, strict=True):
        if column is not None:
            added[name] = types[name], _for_sql(column, types[name])
            yield 0
    yield from in_background(lambda: write_part(path, added, with_chunk=kept is None))


def _for_sql(column: Column, kind: str) -> Any:
    """Return values as `write_part` takes them."""
    if isinstance(column, np.ndarray):
        return column
    if kind == "BIGINT" and set(map(type, column)) == {int}:
        with suppress(OverflowError):
            return np.array(column, dtype=np.int64)
    if kind == "DOUBLE":
        with suppress(ValueError):
            return np.array(column, dtype=np.float64)
    return [None if value is None else cell for value, cell in zip(column, cells(column), strict=True)]


def csv_header(plan: FilePlan, *, escape: bool) -> str:
    """Return the first line of the output, with its line end."""
    names = [*(plan.columns), *plan.answers]
    separator = plan.csv.separator if plan.csv else _SEPARATOR
    (line,) = csv_lines([[name] for name in names], separator, escape=escape)
    return line + "\n"


def unlike(names: Sequence[str]) -> list[str]:
    """Return names of which no two are the same, in any case, and none is blank: as keys of an object, or columns of a
    Parquet file."""
    names_used: dict[str, str] = {}
    for index, name in enumerate(names):
        name = name or f"column_{index + 1}"
        free, number = name, 2
        while free.lower() in names_used:
            free, number = f"{name}_{number}", number + 1
        names_used[free.lower()] = free
    return list(names_used.values())
