"""What becomes of the experiments of a model when its state changes: the newest is the first, and only that may run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from contract.model.experiments import Ending, Experiment
from contract.model.model_settings import EXPERIMENTS, ModelSettings
from contract.model.repository import CURRENT
from contract.work.jobs import timestamp_now
from storage.models.states import ModelState

MOST_KEPT = 20
"""Most experiments of a model that are kept."""


def experiments_of(state: ModelState) -> tuple[Experiment, ...]:
    return ModelSettings.from_json(state.settings).experiments


def running(state: ModelState, id: str | None = None) -> Experiment | None:  # noqa: A002
    """Return the experiment that runs, or None; also if it is not the one with this `id`."""
    experiment = ModelSettings.from_json(state.settings).experiment
    return experiment if experiment and id in (None, experiment.id) else None


def put(state: ModelState, experiment: Experiment) -> None:
    """Begin an experiment, or put it in the place of what it was."""
    others = [other for other in experiments_of(state) if other.id != experiment.id]
    kept = [one.to_json() for one in (experiment, *others)][:MOST_KEPT]
    state.settings = {**state.settings, EXPERIMENTS: kept}


def end(
    state: ModelState,
    id: str,  # noqa: A002
    ending: Ending,
    reason: str,
    figures: Mapping[str, Any] | None = None,
) -> Experiment | None:
    """End the experiment with this id, and return it; None: it does not run any more."""
    if experiment := running(state, id):
        now = timestamp_now()
        experiment = replace(experiment, ending=ending, ended_at=now, reason=reason, figures=figures or {})
        put(state, experiment)
    return experiment


def settle(state: ModelState, was_current: int | None) -> Experiment | None:
    """End the experiment that runs, and return it, if its candidate is gone or its baseline is not current any more.

    `was_current`: the version that was so before the change. A candidate that is current while its experiment runs was
    promoted by it.
    """
    experiment, current = running(state), state.aliases.get(CURRENT)
    if experiment is None:
        return None
    if was_current == experiment.candidate:
        return end(state, experiment.id, Ending.PROMOTED, f"version {experiment.candidate} was promoted")
    if experiment.candidate not in state.versions:
        return end(state, experiment.id, Ending.OVERTAKEN, f"version {experiment.candidate} was deleted")
    if current != experiment.baseline:
        return end(state, experiment.id, Ending.OVERTAKEN, f"version {current} was made current meanwhile")
    return None
