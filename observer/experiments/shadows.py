"""Adds up what the shadow scorer says of its batches, as their records enter the log."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from duckdb import DuckDBPyConnection

from contract.model.experiments import ExperimentPlan
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from observer.experiments.betting import LimitTest
from observer.log.states import VersionKey, VersionStates
from observer.log.store import LogStore

log = logging.getLogger("observer")

FOLDER = "shadows"
_MEMBERS = ("rows", "failed", "dropped", "compared", "same", "distance", "milliseconds", "baseline_milliseconds")


@dataclass
class ShadowSums:
    """What is known of the shadow `experiment` (its id): the sums of what its batches say (`_MEMBERS`), the times those
    of the batches whose time is known for both versions (`timed`).

    A batch is one observation of each test, because its rows depend on each other: the share that `failed`, whether it
    was `slow`, the mean `distance` of its answers, and the share of them that are `alike`.
    """

    experiment: str
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys((*_MEMBERS, "timed"), 0.0))
    failed: LimitTest = LimitTest()
    slow: LimitTest = LimitTest()
    distance: LimitTest = LimitTest()
    alike: LimitTest = LimitTest()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ShadowSums:
        tests = {name: LimitTest(*data[name]) for name in ("failed", "slow", "distance", "alike")}
        return cls(data["experiment"], dict(data["sums"]), **tests)

    def add(self, batches: Sequence[Mapping[str, float]], plan: ExperimentPlan) -> None:
        """Add batches, as `_read` returns them."""
        limits = plan.limits
        compared = [batch for batch in batches if batch["compared"]]
        timed = [batch for batch in batches if batch["milliseconds"] and batch["baseline_milliseconds"]]
        for name in _MEMBERS:
            self.sums[name] += sum(batch[name] for batch in (timed if name.endswith("milliseconds") else batches))
        self.sums["timed"] += len(timed)
        self.failed = self.failed.after([batch["failed"] / batch["rows"] for batch in batches], limits.failures)
        slow = (batch["milliseconds"] > limits.slowdown * batch["baseline_milliseconds"] for batch in timed)
        self.slow = self.slow.after([float(one) for one in slow], 0.5)
        if limits.distance is not None:
            distances = [batch["distance"] / batch["compared"] for batch in compared]
            self.distance = self.distance.after(distances, limits.distance)
        if plan.agreement is not None:
            self.alike = self.alike.after([batch["same"] / batch["compared"] for batch in compared], plan.agreement)


class ShadowWatch:
    """The sums of all candidates, each a file of the log. `observe` and the change of the log that it belongs to
    succeed together, or the caller calls `forget`."""

    def __init__(self, store: LogStore, repository: Repository) -> None:
        self.states = VersionStates(store, FOLDER)
        self._repository = repository
        self._sums: dict[VersionKey, ShadowSums] = {}

    def forget(self) -> None:
        """Go on from the files."""
        self._sums.clear()

    def observe(self, database: DuckDBPyConnection, manifest: ModelManifest) -> Mapping[str, bytes]:
        """Add the summaries in the table `summaries`. Returns the file of the version if one is of the experiment that
        runs."""
        summaries = [text for (text,) in database.execute("SELECT summary FROM summaries").fetchall()]
        if not summaries:
            return {}
        key = manifest.name, manifest.version
        self._repository.aliases(manifest.name)  # notices new settings
        experiment = self._repository.settings(manifest.name).experiment
        if experiment is None:
            return {}
        batches = list(_read(summaries, experiment.id))
        if not batches:
            return {}
        sums = self._sums[key] = self.of(key, experiment.id)
        sums.add(batches, experiment.plan)
        return {self.states.path(key): json.dumps(asdict(sums)).encode()}

    def of(self, version: VersionKey, experiment: str) -> ShadowSums:
        """Return what is known of an experiment with this candidate."""
        sums = self._sums.get(version)
        if sums is None and (saved := self.states.read(version)):
            sums = ShadowSums.from_json(saved)
        return sums if sums and sums.experiment == experiment else ShadowSums(experiment)


def _read(summaries: Iterable[str], experiment: str) -> Iterable[Mapping[str, float]]:
    """Yield what the batches of an experiment say. A scorer runs code of others, so what cannot be is left out."""
    for text in summaries:
        with suppress(ValueError, TypeError, AttributeError):
            summary = json.loads(text)
            batch = {name: float(summary.get(name) or 0) for name in _MEMBERS}
            possible = batch["failed"] <= batch["rows"] and batch["same"] <= batch["compared"] <= batch["rows"]
            finite = all(isfinite(value) and value >= 0 for value in batch.values())
            if not (possible and finite and batch["rows"] and batch["distance"] <= batch["compared"] * (1 + 1e-9)):
                log.warning("a batch of the experiment %s cannot be counted: %s", experiment, text[:200])
            elif summary.get("experiment") == experiment:
                yield batch
