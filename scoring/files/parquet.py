"""Parquet files, read and written with DuckDB.

The library is imported with the first such file, never in a template: it starts threads (docs/adr/0050).
"""

from __future__ import annotations

import functools
import glob
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from scoring.files.plan import NotReadable, Steps

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

T = TypeVar("T")

_PAUSE = 0.01
"""Seconds between two looks at work in the background."""
_PATH = re.compile(r' [\'"]/[^\'"]*[\'"]')
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "async_threads": 0,
    "memory_limit": "1GB",
    "temp_directory": "",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "pandas_analyze_sample": 0,
}


@functools.cache
def connection() -> DuckDBPyConnection:
    """Return the connection of this process. It holds one chunk at a time, as the table `chunk`."""
    import duckdb

    database = duckdb.connect(":memory:", config=_CONFIG)
    database.execute("SET TimeZone = 'UTC'")
    return database


def in_background(work: Callable[[], T]) -> Steps[T]:
    """Do `work` in a thread, while DuckDB does not hold the interpreter; yields 0 meanwhile. Raises what it raises,
    errors of DuckDB as `NotReadable` or `OSError`."""
    with ThreadPoolExecutor(1, "parquet") as background:
        done = background.submit(work)
        try:
            while wait([done], _PAUSE).not_done:
                yield 0
        finally:
            if not done.done():  # the caller has dropped the work, and the next chunk needs the connection
                connection().interrupt()
    if error := done.exception():
        raise _plain(error)
    return done.result()


def _plain(error: BaseException) -> BaseException:
    import duckdb

    if isinstance(error, duckdb.OutOfMemoryException):
        return MemoryError(str(error))
    if isinstance(error, duckdb.IOException) and "No space" in str(error):
        return OSError(28, str(error))
    if isinstance(error, duckdb.Error):
        said = _PATH.sub("", str(error).splitlines()[0])  # which is nothing to a client
        return NotReadable(f"it is not Parquet: {said[:300]}")
    return error


def quoted(name: str) -> str:
    """Return the name of a column in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _selected(query: str, path: Path) -> list[Any]:
    """Return the rows that a query about the file at `path` selects."""
    return connection().execute(query, [_exactly(path)]).fetchall()


def columns_of(path: Path) -> dict[str, str]:
    """Return the type in SQL of each column of a file."""
    return {name: kind for name, kind, *_ in _selected("DESCRIBE SELECT * FROM read_parquet(?)", path)}


def written_names(path: Path) -> list[str]:
    """Return the names of the columns of a file, in the order of `columns_of`. DuckDB does not tell those apart that
    differ only in case, and renames all but the first of them."""
    schema = _selected("SELECT name, num_children FROM parquet_schema(?)", path)
    names, within = [], 0  # the parts of a column follow it
    for name, parts in schema[1:]:
        if within:
            within -= 1
        else:
            names.append(name)
        within += parts or 0
    return names


def rows_in(path: Path) -> int:
    """Return the rows of a file. Raises `NotReadable` if its row groups have others."""
    ((rows, grouped),) = _selected(
        "SELECT (SELECT sum(num_rows) FROM parquet_file_metadata($1)), (SELECT sum(rows) FROM (SELECT"
        " any_value(row_group_num_rows) AS rows FROM parquet_metadata($1) GROUP BY row_group_id))",
        path,
    )
    if (rows or 0) != (grouped or 0):
        raise NotReadable(f"it is not Parquet: it says that it has {rows} rows, and its row groups have {grouped or 0}")
    return int(rows or 0)


def text_sizes(path: Path, texts: Sequence[str], piece: int) -> list[tuple[int, int]]:
    """Return the bytes of the texts, which are SQL, in each `piece` of so many rows, and those of its longest row. They
    are counted: what a file says of its sizes may be wrong, and says little of a text that is repeated."""
    size = " + ".join(f"coalesce(strlen({text}), 0)" for text in texts)
    sizes = _selected(
        f"SELECT sum(size), max(size) FROM (SELECT file_row_number // {piece} AS piece, {size} AS size"  # noqa: S608
        " FROM read_parquet(?, file_row_number = true)) GROUP BY piece ORDER BY piece",
        path,
    )
    return [(int(total), int(longest)) for total, longest in sizes]


def load_chunk(path: Path, start: int, end: int) -> None:
    """Make the rows from `start` to before `end` of a file the table `chunk`."""
    connection().execute(
        "CREATE OR REPLACE TEMP TABLE chunk AS SELECT * EXCLUDE (file_row_number)"
        " FROM read_parquet(?, file_row_number = true) WHERE file_row_number >= ? AND file_row_number < ?",
        [_exactly(path), start, end],
    )


def fetch(expressions: Sequence[str]) -> list[Any]:
    """Return one array for each expression over the columns of `chunk`; nulls are masked."""
    if not expressions:
        return []
    named = ", ".join(f"{expression} AS c{index}" for index, expression in enumerate(expressions))
    arrays = connection().execute(f"SELECT {named} FROM chunk").fetchnumpy()  # noqa: S608
    return [arrays[f"c{index}"] for index in range(len(expressions))]


def write_part(path: Path, added: Mapping[str, tuple[str, Any]], *, with_chunk: bool) -> None:
    """Write a Parquet file: the columns of `chunk`, if it is to have them, and those `added`. These have a type in SQL
    and values: whole numbers, floats (NaN is null), or texts (None is null) to cast to that type."""
    database = connection()
    frame = {f"c{index}": _series(values) for index, (_, values) in enumerate(added.values())}
    database.register("added", pd.DataFrame(frame))
    columns = [
        f"{_cast(f'added.c{index}', kind, values)} AS {quoted(name)}"
        for index, (name, (kind, values)) in enumerate(added.items())
    ]
    source = "chunk POSITIONAL JOIN added" if with_chunk else "added"
    chosen = ", ".join([*["chunk.*"] * with_chunk, *columns])
    try:
        database.execute(f"COPY (SELECT {chosen} FROM {source}) TO {_text(str(path))} ({_OPTIONS})")  # noqa: S608
    finally:
        database.unregister("added")


_OPTIONS = "FORMAT parquet, COMPRESSION snappy"


def _series(values: Any) -> Any:
    return values if isinstance(values, np.ndarray) else pd.Series(values, dtype=object)


def _cast(column: str, kind: str, values: Any) -> str:
    if not isinstance(values, np.ndarray):
        return f"TRY_CAST({column} AS {kind})"
    return column if values.dtype.kind == "i" else f"CASE WHEN isnan({column}) THEN NULL ELSE {column} END"


def join_parts(parts: Sequence[Path], target: Path) -> None:
    """Write the rows of all parts, in their order, to one file."""
    database = connection()
    listed = ", ".join(_text(_exactly(part)) for part in parts)
    database.execute(f"COPY (SELECT * FROM read_parquet([{listed}])) TO {_text(str(target))} ({_OPTIONS})")  # noqa: S608


def _exactly(path: Path) -> str:
    """Return the pattern that matches only this path: DuckDB takes each path that it reads as a pattern."""
    return glob.escape(str(path))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
