"""The outcomes that users send: Parquet files beside the log, and the SQL that joins them with its rows.

    outcomes/model=loan/day=2026-11-27/<when they came>.parquet

An outcome is of the row `row` of the job `job_id`; or of the rows with the caller's `id` that were accepted before its
time (`moment`), or before it came. What comes again for the same is a correction: the newest counts, and the older ones
stay in the files. `owner` is null for an outcome of the rows of all owners.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from contract.work.observation import Observation
from observer.log.columns import literal
from observer.log.deletion import Deletion
from observer.log.store import LogStore, parquet, written

OUTCOMES = "outcomes"
SMALL, MOST_SMALL = 8 * 2**20, 16
"""Bytes of a file that is merged with others, and how many of these a model may have."""

_TYPES = {
    "id": "VARCHAR",
    "job_id": "VARCHAR",
    "row": "INTEGER",
    "moment": "TIMESTAMP WITH TIME ZONE",
    "outcome": "VARCHAR",
    "received": "BIGINT",
    "owner": "VARCHAR",
}
_NO_ROWS = "SELECT NULL::VARCHAR AS job_id, NULL::INTEGER AS row"
_DAY = "%Y-%m-%d"

_OF = "id, job_id, row, moment, owner"
"""What an outcome is of."""


class Outcomes:
    """The outcomes beside the log. Methods raise OSError and `duckdb.Error`."""

    def __init__(self, store: LogStore) -> None:
        self._store = store

    def files(self, model: str) -> list[Path]:
        """Return the files with the outcomes of a model."""
        return sorted((self._store.folder / OUTCOMES / f"model={model}").glob("day=*/*.parquet"))

    def models(self) -> list[str]:
        """Return the models with outcomes."""
        return [folder.name.removeprefix("model=") for folder in (self._store.folder / OUTCOMES).glob("model=*")]

    def add(self, asked: Observation) -> dict[str, int]:
        """Keep outcomes. Returns how many of them were `new`, `corrected` others, and `repeated` what is known."""
        store, lines = self._store, self._store.draft / "outcomes.ndjson"
        with store.database() as database:
            received = time.time_ns() // 1000
            day, file = datetime.fromtimestamp(received / 1_000_000, UTC).strftime(_DAY), f"{received}.parquet"
            sent = (_line(one, received + number, asked.owner) for number, one in enumerate(asked.outcomes or ()))
            try:
                lines.write_text("".join(json.dumps(line) + "\n" for line in sent))
                database.execute(f"CREATE TEMP TABLE sent AS {self._compared(asked.model, lines)}")
            finally:
                lines.unlink(missing_ok=True)
            counts = database.execute(
                "SELECT count(*) FILTER (before IS NULL), count(*) FILTER (before <> outcome),"
                " count(*) FILTER (before = outcome) FROM sent"
            ).fetchall()[0]
            if counts[0] or counts[1]:
                kept = f"SELECT {', '.join(_TYPES)} FROM sent WHERE before IS DISTINCT FROM outcome"
                database.execute(written(kept, store.draft / file))
                store.replace({file: f"{OUTCOMES}/model={asked.model}/day={day}/{file}"})
            database.execute("DROP TABLE sent")
        return dict(zip(("new", "corrected", "repeated"), counts, strict=True))

    def _compared(self, model: str, lines: Path) -> str:
        """Return the SQL of what was sent, each with the outcome `before` it of the same rows."""
        types = ", ".join(f"{name}: '{kind}'" for name, kind in _TYPES.items())
        sent = f"SELECT * FROM read_json({literal(str(lines))}, format = 'newline_delimited', columns = {{{types}}})"
        same = " AND ".join(f"known.{name} IS NOT DISTINCT FROM sent.{name}" for name in _OF.split(", "))
        files = self.files(model)
        known = f"UNION ALL SELECT known.*, false FROM {parquet(files)} known SEMI JOIN sent ON {same}" if files else ""
        return (
            f"WITH sent AS MATERIALIZED ({sent}), compared AS ("
            f"SELECT *, lag(outcome) OVER (PARTITION BY {_OF} ORDER BY received) AS before"
            f" FROM (SELECT *, true AS is_sent FROM sent {known})) SELECT * FROM compared WHERE is_sent"
        )

    def newest(self, model: str) -> str:
        """Return the SQL of the outcomes that count."""
        files = self.files(model)
        if not files:
            nulls = ", ".join(f"NULL::{kind} AS {name}" for name, kind in _TYPES.items())
            return f"(SELECT {nulls} WHERE false)"
        once = f"QUALIFY row_number() OVER (PARTITION BY {_OF} ORDER BY received DESC) = 1"
        return f"(SELECT * FROM {parquet(files)} {once})"

    def forget(self, deletion: Deletion) -> None:
        """Delete the outcomes of this id, and those of the rows with it, which must still be there."""
        store, moves, removes = self._store, dict[str, str](), list[str]()
        of = deletion.condition("received / 1e6")
        with store.database() as database:
            rows = [file for one in store.partitions(deletion.model) for file in store.files(one)]
            here = (
                f"SELECT DISTINCT job_id, row FROM {parquet(rows)} WHERE {deletion.condition()}"
                if rows
                else f"{_NO_ROWS} WHERE false"
            )
            database.execute(f"CREATE TEMP TABLE gone AS {here}")
            gone = f"(coalesce({of}, false) OR EXISTS (FROM gone WHERE gone.job_id = o.job_id AND gone.row = o.row))"
            for file in self.files(deletion.model):
                here = f"{parquet([file])} o"
                kept, all_ = (
                    database.execute(f"SELECT count(*) FROM {here} WHERE {which}").fetchall()[0][0]
                    for which in (f"NOT {gone}", "true")
                )
                if kept < all_:
                    removes.append(store.relative(file))
                if 0 < kept < all_:
                    name = f"{len(moves)}.parquet"
                    others = f"SELECT * FROM {here} WHERE NOT {gone}"
                    database.execute(written(others, store.draft / name))
                    moves[name] = store.renewed(file)
            database.execute("DROP TABLE gone")
            if removes:
                store.replace(moves, removes)

    def keep_order(self, keep_days: Callable[[str], int]) -> None:
        """Remove the days that a model does not keep, and merge the small files of a day."""
        now = datetime.now(UTC)
        for folder in sorted((self._store.folder / OUTCOMES).glob("model=*/day=*")):
            day, model = folder.name.removeprefix("day="), folder.parent.name.removeprefix("model=")
            with self._store.lock:  # no file is deleted between being listed and being merged
                files = sorted(folder.glob("*.parquet"))
                small = [file for file in files if file.stat().st_size < SMALL]
                if files and day < (now - timedelta(days=keep_days(model))).strftime(_DAY):
                    self._store.replace({}, map(self._store.relative, files))
                elif len(small) >= MOST_SMALL or (len(small) > 1 and day < now.strftime(_DAY)):
                    self._merge(small)

    def _merge(self, files: Sequence[Path]) -> None:
        store, first = self._store, files[0]
        with store.database() as database:
            database.execute(written(f"SELECT * FROM {parquet(files)}", store.draft / first.name))
            store.replace({first.name: store.renewed(first)}, map(store.relative, files))


def joined(rows: str, outcomes: str) -> str:
    """Return the SQL of `rows` (SQL with columns of the log) whose outcome is known, with it as `outcome`, and when it
    was `received` (microseconds since 1970; no two outcomes of a request came at the same time).

    An outcome of the very row counts before one of its id. Of those of an id the first counts that is of a time after
    the row; one without a time is of all rows before it came.
    """
    by_row = "r.job_id = o.job_id AND r.row = o.row"
    by_id = "r.id = o.id AND coalesce(o.moment, make_timestamptz(o.received)) >= r.time"
    of_owner = "(o.owner IS NULL OR o.owner = r.owner)"
    nearest = "QUALIFY row_number() OVER (PARTITION BY job_id, row ORDER BY rank, moment NULLS LAST, received DESC) = 1"
    pairs = [
        f"SELECT r.job_id, r.row, o.outcome, o.moment, o.received, {rank} AS rank FROM rows r JOIN outcomes o"
        f" ON {condition} AND {of_owner}"
        for rank, condition in enumerate((by_row, by_id))
    ]
    return (
        f"WITH rows AS MATERIALIZED ({rows}), outcomes AS MATERIALIZED (SELECT * FROM {outcomes}),"
        f" pairs AS (SELECT job_id, row, outcome, received FROM ({' UNION ALL '.join(pairs)}) {nearest})"
        " SELECT rows.*, pairs.outcome, pairs.received FROM rows JOIN pairs USING (job_id, row)"
    )


def unmatched(rows: str, outcomes: str) -> str:
    """Return the SQL of the number of outcomes that are of none of the rows."""
    of_owner = "(o.owner IS NULL OR o.owner = r.owner)"
    return (
        f"WITH rows AS MATERIALIZED ({rows}), outcomes AS MATERIALIZED (SELECT * FROM {outcomes}) SELECT"
        f" (SELECT count(*) FROM outcomes o ANTI JOIN rows r ON r.job_id = o.job_id AND r.row = o.row AND {of_owner}"
        " WHERE o.job_id IS NOT NULL) +"
        f" (SELECT count(*) FROM outcomes o ANTI JOIN rows r ON r.id = o.id AND {of_owner} WHERE o.id IS NOT NULL)"
    )


def _line(one: Mapping[str, Any], received: int, owner: str | None) -> dict[str, Any]:
    """Return a row of the file. The outcome is kept as JSON, which tells 1, "1" and true apart."""
    of_row = (
        {"job_id": one["job"], "row": one.get("row", 0)} if "job" in one else {"id": one["id"], "moment": one.get("at")}
    )
    return {**of_row, "outcome": json.dumps(one["outcome"]), "received": received, "owner": owner}


def values(outcomes: Iterable[str]) -> list[Any]:
    """Return outcomes as they were sent, from the column `outcome`."""
    parsed: list[Any] = json.loads(f"[{','.join(outcomes)}]")
    return parsed
