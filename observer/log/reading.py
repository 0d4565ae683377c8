"""Finds rows of the log."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from contract.work.observation import Cursor, Observation
from observer.log.columns import quoted
from observer.log.store import LogStore, Partition, parquet

_PLAIN = ("job_id", "row", "id", "request_id", "alias", "owner", "left_out", "warnings", "milliseconds")
"""Columns that JSON shows as they are."""
_NESTED = ("inputs", "prediction", "probabilities")
"""Columns whose type the version decides."""


def read_page(store: LogStore, wanted: Observation) -> dict[str, Any]:
    """Return a page: `{"items", "next_cursor"}`. Raises ValueError for a cursor that is none."""
    with store.database() as database:
        files = _files(store, wanted)
        if not files:
            return {"items": [], "next_cursor": None}
        conditions, values = _conditions(wanted)
        where = " AND ".join(conditions)
        found = " UNION ALL BY NAME ".join(_shown(database, version, paths, where) for version, paths in files.items())
        query = (
            f"SELECT * EXCLUDE (time) FROM ({found}) QUALIFY row_number() OVER (PARTITION BY job_id, row) = 1"
            f" ORDER BY micros DESC, job_id DESC, row DESC LIMIT {wanted.limit + 1}"
        )
        names = [name for name, *_ in database.execute(f"DESCRIBE {query}", values * len(files)).fetchall()]
        rows = [dict(zip(names, row, strict=True)) for row in database.execute(query, values * len(files)).fetchall()]
    more, rows = len(rows) > wanted.limit, rows[: wanted.limit]
    last = rows[-1] if more else None
    cursor = Cursor(last["micros"], last["job_id"], last["row"]) if last else None
    return {"items": [_item(wanted.model, row) for row in rows], "next_cursor": str(cursor) if cursor else None}


def _files(store: LogStore, wanted: Observation) -> Mapping[int, Sequence[Path]]:
    """Return the files that may have such rows, by version."""
    files: defaultdict[int, list[Path]] = defaultdict(list)
    for partition in store.partitions(wanted.model):
        if _may_hold(partition, wanted):
            files[partition.version] += store.files(partition)
    return {version: paths for version, paths in files.items() if paths}


def _may_hold(partition: Partition, wanted: Observation) -> bool:
    if wanted.version is not None and partition.version != wanted.version:
        return False
    after = wanted.since is None or partition.day >= wanted.since[:10]
    return after and (wanted.until is None or partition.day <= wanted.until[:10])


def _conditions(wanted: Observation) -> tuple[list[str], list[Any]]:
    conditions, values = ["true"], list[Any]()
    for column, value in (("id", wanted.id), ("job_id", wanted.job), ("row", wanted.row), ("owner", wanted.owner)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    for sign, moment in ((">=", wanted.since), ("<", wanted.until)):
        if moment is not None:
            conditions.append(f"time {sign} ?::TIMESTAMPTZ")
            values.append(moment)
    if wanted.cursor is not None:
        conditions.append("(epoch_us(time), job_id, row) < (?::BIGINT, ?, ?::INTEGER)")
        values += dataclasses.astuple(Cursor.read(wanted.cursor))
    return conditions, values


def _shown(database: DuckDBPyConnection, version: int, files: Sequence[Path], where: str) -> str:
    """Return the SQL of the rows of a version, in types that all versions share."""
    nested = ", ".join(f"to_json({value})::VARCHAR AS {name}" for name, value in _nested(database, files).items())
    columns = f"time, {version} AS version, {', '.join(_PLAIN)}, {nested}"
    shown = f"SELECT {columns} FROM {parquet(files)} WHERE {where}"
    return f"SELECT *, epoch_us(time) AS micros, {_iso('time')} AS moment FROM ({shown})"


def _nested(database: DuckDBPyConnection, files: Sequence[Path]) -> dict[str, str]:
    """Return the SQL of each of the columns `_NESTED`, with times as ISO 8601."""
    inputs = database.sql(f"SELECT inputs FROM {parquet(files)} LIMIT 0").types[0]
    values = {name: name for name in _NESTED}
    if inputs.id == "struct" and any(_is_time(kind) for _, kind in inputs.children):
        fields = ((name, f"inputs.{quoted(name)}", kind) for name, kind in inputs.children)
        packed = (f"{quoted(name)} := {_iso(value) if _is_time(kind) else value}" for name, value, kind in fields)
        values["inputs"] = f"struct_pack({', '.join(packed)})"
    return values


def _is_time(kind: Any) -> bool:
    return str(kind) == "TIMESTAMP WITH TIME ZONE"


def _iso(time: str) -> str:
    return f"strftime({time}::TIMESTAMP, '%Y-%m-%dT%H:%M:%S.%fZ')"


def _item(model: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "time": row["moment"],
        "model": {"name": model, "version": row["version"], "alias": row["alias"]},
        "job": row["job_id"],
        "row": row["row"],
        "id": row["id"],
        "request_id": row["request_id"] or row["job_id"],
        "owner": row["owner"],
        "inputs": json.loads(row["inputs"] or "null"),
        "left_out": row["left_out"] or [],
        "prediction": json.loads(row["prediction"] or "null"),
        "probabilities": json.loads(row["probabilities"] or "null"),
        "warnings": row["warnings"] or [],
        "milliseconds": row["milliseconds"],
    }
