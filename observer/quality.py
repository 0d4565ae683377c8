"""Looks at outcomes as they come, and says when a version is worse than its report promised."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from contract.errors import ModelgateError
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.model.version_metrics import lower_is_better
from observer.log.states import VersionKey, VersionStates
from observer.log.store import LogStore
from observer.measuring import Measuring, promise_of
from observer.outcomes.metrics import measure
from observer.outcomes.over_time import PromiseComparison

log = logging.getLogger("observer")

FOLDER = "quality"
WINDOWS = (250, 1_000, 4_000, 16_000, 64_000)
"""The newest rows with an outcome that a look compares with the report: few show a great change soon, and many a small
one at all."""
_NEW, _PART = 50, 50
"""A look needs so many new outcomes of the model, and this part of those that there are."""
_LEAST = 0.1
"""The part of the promised error by which it must be worse, at least: with many outcomes, a trifle is certain."""
_LEAST_SHARE = 0.01
_MOST_PAST = 50


@dataclass
class Looked:
    """What the looks at a version have shown. `window` rows have shown that it is worse, and `finding` says so; 0 and
    '' if it is not. `history`: when it began and ended to be worse, the newest first."""

    looks: int = 0
    window: int = 0
    finding: str = ""
    changed_at: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)


class QualityWatch:
    """All versions with outcomes. If a version is as good as its report promised, the chance that it is ever found to
    be worse is at most `level`, as far as the intervals of metrics hold: look k spends level / (k (k + 1)) of it, a
    fifth of that on each window. Methods raise OSError and `duckdb.Error`."""

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
            self._waiting[model] = self._seen[model] = 0
            for version in sorted({partition.version for partition in self.states.store.partitions(model)}):
                self._look(model, version)

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
        looked.looks += 1
        at = datetime.now(UTC).isoformat()
        if looked.window:
            window = looked.window if looked.window in compared else max(compared)
            if not _is_worse(*compared[window], 0.5):
                looked.window, looked.finding, looked.changed_at = 0, "", at
                looked.history[0]["ended"] = at
        else:
            level = self._level / (looked.looks * (looked.looks + 1)) / len(WINDOWS)
            for window, (name, value, promise) in compared.items():
                if promise.p_value < level and _is_worse(name, value, promise):
                    looked.window, looked.changed_at = window, at
                    looked.finding = f"{name} is {value:.3g} on the newest {window:,} outcomes, and the report promised"
                    looked.finding += f" {promise.promised:.3g}"
                    looked.history = [{"finding": looked.finding, "raised": at, "ended": None}, *looked.history]
                    log.warning("%s@%d: %s", model, version, looked.finding)
                    break
        looked.history = looked.history[:_MOST_PAST]
        self.states.write((model, version), asdict(looked))
        self.changed.add((model, version))

    def _compare(
        self, manifest: ModelManifest, facts: Mapping[str, Any]
    ) -> dict[int, tuple[str, float, PromiseComparison]]:
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
                    compared[window] = (focus.headline, now.estimates[focus.headline].value, promise)
        return compared


def _is_worse(name: str, value: float, promise: PromiseComparison, part: float = 1.0) -> bool:
    """Return whether a metric is worse than promised by this part of the least difference that counts."""
    if lower_is_better(name):
        return value - promise.promised >= part * _LEAST * promise.promised
    return promise.promised - value >= part * max(_LEAST_SHARE, _LEAST * (1 - promise.promised))
