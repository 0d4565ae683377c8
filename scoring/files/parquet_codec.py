"""Parquet files. The rows of one keep their values in the table `chunk`, which never leaves DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from contract.rows.csv_writer import cells
from scoring.files.answers import Column
from scoring.files.codec import ChunkReader, unlike
from scoring.files.parquet import in_background, join_parts, write_part
from scoring.files.parquet_chunk import ParquetChunk
from scoring.files.parquet_plan import plan_parquet
from scoring.files.plan import FilePlan, Steps


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
    if kind == "BIGINT" and set(map(type, column)) == {int}:
        with suppress(OverflowError):
            return np.array(column, dtype=np.int64)
    if kind == "DOUBLE":
        with suppress(ValueError):
            return np.array(column, dtype=np.float64)
    return [None if value is None else cell for value, cell in zip(column, cells(column), strict=True)]
