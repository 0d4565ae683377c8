"""Parquet files: chunks are ranges of rows, whatever the row groups are. The rows of one keep their values in the table
`chunk`, which never leaves DuckDB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from contract.errors import FieldError, InvalidInstances
from contract.model.signature import Kind, Signature
from contract.rows.coercion import check_columns, convert_column
from contract.rows.csv_cells import cells
from contract.rows.instances import Grid
from contract.rows.row_plan import plan_of
from contract.rows.values import Refusal
from scoring.files.answers import Column, listed
from scoring.files.codec import ChunkReader, unlike
from scoring.files.parquet import (
    columns_of,
    fetch,
    in_background,
    join_parts,
    load_chunk,
    quoted,
    rows_in,
    text_sizes,
    write_part,
    written_names,
)
from scoring.files.plan import MAX_ROW_BYTES, MOST_CHUNKS, Chunk, Contents, FilePlan, NotReadable, RowBounds, Steps
from scoring.files.rows import ChunkRows, are_valid, coerce_chunk

_CHUNK_ROWS = 65_536
"""Rows of a chunk: each reads its row group up to its own rows, which takes time where row groups are large."""
_CHUNK_BYTES = 32 * 2**20
"""Bytes in memory of the rows of a chunk, where each byte of a text counts `_COPIES` times."""
_COPIES = 4
_PIECE_ROWS, _MOST_PIECES = 1024, 2**16
"""The texts of so many rows are counted together; of more, if the file would have more pieces."""
_FREE_ROWS, _ROWS_PER_BYTE = 1_000_000, 64
"""Rows of a file, and how many for each of its bytes, if that is more."""

NUMBERS = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\))$")
TEXTS = re.compile(r'("NULL"|VARCHAR|UUID|ENUM\(.*\)|DATE|TIMESTAMP.*)$', re.DOTALL)


def plan_parquet(path: Path, signature: Signature, target: str | None, bounds: RowBounds) -> Steps[Contents]:
    """Plan a Parquet file. Raises `InvalidInstances` and `NotReadable`, as `scoring.files.stages.plan`."""
    types = yield from in_background(lambda: columns_of(path))
    names = list(types)
    _check_case((yield from in_background(lambda: written_names(path))), names, signature)
    warnings = check_columns(Grid(names, []), signature, target)
    places = sorted(plan_of(signature).lay_out(names).places.values())
    odd = [names[column] for column in places if not is_plain(types[names[column]])]
    if odd:
        raise InvalidInstances([_odd(name, types[name]) for name in odd])
    rows = yield from in_background(lambda: rows_in(path))
    if rows > (most := max(_FREE_ROWS, _ROWS_PER_BYTE * bounds.size)):
        raise NotReadable(f"it has {rows} rows, and a file of its size may have {most}; send them in several files")
    piece = max(_PIECE_ROWS, rows // _MOST_PIECES + 1)
    texts = [_text(name, kind) for name, kind in types.items() if not is_short(kind)]
    sizes = (yield from in_background(lambda: text_sizes(path, texts, piece))) if texts else []
    bounds.check(rows, names, sum(size for size, _ in sizes))
    if any(longest > MAX_ROW_BYTES for _, longest in sizes):
        raise NotReadable(f"a row is longer than {MAX_ROW_BYTES >> 20} MB")
    most_rows = max(bounds.most_rows or _CHUNK_ROWS, rows // MOST_CHUNKS)
    ends = _ends(rows, piece, [size for size, _ in sizes], bounds.row_bytes(names), most_rows)
    chunks = [Chunk(number, start, end - start, start, end) for number, (start, end) in enumerate(pairwise([0, *ends]))]
    return Contents(chunks, names, warnings)


def _check_case(written: Sequence[str], names: Sequence[str], signature: Signature) -> None:
    """Raise `NotReadable` if a column of the model has another name than is `written`."""
    known = {name for field in signature.inputs for name in (field.name, *field.aliases)} | {signature.id_field}
    for name, read in zip(written, names, strict=False):
        if name != read and name in known:
            other = next(other for other in written if other != name and other.lower() == name.lower())
            raise NotReadable(
                f"its columns {other!r} and {name!r} differ only in case, which Parquet files are read without; rename"
                " one, or send the rows as CSV or NDJSON"
            )


def _ends(rows: int, piece: int, texts: Sequence[int], row_bytes: int, most_rows: int) -> Iterator[int]:
    """Yield the row before which each chunk ends. `texts`: bytes of texts in each `piece` of rows, if there are any."""
    start = used = 0
    for number, begin in enumerate(range(0, rows, piece)):
        end = min(begin + piece, rows)
        size = row_bytes * (end - begin) + (_COPIES * texts[number] if texts else 0)
        if start < begin and (used + size > _CHUNK_BYTES or end - start > most_rows):
            yield begin
            start, used = begin, 0
        used += size
        if used > _CHUNK_BYTES or end - start > most_rows:  # the piece alone is too large
            step = max(1, min(most_rows, (end - begin) * _CHUNK_BYTES // size))
            yield from range(begin + step, end, step)
            if end < rows:
                yield end
            start, used = end, 0
    yield rows


def _text(name: str, kind: str) -> str:
    """Return the SQL of a column as the text that it takes most memory as."""
    return f"CAST({quoted(name)} AS VARCHAR)" if is_plain(kind) or kind == "BLOB" else f"to_json({quoted(name)})"


def is_short(kind: str) -> bool:
    """Return whether a value of a type in SQL is a number of 8 bytes or a boolean: all others are written as text."""
    return kind == "BOOLEAN" or (bool(NUMBERS.match(kind)) and "HUGE" not in kind and not kind.startswith("DECIMAL"))


def is_plain(kind: str) -> bool:
    """Return whether coercion knows the values of a type in SQL: no lists, objects, intervals or bytes."""
    return kind == "BOOLEAN" or (bool(NUMBERS.match(kind) or TEXTS.match(kind)) and not kind.endswith("]"))


def _odd(name: str, kind: str) -> FieldError:
    message = f"{name!r} has the type {kind[:64]}; send numbers, text, booleans or dates, with or without a time"
    return FieldError(None, name, "unsupported_type", message, name)


class ParquetChunk(ChunkReader):
    """The rows of one chunk of a Parquet file. They are in the table `chunk` until the next chunk is read."""

    def read(self, *, lenient: bool) -> Steps[ChunkRows]:
        self._types = yield from in_background(lambda: columns_of(self.path))
        yield from in_background(lambda: load_chunk(self.path, self.chunk.start, self.chunk.end))
        plan = plan_of(self.signature)
        places = plan.lay_out(self.plan.columns).places if plan.is_table else {}
        used = sorted(set(places.values())) if plan.is_table else list(range(len(self.plan.columns)))
        arrays = yield from in_background(lambda: fetch([_value(self.plan.columns[p], self._types) for p in used]))
        values = dict(zip(used, arrays, strict=True))
        if plan.is_table:
            rows = yield from self._by_column({position: values[column] for position, column in places.items()})
            if rows:
                return rows
        lists = [listed(values[column]) for column in used]
        yield 0
        grid = Grid([self.plan.columns[column] for column in used], [list(row) for row in zip(*lists, strict=True)])
        return (yield from coerce_chunk([grid], self.signature, self.chunk.first_row, lenient=lenient))

    def _by_column(self, arrays: dict[int, Any]) -> Steps[ChunkRows | None]:
        """Return the rows if all are valid, else None."""
        plan, inputs = plan_of(self.signature), self.signature.inputs
        numbers = {position for position, field in enumerate(inputs) if field.kind is Kind.NUMBER}
        columns: list[Sequence[Any]] = []
        for position, array in sorted(arrays.items()):
            yield 0
            if position in numbers and array.dtype.kind in "fiu":
                floats: Any = np.ma.filled(array.astype(np.float64), np.nan)
                if not are_valid(floats, inputs[position]):
                    return None
                columns.append(floats if self.takes_arrays else listed(floats))
                continue
            _, values = convert_column(listed(array), position, plan, None)
            if Refusal in map(type, values):
                return None
            columns.append(values)
        return ChunkRows.of_columns(columns, self.signature)

    def columns(self) -> list[Sequence[Any]]:
        """Return the values of each column as an array: numbers, booleans, or text; lists and objects as JSON."""
        return fetch([_value(name, self._types, exact=True) for name in self.plan.columns])


def _value(name: str, types: dict[str, str], *, exact: bool = False) -> str:
    """Return the SQL of a column's values as JSON has them. `exact`: numbers with more digits than a float as text."""
    kind, column = types[name], f"chunk.{quoted(name)}"
    if is_short(kind):
        return f"CAST({column} AS DOUBLE)" if kind == "FLOAT" else column
    if NUMBERS.match(kind) and not exact:
        return f"CAST({column} AS DOUBLE)"
    return f"CAST({column} AS VARCHAR)" if is_plain(kind) or kind == "BLOB" else f"CAST(to_json({column}) AS VARCHAR)"


class ParquetCodec:
    """The codec of Parquet."""

    free_bytes = 256 * 2**20  # a million rows of few values take some KB
    repeats_names = False

    plan = staticmethod(plan_parquet)
    reader = ParquetChunk

    def write(self, path: Path, plan: FilePlan, reader: ChunkReader, answers: Sequence[Column]) -> Steps[None]:
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

    def join(self, _: FilePlan, parts: Sequence[Path], target: Path) -> Steps[None]:
        return in_background(lambda: join_parts(parts, target))


def _for_sql(column: Column, kind: str) -> Any:
    """Return values as `write_part` takes them."""
    if isinstance(column, np.ndarray):
        return column
    if kind in ("BIGINT", "UBIGINT") and set(map(type, column)) <= {int, float}:
        with suppress(OverflowError):
            return np.array(column, dtype=np.int64 if kind == "BIGINT" else np.uint64)
    if kind == "DOUBLE":
        with suppress(ValueError):
            return np.array(column, dtype=np.float64)
    return [None if value is None else cell for value, cell in zip(column, cells(column), strict=True)]
