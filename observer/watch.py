"""Watches the rows that enter the log: one drift monitor for each version, whose state is a file of the log."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection

from contract.model.manifest import ModelManifest
from contract.model.signature import Kind
from observer.drift.alarm import Alarm, Column, DriftEvents, DriftMonitor, stream_columns
from observer.drift.bins import Counts, NumberBins
from observer.drift.saved import from_json, to_json
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
    alarms, the newest first, as `health` shows them."""

    monitor: DriftMonitor
    left_out: tuple[str, ...]
    history: list[dict[str, Any]]

    def note(self, events: DriftEvents, at: datetime) -> None:
        """Write down which alarms have begun and ended."""
        now = {"row": self.monitor.processes.rows, "time": at.isoformat()}
        for alarm in events.recovered:
            self._end(alarm.column, now, is_output=alarm.is_output)
        begun = [
            {"column": alarm.column, "output": alarm.is_output, "raised": now, "ended": None} for alarm in events.raised
        ]
        self.history = [*begun, *self.history][:_MOST_PAST]

    def end_all(self, at: datetime) -> None:
        """Write down that what began has ended, because the stream begins anew."""
        for alarm in self.monitor.alarms():
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
        folder of the log; nothing for a version without a profile."""
        groups = database.execute("SELECT DISTINCT coalesce(left_out, []) FROM records").fetchall()
        watched = None
        for (left_out,) in groups:
            watched = self._of(manifest, tuple(sorted(left_out)))
            if watched is None:
                return {}
            rows = "SELECT * FROM records WHERE coalesce(left_out, []) = ?"
            database.execute(f"CREATE OR REPLACE TEMP TABLE watched AS {rows}", [left_out])
            counts = [_counts(database, column, name) for column, name in _names(manifest, watched.monitor.columns)]
            (number,) = database.execute("SELECT count(*) FROM watched").fetchall()[0]
            at = datetime.now(UTC)
            events = watched.monitor.observe(counts, number, at)
            watched.note(events, at)
            for what, alarms in (("drifts", events.raised), ("has recovered", events.recovered)):
                for alarm in alarms:
                    log.warning("%s@%d: %s %s", manifest.name, manifest.version, alarm.column, what)
            database.execute("DROP TABLE watched")
        if watched is None:
            return {}
        self.changed.add((manifest.name, manifest.version))
        state = {"left_out": watched.left_out, "history": watched.history, "monitor": to_json(watched.monitor)}
        return {self.states.path((manifest.name, manifest.version)): json.dumps(state).encode()}

    def remove(self, version: VersionKey) -> None:
        """Watch a version no longer."""
        self._watched.pop(version, None)
        self.states.remove(version)
        self.changed.add(version)

    def alarms(self, manifest: ModelManifest) -> tuple[list[Alarm], str]:
        """Return the alarms of a version, and when they began to be these (RFC 3339); '' if there was none."""
        watched = self._known(manifest)
        if watched is None:
            return [], ""
        times = [(past["ended"] or past["raised"])["time"] for past in watched.history]
        return watched.monitor.alarms(), max(times, default="")

    def health(self, manifest: ModelManifest) -> dict[str, Any]:
        """Return what is known of the stream of a version: the rows that were watched, and its alarms."""
        watched = self._known(manifest)
        if watched is None:
            return {"rows": 0, "alarms": [], "watched": [], "history": [], "reason": _unwatched(manifest)}
        return {
            "rows": watched.monitor.processes.rows,
            "watched": [column.name for column in watched.monitor.columns],
            "alarms": [_shown(alarm) for alarm in watched.monitor.alarms()],
            "history": watched.history,
            "reason": None,
        }

    def _of(self, manifest: ModelManifest, left_out: tuple[str, ...]) -> Watched | None:
        """Return the stream; a new one if other inputs are left out than before."""
        watched = self._known(manifest)
        if watched is None or watched.left_out != left_out:
            columns = _columns(manifest, left_out)
            if not columns:
                return None
            history: list[dict[str, Any]] = []
            if watched is not None:
                watched.end_all(datetime.now(UTC))
                history = watched.history
            watched = Watched(DriftMonitor(columns, self._level), left_out, history)
            self._keep(manifest, watched)
        return watched

    def _known(self, manifest: ModelManifest) -> Watched | None:
        key = manifest.name, manifest.version
        if key in self._watched:
            self._watched.move_to_end(key)
            return self._watched[key]
        saved = self.states.read(key)
        if saved is None:
            return None
        left_out = tuple(saved["left_out"])
        try:
            monitor = from_json(_columns(manifest, left_out), saved["monitor"], self._level)
        except ValueError as error:  # a release counts by other bins
            log.warning("%s@%d is watched anew: %s", *key, error)
            return None
        watched = Watched(monitor, left_out, saved["history"])
        self._keep(manifest, watched)
        return watched

    def _keep(self, manifest: ModelManifest, watched: Watched) -> None:
        self._watched[manifest.name, manifest.version] = watched
        while len(self._watched) > _MOST:
            self._watched.popitem(last=False)


def _columns(manifest: ModelManifest, left_out: Sequence[str]) -> list[Column]:
    """Return the columns to watch. Times are none of them: they move by nature."""
    if manifest.profile is None:
        return []
    times = {field.name for field in manifest.signature.inputs if field.kind is Kind.DATETIME}
    columns = stream_columns(manifest.profile, manifest.signature)
    several = len(manifest.signature.outputs) > 1
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


def _counts(database: DuckDBPyConnection, column: Column, value: str) -> Counts:
    """Return how many rows of the table `watched` each bin of a column has."""
    if isinstance(column.bins, NumberBins):
        values: Any
        (values,) = database.execute(f"SELECT {value}::DOUBLE FROM watched").fetchnumpy().values()
        return column.bins.count(np.ma.filled(values.astype(np.float64), np.nan))
    words = database.execute(f"SELECT {value}, count(*) FROM watched GROUP BY ALL").fetchall()
    return column.bins.count(dict(words))


def _unwatched(manifest: ModelManifest) -> str:
    if manifest.profile is None:
        return "this version has no profile of its training rows; import it with a sample, or train it here"
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
