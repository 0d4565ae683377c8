"""Profiles the first rows that are logged of a version, if nothing says what its training saw."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from duckdb import DuckDBPyConnection

from contract.model.manifest import ColumnProfile, DataProfile, ModelManifest
from contract.model.row_profile import profile_of
from contract.model.signature import Signature
from observer.drift.bins import FEWEST_ROWS
from observer.log.columns import LogColumns, quoted
from observer.log.store import LogStore, parquet

FIRST_ROWS = 1_000
"""The rows that later ones are compared with. They are counted as a sample, as training rows are, so alarms are no more
often wrong than with more of them; and they are found after as many rows as with 5,000 (bench/alarms.py)."""

_MOST_WORDS = 250_000
"""Bytes of all words in a profile."""


def profile_first_rows(
    store: LogStore, database: DuckDBPyConnection, manifest: ModelManifest, left_out: Sequence[str]
) -> tuple[DataProfile | None, int]:
    """Return the profile of the first rows that were logged without the inputs `left_out`, and how many of these there
    are: None for fewer than `FIRST_ROWS`. The table `watched` has the rows that enter the log now; those that are
    profiled leave it."""
    signature, key = manifest.signature, "time, job_id, row"
    columns = LogColumns.of(signature)
    partitions = (one for one in store.partitions(manifest.name) if one.version == manifest.version)
    files = [file for partition in partitions for file in store.files(partition)]
    logged = f"SELECT * FROM {parquet(files)} WHERE list_sort(coalesce(left_out, [])) = $left_out UNION ALL BY NAME "
    rows, bound = f"({logged if files else ''}SELECT * FROM watched)", {"left_out": list(left_out)} if files else {}
    # Sorting wide rows, and not only their keys, would take more memory than there is.
    keys = f"SELECT {key} FROM {rows} ORDER BY ALL LIMIT {FIRST_ROWS}"
    database.execute(f"CREATE OR REPLACE TEMP TABLE first_keys AS {keys}", bound)
    (number,) = database.execute("SELECT count(*) FROM first_keys").fetchall()[0]
    if number < FIRST_ROWS:
        return None, number
    are_first = f"WHERE ({key}) <= (SELECT max(({key})) FROM first_keys)"
    first = database.execute(f"SELECT {', '.join(_values(signature))} FROM {rows} {are_first}", bound).fetchall()
    database.execute(f"DELETE FROM watched {are_first}")
    profile = profile_of(
        signature, first, [columns.read_prediction(row[-1]) for row in first] if len(signature.outputs) == 1 else []
    )
    return profile and _without_rare_words(profile), number


def _values(signature: Signature) -> Iterator[str]:
    """Yield the SQL of each input, then of the answer, in a table of rows. Times are not watched. Infinity and NaN
    make no bins, and only a scorer that runs code of others can log them."""
    logged = LogColumns.of(signature)
    inputs = [(f"inputs.{quoted(name)}", kind) for name, kind in logged.inputs or ()]
    for value, kind in [*inputs, ("prediction", logged.prediction)]:
        if kind == "DOUBLE":
            yield f"if(isfinite({value}), {value}, NULL)"
        else:
            yield "NULL" if kind.startswith("TIMESTAMP") else value


def _without_rare_words(profile: DataProfile) -> DataProfile:
    """Return the profile without words that make no bins: they may be about one person."""
    room = _MOST_WORDS // (len(profile.inputs) + 1)
    inputs, outputs = ([_common(column, room) for column in columns] for columns in (profile.inputs, profile.outputs))
    return replace(profile, inputs=tuple(inputs), outputs=tuple(outputs))


def _common(column: ColumnProfile, room: int) -> ColumnProfile:
    if column.edges:
        return column
    sizes = accumulate(len(json.dumps(value)) for value in column.values)
    kept = sum(rows >= FEWEST_ROWS and size <= room for rows, size in zip(column.counts, sizes, strict=True))
    others = column.others + sum(column.counts[kept:])
    return replace(column, values=column.values[:kept], counts=column.counts[:kept], others=others)
