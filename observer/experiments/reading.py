"""Reads what the log has of both versions of an experiment."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np
from duckdb import DuckDBPyConnection

from contract.model.experiments import SHADOW_ALIAS, Experiment, ExperimentKind
from contract.model.manifest import ModelManifest
from contract.model.repository import CURRENT
from observer.experiments.losses import losses_of, readable_outcomes
from observer.experiments.pairing import Losses, Pairs, of_other_rows, of_same_rows
from observer.log.columns import literal
from observer.log.outcomes import Outcomes, joined, values
from observer.log.store import ONCE, LogStore, parquet
from observer.measuring import read_column, read_joined

_IS_CURRENT, _IS_SHADOW = f"alias = {literal(CURRENT)}", f"alias = {literal(SHADOW_ALIAS)}"
_IS_ANSWER = f"({_IS_SHADOW}) IS NOT TRUE"
_COLUMNS = {
    "time": "TIMESTAMPTZ",
    **dict.fromkeys(("job_id", "id", "owner", "prediction"), "VARCHAR"),
    "row": "INTEGER",
    "probabilities": "MAP(VARCHAR, DOUBLE)",
    "milliseconds": "DOUBLE",
}


class Versions(NamedTuple):
    """The manifests of the versions of an experiment."""

    baseline: ModelManifest
    candidate: ModelManifest


class Known(NamedTuple):
    """The losses whose outcomes are known; how many outcomes are of no label and no number of either version; and
    whether others are `waiting`, because they came in this second, of which more may come."""

    pairs: Pairs | None = None
    unread: int = 0
    waiting: bool = False


@dataclass(frozen=True)
class Answered:
    """What the versions of a canary have answered: the rows of both, those of the candidate `at_share` of now, and the
    milliseconds of their batches, in pairs."""

    baseline: int
    candidate: int
    at_share: int
    batches: Pairs


@dataclass(frozen=True)
class ExperimentRows:
    """The rows of experiments. Methods raise OSError and `duckdb.Error`. `clock`: seconds since 1970."""

    store: LogStore
    outcomes: Outcomes
    clock: Callable[[], float] = time.time

    def known(self, experiment: Experiment, versions: Versions, metric: str, largest: float) -> Known:
        """Return what is known of the losses by a metric, which are `largest` at most."""
        model, second = versions.candidate.name, int(self.clock()) * 1_000_000
        if not self.outcomes.files(model):
            return Known()
        losses, unread, waiting = [], [], False
        with self.store.database() as database:
            arms, newest = self._arms(experiment, versions), self.outcomes.newest(model)
            for manifest, rows in zip(versions, arms, strict=True):
                query = f"SELECT * FROM ({joined(rows, newest)}) ORDER BY job_id, row"
                database.execute(f"CREATE TEMP TABLE joined AS {query}")
                try:
                    outcomes = values(read_column(database, "SELECT outcome AS value FROM joined").tolist())
                    received = read_column(database, "SELECT received AS value FROM joined")
                    read, _ = read_joined(database, manifest.signature)
                finally:
                    database.execute("DROP TABLE joined")
                readable = readable_outcomes(outcomes, [one.signature.output for one in versions])
                unread.append(len(readable) - int(readable.sum()))
                fresh = received >= second
                waiting |= bool(fresh.any())
                of_version = losses_of(metric, read, readable, largest)
                losses.append(Losses(np.where(fresh, np.nan, of_version), received))
        current, candidate = losses
        if experiment.plan.kind is ExperimentKind.SHADOW:
            return Known(of_same_rows(current, candidate, largest), unread[0], waiting)
        return Known(of_other_rows(current, candidate, largest), sum(unread), waiting)

    def answered(self, experiment: Experiment, versions: Versions) -> Answered:
        """Return what the versions of a canary have answered."""
        with self.store.database() as database:
            arms = self._arms(experiment, versions)
            at_share = f"SELECT * FROM ({arms[1]}) WHERE time >= {literal(experiment.share_since)}::TIMESTAMPTZ"
            rows = [_count(database, of_version) for of_version in (*arms, at_share)]
            current, candidate = (_batches(database, of_version) for of_version in arms)
        return Answered(rows[0], rows[1], rows[2], of_other_rows(current, candidate, inf))

    def _arms(self, experiment: Experiment, versions: Versions) -> tuple[str, str]:
        """Return the SQL of the rows of the current version and of the candidate: the same rows in a shadow, those of
        callers in a canary."""
        is_shadow = experiment.plan.kind is ExperimentKind.SHADOW
        aliases = (_IS_ANSWER, _IS_SHADOW) if is_shadow else (_IS_CURRENT, _IS_CURRENT)
        current, candidate = (
            self._rows(manifest, alias, experiment.started_at)
            for manifest, alias in zip(versions, aliases, strict=True)
        )
        if is_shadow:
            return _of_both(current, candidate), _of_both(candidate, current)
        return current, candidate

    def _rows(self, manifest: ModelManifest, alias: str, since: str) -> str:
        files = [
            file
            for one in self.store.partitions(manifest.name)
            if one.version == manifest.version and one.day >= since[:10]
            for file in self.store.files(one)
        ]
        if not files:
            return f"SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in _COLUMNS.items())} WHERE false"
        where = f"WHERE {alias} AND time >= {literal(since)}::TIMESTAMPTZ"
        return f"SELECT {', '.join(_COLUMNS)} FROM {parquet(files)} {where} {ONCE}"


def _of_both(rows: str, others: str) -> str:
    return f"SELECT * FROM ({rows}) SEMI JOIN (SELECT job_id, row FROM ({others})) USING (job_id, row)"


def _count(database: DuckDBPyConnection, rows: str) -> int:
    (count,) = database.execute(f"SELECT count(*) FROM ({rows})").fetchall()[0]
    return int(count)


def _batches(database: DuckDBPyConnection, rows: str) -> Losses:
    """Return the milliseconds of each batch of rows, which share them, and when the first of them was accepted."""
    batches = (
        f"SELECT milliseconds, min(epoch_us(time)) AS at FROM ({rows}) WHERE milliseconds IS NOT NULL GROUP BY ALL"
    )
    columns = database.execute(batches).fetchnumpy()
    return Losses(np.asarray(columns["milliseconds"]), np.asarray(columns["at"]))
