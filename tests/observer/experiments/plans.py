"""Makes experiments of version 1 against version 2."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from contract.model.experiments import Experiment, ExperimentKind, ExperimentPlan

STARTED = "2026-11-20T00:00:00Z"


def experiment(kind: ExperimentKind = ExperimentKind.SHADOW, share: float | None = None, **plan: Any) -> Experiment:
    made = ExperimentPlan(kind, **plan)
    now = made.first_share if share is None else share
    return Experiment("e1", 1, 2, made, STARTED, "2026-12-20T00:00:00Z", now, STARTED)


def begin(models: Path, name: str, running: Experiment | None, identity: str = "e1") -> Experiment | None:
    """Write the settings of a model as the trainer does, with this experiment; None: none runs."""
    made = running and replace(running, id=identity)
    settings = {"experiments": [made.to_json()] if made else [], "logging": {"share": 1.0}}
    for file, data in (
        ("settings.json", settings),
        ("aliases.json", json.loads((models / name / "aliases.json").read_text())),
    ):
        new = models / name / f"{file}.new"
        new.write_text(json.dumps(data))
        new.rename(models / name / file)
    return made
