"""Experiments of a model: what there are, what is found in the one that runs, and their begin and end."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from broker.state.boards import ExperimentBoard
from contract.model.experiments import Experiment, ExperimentFindings, ExperimentPlan
from contract.model.repository import Repository
from contract.work.api_keys import Key
from contract.work.jobs import timestamp
from contract.work.training import RepositoryAction, RepositoryCommand
from gateway.problems import Problem, ProblemCode
from gateway.serving.model_versions import ModelChanges, settings_of


@dataclass(frozen=True)
class Experiments:
    """The experiments of the models that the caller may use. Methods raise `Problem` without such a model."""

    changes: ModelChanges
    board: ExperimentBoard
    caller: Callable[[], Key]

    @property
    def repository(self) -> Repository:
        return self.changes.repository

    def all(self, model: str) -> Sequence[Experiment]:
        """Return the experiments of a model, the newest first."""
        return settings_of(self.repository, model).experiments

    def get(self, model: str, id: str) -> Experiment:  # noqa: A002
        """Raises `Problem` for an unknown one."""
        experiments = self.all(model)
        if found := next((experiment for experiment in experiments if experiment.id == id), None):
            return found
        there_are = f"there are {', '.join(one.id for one in experiments)}" if experiments else "there is none yet"
        detail = f"{model!r} has no experiment {id[:64]!r}; {there_are}"
        raise Problem(ProblemCode.EXPERIMENT_NOT_FOUND, detail)

    def findings(self, model: str, experiment: Experiment) -> ExperimentFindings | None:
        """Return what the observer has found in an experiment that runs; None: nothing yet. Raises `RedisError`."""
        found = self.board.of(model) if experiment.ending is None else None
        return found if found and found.experiment == experiment.id else None

    def start(self, model: str, candidate: int, plan: ExperimentPlan, until: datetime | None) -> dict[str, Any]:
        """Begin an experiment and return it, as JSON. `until`: when it is over. Raises as `ModelChanges.run`."""
        wanted = {"id": f"x{secrets.token_hex(6)}", "plan": plan.to_json(), "by": self.caller().name}
        if until is not None:
            wanted["until"] = timestamp(until)
        if self.repository.settings(model).protected:
            wanted["owner"] = self.caller().owner
        command = RepositoryCommand(RepositoryAction.START_EXPERIMENT, model, version=candidate, experiment=wanted)
        started: dict[str, Any] = self.changes.run(command)["experiment"]
        return started

    def stop(self, model: str, id: str) -> dict[str, Any]:  # noqa: A002
        """End an experiment and return it, as JSON. Raises `Problem`, and as `ModelChanges.run`."""
        wanted = {"id": self.get(model, id).id, "by": self.caller().name}
        command = RepositoryCommand(RepositoryAction.STOP_EXPERIMENT, model, experiment=wanted)
        stopped: dict[str, Any] = self.changes.run(command)["experiment"]
        return stopped
