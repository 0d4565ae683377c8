"""How good the answers of a version were, as far as their outcomes are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection

from contract.model.manifest import ModelManifest
from contract.model.signature import Kind, RowFormat, Signature
from observer.estimated import estimated_accuracy, estimated_roc_auc
from observer.log.columns import LogColumns, literal, quoted
from observer.log.outcomes import Outcomes, joined, unmatched, values
from observer.log.store import ONCE, LogStore, parquet
from observer.outcomes.calibration import calibration
from observer.outcomes.joined_rows import JoinedRows, ReadRows, read_labels, read_rows
from observer.outcomes.metrics import Focus, Measured, NotMeasured, measure
from observer.outcomes.over_time import PromiseComparison, choose_period, compare_with_promise, over_time
from observer.outcomes.slices import Column, Slice, worst_slices

MOST_ROWS = 1_000_000
"""Rows with an outcome that are looked at, the newest ones."""
MOST_UNREAD = 10
"""Texts that are named of outcomes that are no label or no number."""
_MOST_WORDS = 10_000
"""A column with more values has no slices: each would have few rows."""


@dataclass(frozen=True)
class Measuring:
    """Answers of the versions of a model beside what came true. Methods raise OSError and `duckdb.Error`."""

    store: LogStore
    outcomes: Outcomes

    def measure(self, manifest: ModelManifest, facts: Mapping[str, Any], owner: str | None) -> dict[str, Any]:
        """Return the metrics of a version, of the rows of `owner` (None: of all). `facts`: those of its report."""
        signature = manifest.signature
        if len(signature.outputs) != 1:
            return {"predictions": 0, "outcomes": 0, "reason": "answers of several outputs are not measured"}
        with self.store.database() as database:
            of_all, mine = self._rows(manifest.name, None, owner), self._rows(manifest.name, manifest.version, owner)
            if mine is None or of_all is None:
                return {"predictions": 0, "outcomes": 0, "reason": "nothing is logged of this version"}
            newest = self.outcomes.newest(manifest.name)
            order = f"ORDER BY time DESC LIMIT {MOST_ROWS}"
            database.execute(f"CREATE TEMP TABLE joined AS SELECT * FROM ({joined(mine, newest)}) {order}")
            try:
                times = read_column(database, f"SELECT time::TIMESTAMP AS value FROM ({mine})")
                estimated = _estimated(database, mine, facts)
                unknown = database.execute(unmatched(of_all, newest)).fetchall()[0][0]
                read, kept_times = read_joined(database, signature)
                columns = [
                    Column(column.name, column.values[read.positions], column.words)
                    for column in _inputs(database, signature)
                    if column.words is None or len(column.words) <= _MOST_WORDS
                ]
            finally:
                database.execute("DROP TABLE joined")
        seen = {"predictions": len(times), "unknown": unknown, "estimated": estimated}
        focus = _focus(read.rows, facts)
        now = measure(read.rows, focus)
        course = _course(read.rows, kept_times, times, focus)
        slices = worst_slices(read.rows, columns, focus)
        promise = promise_of(now, focus.headline, manifest, facts)
        return {
            **seen,
            **_counted(read),
            "headline": focus.headline,
            **_metrics(now),
            "promise": promise and {"metric": focus.headline, **asdict(promise)},
            **course,
            "slices": [_slice(one) for one in slices],
            "calibration": _calibration(read.rows, focus),
        }

    def newest(
        self, manifest: ModelManifest, facts: Mapping[str, Any], most: int
    ) -> tuple[JoinedRows, Focus, int] | None:
        """Return the newest rows of a version whose outcome is known, at most `most`, the newest first; what to look
        at; and how many there are in all. None if nothing is logged, or answers have several outputs."""
        mine = self._rows(manifest.name, manifest.version, None, "prediction, probabilities")
        if mine is None or len(manifest.signature.outputs) != 1:
            return None
        with self.store.database() as database:
            known = joined(mine, self.outcomes.newest(manifest.name))
            database.execute(f"CREATE TEMP TABLE known AS {known}")
            try:
                (total,) = database.execute("SELECT count(*) FROM known").fetchall()[0]
                database.execute(f"CREATE TEMP TABLE joined AS FROM known ORDER BY time DESC LIMIT {most}")
                read, _ = read_joined(database, manifest.signature)
            finally:
                database.execute("DROP TABLE known")
                database.execute("DROP TABLE IF EXISTS joined")
        return read.rows, _focus(read.rows, facts), total

    def _rows(
        self, model: str, version: int | None, owner: str | None, answers: str = "inputs, prediction, probabilities"
    ) -> str | None:
        """Return the SQL of the rows of a version, or of the names of the rows of all versions; None without files."""
        partitions = [one for one in self.store.partitions(model) if version in (None, one.version)]
        files = [file for one in partitions for file in self.store.files(one)]
        if not files:
            return None
        columns = "time, job_id, row, id, owner" + (f", {answers}" if version else "")
        mine = "true" if owner is None else f"owner = {literal(owner)}"
        return f"SELECT {columns} FROM {parquet(files)} WHERE {mine} {ONCE}"


def read_column(database: DuckDBPyConnection, query: str) -> Any:
    """Return the column `value`, with NaN for nulls of numbers and None for those of others."""
    column = database.execute(query).fetchnumpy()["value"]
    return column.filled(np.nan if column.dtype.kind == "f" else None) if np.ma.isMaskedArray(column) else column


def _focus(rows: JoinedRows, facts: Mapping[str, Any]) -> Focus:
    """Return what to look at: the metric of the report first, if it names one."""
    focus = Focus.of(rows)
    return replace(focus, headline=facts["headline"]) if isinstance(facts.get("headline"), str) else focus


def read_joined(database: DuckDBPyConnection, signature: Signature) -> tuple[ReadRows, Any]:
    """Return the rows of the table `joined` that can be measured, and their times."""
    outcomes = values(read_column(database, "SELECT outcome AS value FROM joined").tolist())
    if LogColumns.of(signature).prediction == "JSON":
        predictions = values(read_column(database, "SELECT prediction::VARCHAR AS value FROM joined").tolist())
    else:
        predictions = read_column(database, "SELECT prediction AS value FROM joined").tolist()
    table = _probabilities(database, signature, predictions)
    read = read_rows(outcomes, predictions, table, signature.output)
    times = read_column(database, "SELECT time::TIMESTAMP AS value FROM joined")
    return read, times[read.positions]


def _probabilities(database: DuckDBPyConnection, signature: Signature, predictions: Sequence[Any]) -> Any:
    """Return the probabilities (rows × labels), or None if there are none."""
    keys = database.execute("SELECT DISTINCT unnest(map_keys(probabilities)) FROM joined").fetchall()
    labels = signature.output.shown_labels or tuple(sorted(set(predictions), key=str))
    codes, _ = read_labels([key for (key,) in keys], labels)
    if sorted(codes) != list(range(len(labels))):
        return None
    table = np.empty((len(predictions), len(labels)))
    for (key,), code in zip(keys, codes, strict=True):
        query = f"SELECT map_extract(probabilities, {literal(key)})[1] AS value FROM joined"
        table[:, code] = read_column(database, query)
    return table


def _inputs(database: DuckDBPyConnection, signature: Signature) -> list[Column]:
    """Return the inputs of the table `joined`. Times move by nature, and texts differ: they are none of them."""
    columns = []
    named = LogColumns.of(signature).inputs if signature.format is RowFormat.TABLE else None
    for field, (name, _) in zip(signature.inputs, named or (), strict=named is not None):
        value = f"inputs.{quoted(name)}"
        if field.kind is Kind.STRING:
            codes = f"if({value} IS NULL, -1, dense_rank() OVER (ORDER BY {value} NULLS LAST) - 1)::INTEGER"
            words = database.execute(f"SELECT DISTINCT {value} AS word FROM joined ORDER BY word NULLS LAST").fetchall()
            known = [word for (word,) in words if word is not None]
            # In the order of the table, as the other columns are.
            query = f"SELECT value FROM (SELECT {codes} AS value, rowid AS place FROM joined) ORDER BY place"
            columns.append(Column(field.name, read_column(database, query), known))
        elif field.kind is not Kind.DATETIME:
            columns.append(Column(field.name, read_column(database, f"SELECT {value}::DOUBLE AS value FROM joined")))
    return columns


def _estimated(database: DuckDBPyConnection, rows: str, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the probabilities of the newest rows say about the metrics of a classifier, known outcomes or not;
    None without probabilities."""
    answered = "coalesce(map_extract(probabilities, prediction::VARCHAR)[1], list_max(map_values(probabilities)))"
    newest = f"({rows}) WHERE cardinality(probabilities) > 0 ORDER BY time DESC LIMIT {MOST_ROWS}"
    right = _finite(read_column(database, f"SELECT {answered} AS value FROM {newest}"))
    error = _calibration_error(facts)
    found = {"accuracy": estimated_accuracy(right, calibration_error=error)}
    labels = f"SELECT DISTINCT unnest(map_keys(probabilities)) FROM (SELECT * FROM {newest})"
    if len(keys := database.execute(labels).fetchall()) == 2:  # the area is the same for either label
        positive = f"SELECT map_extract(probabilities, {literal(keys[0][0])})[1] AS value FROM {newest}"
        found["roc_auc"] = estimated_roc_auc(_finite(read_column(database, positive)), calibration_error=error)
    return {name: asdict(one) for name, one in found.items() if one is not None} or None


def _finite(column: Any) -> Any:
    return column[np.isfinite(column)] if column.dtype.kind == "f" else np.empty(0)


def _calibration_error(facts: Mapping[str, Any]) -> float:
    """Return by how much probabilities and shares differ in the report; 0 if it does not say."""
    value: Any = facts
    for name in ("answers", "calibration", "gap"):
        value = value.get(name) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else 0.0


def _counted(read: ReadRows) -> dict[str, Any]:
    unread = sorted(read.unknown.items(), key=lambda entry: -entry[1])
    return {"outcomes": len(read.rows), "unread": dict(unread[:MOST_UNREAD]), "unusable": read.unusable}


def _course(rows: JoinedRows, times: Any, prediction_times: Any, focus: Focus) -> dict[str, Any]:
    """Return the metrics of each period. `times` are those of the rows, `prediction_times` those of all predictions."""
    period = choose_period(times)
    return {
        "period": period,
        "periods": [
            {
                "start": f"{np.datetime_as_string(one.start, 's')}Z",
                "predictions": one.predictions,
                "outcomes": one.outcomes,
                **_metrics(one.measured),
            }
            for one in over_time(rows, times, prediction_times, period, focus)
        ],
    }


def _metrics(measured: Measured) -> dict[str, Any]:
    estimates = measured.estimates.items()
    return {
        "metrics": {
            name: {"value": one.value, "low": one.low, "high": one.high, "outcomes": one.count}
            for name, one in estimates
        },
        "not_measured": dict(measured.missing),
    }


def _slice(one: Slice) -> dict[str, Any]:
    return {
        "name": one.name,
        "outcomes": one.rows,
        "loss": one.loss,
        "elsewhere": one.elsewhere,
        "p_value": one.p_value,
        **_metrics(one.measured),
    }


def _calibration(rows: JoinedRows, focus: Focus) -> dict[str, Any] | None:
    try:
        found = asdict(calibration(rows, focus))
    except NotMeasured:
        return None
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in found.items()}


def promise_of(now: Measured, name: str, manifest: ModelManifest, facts: Mapping[str, Any]) -> PromiseComparison | None:
    """Return the comparison with the metric of the report; None if it does not say on how many rows it was measured."""
    tested = facts.get("tested")
    rows = tested.get("rows") if isinstance(tested, Mapping) else None
    promised = manifest.metrics.get(name)
    if promised is None or name not in now.estimates or type(rows) is not int or rows < 1:
        return None
    return compare_with_promise(name, now.estimates[name], promised, rows)
