"""Reads the rows of one chunk of a Parquet file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contract.model.signature import Kind
from contract.row import ColumnarRows
from contract.rows.coercion import convert_column
from contract.rows.instances import Grid
from contract.rows.row_plan import plan_of
from contract.rows.values import Refusal
from scoring.files.answers import Scorable, listed
from scoring.files.parquet import columns_of, fetch, in_background, load_chunk, quoted
from scoring.files.parquet_plan import NUMBERS, is_plain, is_short
from scoring.files.plan import Chunk, FilePlan, Steps
from scoring.files.rows import ChunkRows, are_valid, coerce_chunk, takes_arrays


class ParquetChunk:
    """The rows of one chunk of a Parquet file. They are in the table `chunk` until the next chunk is read."""

    def __init__(self, path: Path, plan: FilePlan, chunk: Chunk, model: Scorable) -> None:
        self._path = path
        self._chunk = chunk
        self._names = plan.columns
        self._signature = model.manifest.signature
        self._input_format = model.manifest.artifact.input_format
        self._types: dict[str, str] = {}

    def read(self, *, lenient: bool) -> Steps[ChunkRows]:
        """Return the rows as the inputs of the model. Raises `InvalidInstances` unless `lenient`."""
        self._types = yield from in_background(lambda: columns_of(self._path))
        yield from in_background(lambda: load_chunk(self._path, self._chunk.start, self._chunk.end))
        plan = plan_of(self._signature)
        places = plan.lay_out(self._names, range(len(self._names))).places if plan.is_table else {}
        used = sorted(set(places.values())) if plan.is_table else list(range(len(self._names)))
        arrays = yield from in_background(lambda: fetch([_value(self._names[p], self._types) for p in used]))
        values = dict(zip(used, arrays, strict=True))
        if plan.is_table:
            rows = yield from self._by_column({position: values[column] for position, column in places.items()})
            if rows:
                return ChunkRows(rows)
        lists = [listed(values[column]) for column in used]
        yield 0
        grid = Grid([self._names[column] for column in used], [list(row) for row in zip(*lists, strict=True)])
        return (yield from coerce_chunk([grid], self._signature, self._chunk.first_row, lenient=lenient))

    def _by_column(self, arrays: dict[int, Any]) -> Steps[ColumnarRows | None]:
        """Return the rows if all are valid, else None."""
        plan, inputs = plan_of(self._signature), self._signature.inputs
        numbers = {position for position, field in enumerate(inputs) if field.kind is Kind.NUMBER}
        columns: list[Sequence[Any]] = []
        for position, array in sorted(arrays.items()):
            yield 0
            if position in numbers and array.dtype.kind in "fiu":
                floats: Any = np.ma.filled(array.astype(np.float64), np.nan)
                if not are_valid(floats, inputs[position]):
                    return None
                columns.append(floats if takes_arrays(self._signature, self._input_format) else listed(floats))
                continue
            _, values = convert_column(listed(array), position, plan, None)
            if Refusal in map(type, values):
                return None
            columns.append(values)
        return ColumnarRows(columns[: plan.width])

    def columns(self) -> list[Sequence[Any]]:
        """Return the values of each column as an array: numbers, booleans, or text; lists and objects as JSON."""
        return fetch([_value(name, self._types, exact=True) for name in self._names])


def _value(name: str, types: dict[str, str], *, exact: bool = False) -> str:
    """Return the SQL of a column's values as JSON has them. `exact`: numbers with more digits than a float as text."""
    kind, column = types[name], f"chunk.{quoted(name)}"
    if is_short(kind):
        return f"CAST({column} AS DOUBLE)" if kind == "FLOAT" else column
    if NUMBERS.match(kind) and not exact:
        return f"CAST({column} AS DOUBLE)"
    return f"CAST({column} AS VARCHAR)" if is_plain(kind) or kind == "BLOB" else f"CAST(to_json({column}) AS VARCHAR)"
