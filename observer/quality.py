"""Looks at outcomes as they come, and says when a version is worse than its report promised."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any

from scipy.special import ndtri

from contract.errors import ModelgateError
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.model.version_metrics import lower_is_better
from contract.wording import metric_in_words, number
from observer.log.states import VersionKey, VersionStates
from observer.log.store import LogStore
from observer.measuring import Measuring, promise_of
from observer.outcomes.intervals import Estimate, Z
from observer.outcomes.metrics import measure
from observer.outcomes.over_time import PromiseComparison

log = logging.getLogger("observer")

FOLDER = "quality"
WINDOWS = (250, 1_000, 4_000, 16_000, 64_000)
"""The newest rows with an outcome that a look compares with the report: few show a great change soon, and many a small
one at all."""
_NEW, _PART = 100, 200
"""A look needs so many new outcomes of the model, and this part of those that there are."""
_LEAST = 0.1
"""The part of the promised error by which it must be worse, at least: with many outcomes, a trifle is certain."""
_LEAST_SHARE = 0.01
_MOST_PAST = 50

Compared = Mapping[int, tuple[str, Estimate, PromiseComparison]]
"""The metric of the report and its name, in each window, beside what was promised."""


@dataclass
class Looked:
    """What the looks at a version have shown. `window` rows have shown that it is worse, and `finding` says so; 0 and
    '' if it is not. `history`: when it began and ended to be worse, the newest first."""

    looks: int = 0
    window: int = 0
    finding: str = ""
    changed_at: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)

    def take(self, compared: Compared, level: float, at: str) -> bool:
        """Take another look, at the time `at` (RFC 3339). Returns whether it shows that the version is worse, and none
        did before. `level`: the chance that any look is wrong about a version that keeps its promise."""
        self.looks += 1
        if self.window:
            window = self.window if self.window in compared else max(compared)
            if not _is_worse(*compared[window], 0.5):
                self.window, self.finding, self.changed_at = 0, "", at
                self.history[0]["ended"] = at
            return False
        of_look = level / 2 / (self.looks * (self.looks + 1)) / len(WINDOWS)
        for window, (name, now, promise) in compared.items():
            if _is_worse(name, now, promise) and _shortfall(name, now, promise, level / 2) > _quantile(of_look):
                text = f"{metric_in_words(name)} is {number(now.value)} on the newest {window:,} outcomes"
                text += f", and the report promised {number(promise.promised)}"
                self.window, self.finding, self.changed_at = window, text, at
                self.history = [{"finding": self.finding, "raised": at, "ended": None}, *self.history][:_MOST_PAST]
                return True
        return False


class QualityWatch:
    """All versions with outcomes. If a version is as good as on the test rows of its report, the chance that it is ever
    found to be worse is at most `level`, as far as the intervals of metrics hold. Half of it is spent once, on the
    bound below what the report promised; look k spends half / (k (k + 1)), a fifth of that on each window. Methods
    raise OSError and `duckdb.Error`."""

    def __init__(self, store: LogStore, measuring: Measuring, repository: Repository, level: float) -> None:
        self.states = VersionStates(store, FOLDER)
        self._measuring = measuring
        self._repository = repository
        self._level = level
        self._waiting = Counter(dict.fromkeys(measuring.outcomes.models(), _NEW))
        self._seen: Counter[str] = Counter()
        self.changed = set(self.states.versions())
        """Those of which something else may be said since this was emptied; at first all."""

    def note(self, model: str, outcomes: int) -> None:
        """Note that as many outcomes have come."""
        self._waiting[model] += outcomes

    def look(self) -> None:
        """Look at the models of which enough outcomes have come since the last look."""
        for model, waiting in list(self._waiting.items()):
            if waiting < max(_NEW, self._seen[model] // _PART):
                continue
            self._seen[model] = 0
            for version in sorted({partition.version for partition in self.states.store.partitions(model)}):
                self._look(model, version)
            self._waiting[model] -= waiting

    def of(self, version: VersionKey) -> Looked:
        """Return what the looks at a version have shown."""
        return Looked(**(self.states.read(version) or {}))

    def remove(self, version: VersionKey) -> None:
        """Forget a version."""
        self.states.remove(version)
        self.changed.add(version)

    def _look(self, model: str, version: int) -> None:
        try:
            manifest = self._repository.manifest(model, version)
            facts = self._repository.files(model, version).report_facts() or {}
        except ModelgateError:
            return
        compared = self._compare(manifest, facts)
        if not compared:
            return
        looked = self.of((model, version))
        if looked.take(compared, self._level, datetime.now(UTC).isoformat()):
            log.warning("%s@%d: %s", model, version, looked.finding)
        self.states.write((model, version), asdict(looked))
        self.changed.add((model, version))

    def _compare(self, manifest: ModelManifest, facts: Mapping[str, Any]) -> Compared:
        """Return the metric of the report in each window, the smallest first, beside what was promised."""
        found = self._measuring.newest(manifest, facts, WINDOWS[-1])
        if found is None:
            return {}
        rows, focus, total = found
        self._seen[manifest.name] += total
        compared = {}
        for window in WINDOWS:
            if window <= len(rows):
                now = measure(rows.take(slice(window)), focus)
                if promise := promise_of(now, focus.headline, manifest, facts):
                    compared[window] = (focus.headline, now.estimates[focus.headline], promise)
        return compared


def _is_worse(name: str, now: Estimate, promise: PromiseComparison, part: float = 1.0) -> bool:
    """Return whether a metric is worse than promised by this part of the least difference that counts."""
    if lower_is_better(name):
        return now.value - promise.promised >= part * _LEAST * promise.promised
    return promise.promised - now.value >= part * max(_LEAST_SHARE, _LEAST * (1 - promise.promised))


def _shortfall(name: str, now: Estimate, promise: PromiseComparison, level: float) -> float:
    """Return by how many standard errors a metric is worse than the worst that the report may have promised, whose
    chance is `level`."""
    allowed = _quantile(level) / Z
    if lower_is_better(name):
        difference, half = (
            now.value - promise.promised - allowed * (promise.high - promise.promised),
            now.value - now.low,
        )
    else:
        difference, half = (
            promise.promised - allowed * (promise.promised - promise.low) - now.value,
            now.high - now.value,
        )
    return difference / half * Z if half else inf * difference


def _quantile(level: float) -> float:
    """Return the number of standard errors that are exceeded with this chance."""
    return float(-ndtri(level))
