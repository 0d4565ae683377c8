"""Finds rows of the log."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping, Sequence
from itertools import accumulate, groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from contract.model.experiments import SHADOW_ALIAS
from contract.work.observation import Cursor, Observation
from observer.log.columns import literal, quoted
from observer.log.store import LogStore, Partition, parquet, written

_PLAIN = ("job_id", "row", "id", "request_id", "alias", "owner", "left_out", "warnings", "milliseconds")
"""Columns that JSON shows as they are."""
_NESTED = ("inputs", "prediction", "probabilities")
"""Columns whose type the version decides."""

_LARGEST = 4_000_000
"""Characters of a page, about: it has fewer rows than were asked for rather than more."""


def read_page(store: LogStore, wanted: Observation) -> dict[str, Any]:
    """Return a page: `{"items", "next_cursor"}`, or with `parquet` a `file` in base64 instead of items. Raises
    ValueError for a cursor that is none."""
    with store.database() as database:
        rows = _newest(database, store, wanted)
        sizes = accumulate(sum(len(str(row[name])) for name in (*_NESTED, "warnings")) for row in rows[: wanted.limit])
        shown = rows[: max(1, sum(size <= _LARGEST for size in sizes))]
        cursor = None
        if len(rows) > len(shown):
            cursor = str(Cursor(shown[-1]["micros"], shown[-1]["job_id"], shown[-1]["row"]))
        # A row may be there twice until its file is merged with others (`observer.log.upkeep`).
        items = list({(row["job_id"], row["row"]): _item(wanted.model, row) for row in shown}.values())
        if wanted.parquet:
            return {"file": _as_parquet(database, store, items), "next_cursor": cursor}
    return {"items": items, "next_cursor": cursor}


def _newest(database: DuckDBPyConnection, store: LogStore, wanted: Observation) -> list[dict[str, Any]]:
    """Return the newest of these rows, and one more than the page has, if there are as many."""
    rows: list[dict[str, Any]] = []
    conditions, values = _conditions(wanted)
    partitions = [partition for partition in store.partitions(wanted.model) if _may_hold(partition, wanted)]
    # A day at a time, because the first page of a log of months needs the last day only.
    for _, of_day in groupby(reversed(partitions), key=attrgetter("day")):
        most = wanted.limit + 1 - len(rows)
        files = {partition.version: store.files(partition) for partition in of_day}
        newest = f"WHERE {conditions} ORDER BY time DESC, job_id DESC, row DESC LIMIT {most}"
        parts = [shown_rows(database, version, paths, newest) for version, paths in files.items() if paths]
        if parts:
            query = f"{' UNION ALL BY NAME '.join(parts)} ORDER BY micros DESC, job_id DESC, row DESC LIMIT {most}"
            found = database.execute(query, values * len(parts))
            names = [name for name, *_ in found.description or ()]
            rows += [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        if len(rows) > wanted.limit:
            break
    return rows


def _may_hold(partition: Partition, wanted: Observation) -> bool:
    if wanted.version is not None and partition.version != wanted.version:
        return False
    cursor = Cursor.read(wanted.cursor).day if wanted.cursor is not None else None
    bounds = (bound[:10] for bound in (wanted.until, cursor) if bound is not None)
    after = wanted.since is None or partition.day >= wanted.since[:10]
    return after and all(partition.day <= bound for bound in bounds)


def _as_parquet(database: DuckDBPyConnection, store: LogStore, items: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a Parquet file in base64."""
    lines, file = store.draft / "page.ndjson", store.draft / "page.parquet"
    lines.write_text("".join(json.dumps(item) + "\n" for item in items))
    try:
        read = f"SELECT * FROM read_json({literal(str(lines))}, format = 'newline_delimited')"
        database.execute(written(read, file))
        return base64.b64encode(file.read_bytes()).decode()
    finally:
        lines.unlink()
        file.unlink(missing_ok=True)


def _conditions(wanted: Observation) -> tuple[str, list[Any]]:
    conditions, values = ["true"], list[Any]()
    if wanted.version is None:
        conditions.append(f"alias IS DISTINCT FROM {literal(SHADOW_ALIAS)}")
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
    return " AND ".join(conditions), values


def shown_rows(database: DuckDBPyConnection, version: int, files: Sequence[Path], which: str = "") -> str:
    """Return the SQL of the rows of a version, in types that all versions share, with their time as `micros` since 1970
    and as the text `moment`. `which`: that of conditions, order and number."""
    nested = ", ".join(f"to_json({value})::VARCHAR AS {name}" for name, value in _nested(database, files).items())
    columns = f"{version} AS version, {', '.join(_PLAIN)}, {nested}"
    times = f"epoch_us(time) AS micros, {_iso('time')} AS moment"
    return f"(SELECT {columns}, {times} FROM (SELECT * FROM {parquet(files)} {which}))"


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
