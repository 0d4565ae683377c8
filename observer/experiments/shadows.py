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
    """The sums of all candidates, each a file of the log."""

    def __init__(self, store: LogStore, repository: Repository) -> None:
        self.states = VersionStates(store, FOLDER)
        self._repository = repository

    def forget(self) -> None:
        """Do nothing: all that is known is in the files."""

    def observe(self, database: DuckDBPyConnection, manifest: ModelManifest) -> Mapping[str, bytes]:
        """Add the summaries in the table `summaries`. Returns the file of the version if one is of the experiment that
        runs."""
        summaries = database.execute("SELECT summary FROM summaries").fetchall()
        key = manifest.name, manifest.version
        self._repository.aliases(manifest.name)  # notices new settings
        experiment = self._repository.settings(manifest.name).experiment
        batches = list(_read((text for (text,) in summaries), experiment.id)) if experiment else []
        if not batches or experiment is None:
            return {}
        sums = self.of(key, experiment.id)
        sums.add(batches, experiment.plan)
        return {self.states.path(key): json.dumps(asdict(sums)).encode()}

    def of(self, version: VersionKey, experiment: str) -> ShadowSums:
        """Return what is known of an experiment with this candidate."""
        saved = self.states.read(version)
        return ShadowSums.from_json(saved) if saved and saved["experiment"] == experiment else ShadowSums(experiment)


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
