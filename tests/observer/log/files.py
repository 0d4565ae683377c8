"""Makes files of the prediction log without a scorer, and reads them as other programs do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from broker.sides.observer import BEGINNING
from observer.log.columns import literal
from observer.log.store import PREDICTIONS, Change, LogStore, Partition, written
from tests.observer.conftest import TODAY


def days_ago(days: int) -> str:
    return (datetime.fromisoformat(TODAY) - timedelta(days=days)).strftime("%Y-%m-%d")


@contextmanager
def opened(folder: Path) -> Iterator[LogStore]:
    store = LogStore(folder, BEGINNING)
    try:
        yield store
    finally:
        store.close()


def add_file(
    store: LogStore,
    day: str,
    jobs: Sequence[str],
    *,
    model: str = "sum",
    identity: str = "k",
    owner: str | None = None,
    second: int = 0,
    text: str = "x",
) -> Path:
    """Add a file with a row for each of these jobs, as the intake does, and return its path."""
    number = int(store.last.position.partition("-")[0]) + 1
    position = f"{number:013}-0"
    rows = ", ".join(f"({literal(job)})" for job in jobs)
    of_owner = "NULL::VARCHAR" if owner is None else literal(owner)
    query = (
        f"SELECT '{day}T12:00:{second:02}Z'::TIMESTAMPTZ AS time, job_id, 0::INTEGER AS row, {literal(identity)} AS id,"
        f" NULL::VARCHAR AS request_id, 'current' AS alias, {of_owner} AS owner,"
        f" struct_pack(name := {literal(text)}) AS inputs, []::VARCHAR[] AS left_out, 1.0::DOUBLE AS prediction,"
        " NULL::MAP(VARCHAR, DOUBLE) AS probabilities, []::VARCHAR[] AS warnings, 0.5::DOUBLE AS milliseconds"
        f" FROM (VALUES {rows}) AS jobs(job_id)"
    )
    target = f"{PREDICTIONS}/{Partition(model, 1, day).path}/{position}.parquet"
    with store.database() as database:
        database.execute(written(query, store.draft / "0.parquet"))
        store.change(Change(position, moves={"0.parquet": target}))
    return store.folder / target


def jobs_in(folder: Path) -> list[str]:
    """Return the job of each row in the files, sorted."""
    files = [str(path) for path in (folder / PREDICTIONS).rglob("*.parquet")]
    if not files:
        return []
    with duckdb.connect() as database:
        rows = database.execute("SELECT job_id FROM read_parquet(?) ORDER BY job_id", [files]).fetchall()
    return [job for (job,) in rows]


def files_with(folder: Path, text: str) -> list[str]:
    """Return the files below `folder` that have this text, compressed or not."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = {path.name for path in files if text.encode() in path.read_bytes() or text in path.name}
    with duckdb.connect() as database:
        for path in files:
            if path.read_bytes()[:4] == b"PAR1":
                rows = database.execute("SELECT to_json(log) FROM read_parquet(?) AS log", [str(path)]).fetchall()
                found |= {path.name for row in rows if text in str(row)}
    return sorted(found)
