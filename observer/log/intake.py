"""Takes records from the stream into the log."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Protocol

import duckdb
from duckdb import DuckDBPyConnection

from broker.sides.observer import BEGINNING, Fate, LogEntry, LogStream
from contract.errors import ModelgateError
from contract.model.manifest import ModelManifest
from contract.model.repository import RepositoryWithRemoved, valid_name
from contract.retention import DAY, Retention
from observer.log.columns import LogColumns, literal, summaries_in
from observer.log.deletion import Deletions
from observer.log.store import PREDICTIONS, Change, LogStore, Partition, written

log = logging.getLogger("observer")

LARGEST = 32 * 2**20
"""Bytes of records that are taken at once, about."""

MUCH = 8 * 2**20
"""Bytes of records after which more may come than there is room for."""

_ENTRIES = 64
"""Entries of one round trip."""

_DISK_FULL = "failed to offload"
"""What DuckDB says if its memory is not enough, and the disk has no room for the rest."""

_DAY = "strftime(time, '%Y-%m-%d')"


@dataclass
class _Taken:
    """Records that were read: the position after them, their bytes, and their lines by version."""

    position: str
    size: int = 0
    lines: defaultdict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))

    def add(self, entry: LogEntry) -> None:
        self.position = entry.position
        self.size += entry.size
        self.lines[entry.version] += entry.records


class RowWatch(Protocol):
    """Watches what enters the log."""

    def observe(self, database: DuckDBPyConnection, manifest: ModelManifest) -> Mapping[str, bytes]:
        """Look at the rows of the table `records`, and at what the shadow scorer says of them, as JSON in the column
        `summary` of the table `summaries`. Returns files that become a part of the log with them, by path."""

    def forget(self) -> None:
        """Forget what was observed since the last change of the log."""


@dataclass
class Intake:
    """Moves records from `stream` into `store`. Killed at any moment, it or the next one goes on where the store says.
    Methods raise OSError, `duckdb.Error` for a disk that is full, and `RedisError`."""

    stream: LogStream
    store: LogStore
    repository: RepositoryWithRemoved
    deletions: Deletions
    watch: RowWatch
    shadows: RowWatch

    def run(self) -> bool:
        """Take what waits, and return whether that was much."""
        size = 0
        with self.store.lock:
            self.store.settle()
            self._forget()
            full = True
            while full:
                taken = self._read()
                full = taken.size >= LARGEST
                size += taken.size
                if taken.position != self.store.last.position:
                    try:
                        self.store.change(self._change(taken))
                    except BaseException:
                        for watch in (self.watch, self.shadows):
                            watch.forget()
                        raise
                    self._forget()
        return size >= MUCH

    def _read(self) -> _Taken:
        taken = _Taken(self.store.last.position)
        while taken.size < LARGEST and (entries := self.stream.read(taken.position, _ENTRIES)):
            for entry in entries:
                taken.add(entry)
        return taken

    def _change(self, taken: _Taken) -> Change:
        """Write files of what was taken, and return the change that adds them to the log."""
        change = Change(taken.position, taken.size)
        for version, lines in taken.lines.items():
            model, _, number = version.partition("@")
            manifest, dropped = self._manifest(model, number), len(lines)
            if manifest is not None:
                moves, rows = dict(change.moves), list(change.rows)
                with self.store.database() as database:
                    try:
                        dropped = self._add(database, change, manifest, lines)
                    except duckdb.OutOfMemoryException as error:  # of thousands of inputs
                        if _DISK_FULL in str(error):  # these rows fit once there is room
                            raise
                        change.moves, change.rows = moves, rows
                        for path in self.store.draft.iterdir():  # they may be about people whose rows are deleted later
                            if path.name not in moves and path.is_file():
                                path.unlink()
                        log.warning("%s has too many inputs for the log: %s", version, error)
            if dropped:
                log.warning("%d records of %s cannot be read, and are dropped", dropped, version)
                change.rows.append((model, Fate.UNREADABLE, dropped))
        return change

    def _add(
        self, database: DuckDBPyConnection, change: Change, manifest: ModelManifest, lines: Sequence[bytes]
    ) -> int:
        """Write files of what was taken of a version, and return how many records cannot be read."""
        columns = LogColumns.of(manifest.signature)
        records = _Records(database, self.store.draft / "records.ndjson", columns)
        records.insert(lines)
        dropped = records.unreadable + records.drop_impossible_times()
        records.forget(self.deletions.condition(manifest.name))
        for day, rows in records.days():
            name = f"{len(change.moves)}.parquet"
            target = Partition(manifest.name, manifest.version, day).path
            records.write(day, self.store.draft / name)
            change.moves[name] = f"{PREDICTIONS}/{target}/{change.position}.parquet"
            change.rows.append((manifest.name, Fate.KEPT, rows))
        observed = (watch.observe(database, manifest) for watch in (self.watch, self.shadows))
        for path, data in chain.from_iterable(files.items() for files in observed):
            name = f"{len(change.moves)}.json"
            (self.store.draft / name).write_bytes(data)
            change.moves[name] = path
        records.close()
        return dropped

    def _manifest(self, model: str, version: str) -> ModelManifest | None:
        """Return the manifest of a version, or None if it is unknown."""
        try:
            if valid_name(model) and version.isascii() and version.isdigit():
                return self.repository.manifest(model, int(version))
        except ModelgateError as error:
            log.warning("what is logged of %s@%s is dropped: %s", model, version, error)
        return None

    def _forget(self) -> None:
        """Have the stream forget what the log has. Repeated after a crash, it forgets and counts nothing twice."""
        last = self.store.last
        if last.position != BEGINNING:
            rows = Counter[tuple[str, Fate]]()
            for model, fate, count in last.rows:
                rows[model, Fate(fate)] += count
            self.stream.forget(last.position, last.size, rows)


class _Records:
    """Records of one version, as the rows of the table `records` of `database`, and their summaries, if they have any.
    `file` is where they are written for it to read."""

    def __init__(self, database: DuckDBPyConnection, file: Path, columns: LogColumns) -> None:
        self._database, self._file, self._columns = database, file, columns
        self.unreadable = 0
        file.write_bytes(b"")
        database.execute(f"CREATE OR REPLACE TEMP TABLE records AS {self._rows()}")
        database.execute("CREATE OR REPLACE TEMP TABLE summaries (summary VARCHAR)")

    def insert(self, lines: Sequence[bytes]) -> None:
        """Add the rows of these records, and their summaries."""
        self._insert_rows(lines)
        of_shadow = [line for line in lines if b'"shadow":' in line]
        if of_shadow:
            self._write(of_shadow)
            self._database.execute(f"INSERT INTO summaries {summaries_in(literal(str(self._file)))}")

    def _insert_rows(self, lines: Sequence[bytes]) -> None:
        """Add the rows of these records. If they cannot be read, halves are tried: a scorer runs code of others, and
        one record must not take others with it."""
        self._write(lines)
        try:
            self._database.execute(f"INSERT INTO records {self._rows()}")
        except (duckdb.DataError, duckdb.ProgrammingError):
            if len(lines) == 1:
                self.unreadable += 1
                return
            half = len(lines) // 2
            self._insert_rows(lines[:half])
            self._insert_rows(lines[half:])

    def _write(self, lines: Sequence[bytes]) -> None:
        self._file.write_bytes(b"\n".join(lines) + b"\n")

    def drop_impossible_times(self) -> int:
        """Drop the rows of jobs that cannot have waited as long, or are of tomorrow, and return how many these are."""
        oldest = f"now() - INTERVAL {Retention.unended_jobs + DAY} SECOND"
        return self.drop(f"time IS NULL OR NOT time BETWEEN {oldest} AND now() + INTERVAL 1 DAY")

    def drop(self, condition: str) -> int:
        """Drop the rows for which the SQL is true, and return how many these are."""
        (dropped,) = self._database.execute(f"DELETE FROM records WHERE {condition}").fetchall()[0]
        return int(dropped)

    def forget(self, condition: str) -> None:
        """Drop rows of people who were deleted, and the warnings of their requests, which may quote any of its rows."""
        requests = f"SELECT job_id FROM records WHERE {condition}"
        self._database.execute(f"UPDATE records SET warnings = [] WHERE job_id IN ({requests})")
        self.drop(condition)

    def days(self) -> list[tuple[str, int]]:
        """Return the days with rows, and their number of rows."""
        return self._database.execute(f"SELECT {_DAY} AS day, count(*) FROM records GROUP BY day").fetchall()

    def write(self, day: str, path: Path) -> None:
        """Write the rows of a day as Parquet."""
        self._database.execute(written(f"SELECT * FROM records WHERE {_DAY} = {literal(day)}", path))

    def close(self) -> None:
        """Leave nothing of the records behind: they may be about people whose rows are deleted later."""
        self._database.execute("DROP TABLE records")
        self._database.execute("DROP TABLE summaries")
        self._file.unlink()

    def _rows(self) -> str:
        return self._columns.select(literal(str(self._file)))
