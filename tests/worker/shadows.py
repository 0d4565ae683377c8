"""Shadow experiments of a test, and what the prediction log gets of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redis import Redis

from broker.sides.observer import BEGINNING, LogStream
from contract.model.experiments import Experiment, ExperimentKind, ExperimentPlan
from contract.model.model_settings import EXPERIMENTS
from contract.work.prediction_log import logged_request
from storage.models.repository_writer import RepositoryWriter
from storage.models.states import ModelState

ACCEPTED = "2026-01-02T03:04:05.000006Z"


def experiment(
    experiment_id: str = "e", candidate: int = 2, kind: ExperimentKind = ExperimentKind.SHADOW, **changes: Any
) -> Experiment:
    return Experiment(
        experiment_id, 1, candidate, ExperimentPlan(kind), ACCEPTED, "2027-01-01T00:00:00Z", 1.0, ACCEPTED, **changes
    )


def set_experiments(models: Path, model: str, *experiments: Experiment) -> None:
    """Let a model have these experiments, the newest first, as the trainer does."""

    def edit(state: ModelState) -> None:
        state.settings = {**state.settings, EXPERIMENTS: [one.to_json() for one in experiments]}

    RepositoryWriter(models).change(model, edit)


def logged(experiment_id: str | None = "e", **members: Any) -> Mapping[str, Any]:
    """What the gateway adds to a job whose rows are logged, and belong to an experiment."""
    return logged_request(ACCEPTED, "current", experiment=experiment_id, **members)


def records(redis: Redis, version: str) -> list[dict[str, Any]]:
    """The records of a version in the log, the oldest first."""
    entries = LogStream(redis).read(BEGINNING, 100_000)
    return [json.loads(record) for entry in entries if entry.version == version for record in entry.records]


def summaries(redis: Redis, version: str = "sum@2") -> list[dict[str, Any]]:
    """What is said of each entry that a candidate has got."""
    return [record["shadow"] for record in records(redis, version)]


def totals(redis: Redis, version: str = "sum@2") -> dict[str, float]:
    """The sums of what is said of the entries, but for the times."""
    said = summaries(redis, version)
    return {name: sum(one[name] for one in said) for name in ("rows", "failed", "compared", "same", "dropped")}
