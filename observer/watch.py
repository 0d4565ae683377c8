"""Watches the rows that enter the log: one drift monitor for each version, whose state is a file of the log."""

from __future__ import annotations

import json
import logging
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection

from contract.model.manifest import DataProfile, ModelManifest
from contract.model.manifest_reader import read
from contract.model.signature import Kind, RowFormat, Signature
from observer.drift.alarm import Alarm, Column, DriftEvents, DriftMonitor, stream_columns
from observer.drift.bins import Counts, NumberBins
from observer.drift.saved import from_json, to_json
from observer.first_rows import FIRST_ROWS, profile_first_rows
from observer.log.columns import LogColumns, quoted
from observer.log.states import VersionKey, VersionStates
from observer.log.store import LogStore

log = logging.getLogger("observer")

FOLDER = "drift"
_MOST = 500
"""Monitors in memory. Each takes up to 3 MB for a thousand columns, and 50 KB for a dozen."""
_MOST_PAST = 50
"""Alarms of the history, the newest ones."""


@dataclass
class Watched:
    """The stream of one version, without the inputs `left_out`, since the first row that was logged so. `history`: its
    alarms, the newest first, as `health` shows them. `profile`: what its rows are compared with. Without one, `logged`
    is the number of rows so far, of which it will be made. Without `monitor` nothing is watched."""

    left_out: tuple[str, ...]
    history: list[dict[str, Any]]
    profile: DataProfile | None
    logged: int = 0
    monitor: DriftMonitor | None = None

    @property
    def alarms(self) -> list[Alarm]:
        return self.monitor.alarms() if self.monitor else []

    def note(self, events: DriftEvents, rows: int, at: datetime) -> None:
        """Write down which alarms have begun and ended after so many rows."""
        now = {"row": rows, "time": at.isoformat()}
        for alarm in events.recovered:
            self._end(alarm.column, now, is_output=alarm.is_output)
        begun = [
            {"column": alarm.column, "output": alarm.is_output, "raised": now, "ended": None} for alarm in events.raised
        ]
        self.history = [*begun, *self.history][:_MOST_PAST]

    def end_all(self, at: datetime) -> None:
        """Write down that what began has ended, because the stream begins anew."""
        for alarm in self.alarms:
            self._end(alarm.column, {"row": 0, "time": at.isoformat()}, is_output=alarm.is_output)

    def _end(self, column: str, now: Mapping[str, Any], *, is_output: bool) -> None:
        for past in self.history:
            if (past["column"], past["output"], past["ended"]) == (column, is_output, None):
                past["ended"] = now


class Watch:
    """The streams of all versions. `observe` and the change of the log that it belongs to succeed together, or the
    caller calls `forget`."""

    def __init__(self, store: LogStore, level: float) -> None:
        self.states = VersionStates(store, FOLDER)
        self._level = level
        self._watched: OrderedDict[VersionKey, Watched] = OrderedDict()
        self.changed = set(self.states.versions())
        """Those whose alarms may have changed since this was emptied; at first all, because a crash forgets it."""

    def forget(self) -> None:
        """Go on from the files: what was observed since is not part of the log."""
        self._watched.clear()

    def observe(self, database: DuckDBPyConnection, manifest: ModelManifest) -> Mapping[str, bytes]:
        """Add the rows of the table `records` to the stream of their version. Returns its file, by its path in the
        folder of the log; nothing for texts and records."""
        if manifest.signature.format is not RowFormat.TABLE:
            return {}
        groups = database.execute("SELECT DISTINCT coalesce(left_out, []) FROM records").fetchall()
        watched = None
        for (left_out,) in groups:
            rows = "SELECT * FROM records WHERE coalesce(left_out, []) = ?"
            database.execute(f"CREATE OR REPLACE TEMP TABLE watched AS {rows}", [left_out])
            watched = self._of(database, manifest, tuple(sorted(left_out)))
            if watched.monitor:
                _observe(database, manifest, watched, watched.monitor)
            database.execute("DROP TABLE watched")
        if watched is None:
            return {}
        key = manifest.name, manifest.version
        self.changed.add(key)
        first = None if manifest.profile or not watched.profile else asdict(watched.profile)
        state = {
            "left_out": watched.left_out,
            "history": watched.history,
            "profile": first,
            "logged": watched.logged,
            "monitor": watched.monitor and to_json(watched.monitor),
        }
        return {self.states.path(key): json.dumps(state).encode()}

    def remove(self, version: VersionKey) -> None:
        """Watch a version no longer."""
        self._watched.pop(version, None)
        self.states.remove(version)
        self.changed.add(version)

    def alarms(self, manifest: ModelManifest) -> tuple[list[Alarm], list[tuple[str, str | None]]]:
        """Return the alarms of a version, and when each of its history began and ended (RFC 3339; None: it goes on)."""
        watched = self._known(manifest)
        if watched is None:
            return [], []
        history = watched.history
        return watched.alarms, [(past["raised"]["time"], past["ended"] and past["ended"]["time"]) for past in history]

    def health(self, manifest: ModelManifest) -> dict[str, Any]:
        """Return what is known of the stream of a version: the rows that were watched, and its alarms."""
        watched = self._known(manifest)
        history = watched.history if watched else []
        if watched is None or watched.monitor is None:
            nothing: dict[str, Any] = {"rows": 0, "alarms": [], "watched": [], "profile": None, "history": history}
            return {**nothing, "reason": _unwatched(manifest, watched)}
        return {
            "rows": watched.monitor.processes.rows,
            "watched": [column.name for column in watched.monitor.columns],
            "alarms": [_shown(alarm) for alarm in watched.alarms],
            "profile": "training" if manifest.profile else "first_rows",
            "history": history,
            "reason": None,
        }

    def _of(self, database: DuckDBPyConnection, manifest: ModelManifest, left_out: tuple[str, ...]) -> Watched:
        """Return the stream that the table `watched` belongs to; a new one if other inputs are left out than before.
        Rows that are profiled leave the table."""
        watched = self._known(manifest)
        if watched is None or watched.left_out != left_out:
            if watched is not None:
                watched.end_all(datetime.now(UTC))
            watched = Watched(left_out, watched.history if watched else [], manifest.profile)
            self._keep(manifest, watched)
        if watched.profile is None:
            watched.logged += _rows(database)
            if watched.logged >= FIRST_ROWS:
                watched.profile, watched.logged = profile_first_rows(self.states.store, database, manifest, left_out)
        if watched.monitor is None and watched.profile is not None:
            columns = _columns(manifest.signature, watched.profile, left_out)
            watched.monitor = DriftMonitor(columns, self._level) if columns else None
        return watched

    def _known(self, manifest: ModelManifest) -> Watched | None:
        key = manifest.name, manifest.version
        if key in self._watched:
            self._watched.move_to_end(key)
            return self._watched[key]
        saved = self.states.read(key)
        if saved is None:
            return None
        profile = manifest.profile or (saved["profile"] and read(saved["profile"], DataProfile))
        watched = Watched(tuple(saved["left_out"]), saved["history"], profile, saved["logged"])
        if profile and saved["monitor"]:
            columns = _columns(manifest.signature, profile, watched.left_out)
            try:
                watched.monitor = from_json(columns, saved["monitor"], self._level)
            except ValueError as error:  # a release counts by other bins
                log.warning("%s@%d is watched anew: %s", *key, error)
                return None
        self._keep(manifest, watched)
        return watched

    def _keep(self, manifest: ModelManifest, watched: Watched) -> None:
        self._watched[manifest.name, manifest.version] = watched
        while len(self._watched) > _MOST:
            self._watched.popitem(last=False)


def _observe(database: DuckDBPyConnection, manifest: ModelManifest, watched: Watched, monitor: DriftMonitor) -> None:
    """Add the rows of the table `watched` to the stream."""
    logged = LogColumns.of(manifest.signature)
    counts = [_counts(database, column, name, logged) for column, name in _names(manifest, monitor.columns)]
    at = datetime.now(UTC)
    events = monitor.observe(counts, _rows(database), at)
    watched.note(events, monitor.processes.rows, at)
    for what, alarms, write in (("drifts", events.raised, log.warning), ("has recovered", events.recovered, log.info)):
        for alarm in alarms:
            write("%s@%d: %s %s", manifest.name, manifest.version, alarm.column, what)


def _rows(database: DuckDBPyConnection) -> int:
    (rows,) = database.execute("SELECT count(*) FROM watched").fetchall()[0]
    return int(rows)


def _columns(signature: Signature, profile: DataProfile, left_out: Sequence[str]) -> list[Column]:
    """Return the columns to watch. Times are none of them: they move by nature."""
    times = {field.name for field in signature.inputs if field.kind is Kind.DATETIME}
    columns = stream_columns(profile, signature)
    several = len(signature.outputs) > 1
    return [
        column
        for column in columns
        if (column.is_output and not several)
        or (not column.is_output and column.name not in times and column.name not in left_out)
    ]


def _names(manifest: ModelManifest, columns: Sequence[Column]) -> list[tuple[Column, str]]:
    """Return the columns, each with its SQL in a table of rows."""
    logged = LogColumns.of(manifest.signature).inputs or ()
    by_name = {field.name: name for field, (name, _) in zip(manifest.signature.inputs, logged, strict=True)}
    return [
        (column, "prediction" if column.is_output else f"inputs.{quoted(by_name[column.name])}") for column in columns
    ]


def _counts(database: DuckDBPyConnection, column: Column, value: str, logged: LogColumns) -> Counts:
    """Return how many rows of the table `watched` each bin of a column has."""
    if isinstance(column.bins, NumberBins):
        values: Any
        (values,) = database.execute(f"SELECT {value}::DOUBLE FROM watched").fetchnumpy().values()
        return column.bins.count(np.ma.filled(values.astype(np.float64), np.nan))
    words = Counter[Any]()
    for word, rows in database.execute(f"SELECT {value}, count(*) FROM watched GROUP BY ALL").fetchall():
        words[logged.read_prediction(word) if column.is_output else word] += rows
    return column.bins.count(words)


def _unwatched(manifest: ModelManifest, watched: Watched | None) -> str:
    if manifest.signature.format is not RowFormat.TABLE:
        return "rows of texts and records are not watched"
    if manifest.profile is None:
        logged = watched.logged if watched else 0
        wanted = f"later rows will be compared with its first {FIRST_ROWS:,}, and {logged:,} are logged"
        return f"nothing says what its training saw, so {wanted}"
    return "no row of this version was logged yet"


def _shown(alarm: Alarm) -> dict[str, Any]:
    """Return an alarm as JSON."""
    return {
        "column": alarm.column,
        "output": alarm.is_output,
        "since": {"row": alarm.since.row, "time": alarm.since.at.isoformat()},
        "raised": {"row": alarm.raised.row, "time": alarm.raised.at.isoformat()},
        "p_value": alarm.p_value,
        "sizes": alarm.sizes._asdict(),
        "rows": alarm.rows,
        "bins": [
            {"label": label, "training": before, "now": now}
            for label, before, now in zip(alarm.labels, alarm.training, alarm.stream, strict=True)
        ],
        "quartiles": {"training": alarm.before and list(alarm.before), "now": alarm.after and list(alarm.after)},
    }
