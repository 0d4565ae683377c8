"""The experiments of a model: what is found in the one that runs, how others have ended, and a form for the next."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request

from contract.errors import ModelgateError
from contract.model.experiments import Ending, Experiment
from contract.model.repository import CURRENT, Repository
from contract.work.api_keys import Scope
from gateway.http.exchange import caller, current, note_problem
from gateway.pages.experiments.evidence import Evidence
from gateway.pages.experiments.form import ExperimentForm, body_of
from gateway.pages.layout import blueprint_of_pages, live_page, page, see
from gateway.pages.model_header import ModelHeader
from gateway.problems import Problem, ProblemCode
from gateway.protocols.experiments import experiment_request
from gateway.serving.experiments import Experiments

_BADGES = {Ending.PROMOTED: "good", Ending.PASSED: "good", Ending.ROLLED_BACK: "bad", Ending.UNDECIDED: "warn"}


@dataclass(frozen=True)
class ExperimentPages:
    experiments: Experiments

    @property
    def repository(self) -> Repository:
        """That of the caller."""
        return self.experiments.repository

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("experiments")

        @routes.get("/models/<name>/experiments", level=Scope.READ, page=True)
        def show(name: str) -> Response:
            return live_page("experiments.html", lambda: self._shown(name))

        @routes.post("/models/<name>/experiments", level=Scope.PUBLISH, page=True, audit="start_experiment")
        def start(name: str) -> Response:
            form = self._form(name)
            if form is None:
                raise Problem(ProblemCode.EXPERIMENT_REFUSED, f"no experiment of {name!r} can begin now")
            entered = {field: request.form.get(field, "").strip() for field in form.entered}
            try:
                candidate, plan, until = experiment_request(body_of(entered), datetime.now(UTC))
                current().version = candidate
                self.experiments.start(name, candidate, plan, until)
            except Problem as problem:
                note_problem(problem.code)
                shown = {**self._shown(name), "form": form.refused(entered, problem)}
                return page("experiments.html", problem.status, **shown)
            return see(f"/ui/models/{name}/experiments")

        @routes.post(
            "/models/<name>/experiments/<experiment>/stop", level=Scope.PUBLISH, page=True, audit="stop_experiment"
        )
        def stop(name: str, experiment: str) -> Response:
            current().version = self.experiments.get(name, experiment).candidate
            self.experiments.stop(name, experiment)
            return see(f"/ui/models/{name}/experiments")

        return routes

    def _shown(self, name: str) -> dict[str, Any]:
        every, wanted = self.experiments.all(name), request.args.get("id")
        running = next((one for one in every if one.ending is None), None)
        chosen = self.experiments.get(name, wanted) if wanted else running
        return {
            "title": f"Experiments of {name}",
            "header": ModelHeader.of(self.repository, name, caller()),
            "running": running,
            "ended": [one for one in every if one.ending],
            "chosen": chosen,
            "evidence": self._evidence(name, chosen) if chosen else None,
            "badges": _BADGES,
            "logging": self.repository.settings(name).logging,
            "form": self._form(name),
        }

    def _evidence(self, name: str, experiment: Experiment) -> Evidence:
        return Evidence.of(experiment, self.experiments.findings(name, experiment))

    def _form(self, name: str) -> ExperimentForm | None:
        """Return the form; None while an experiment runs, and without a second version, or a current one that can be
        read."""
        version = self.repository.aliases(name).get(CURRENT)
        candidates = [one for one in self.repository.versions(name)[::-1] if one != version]
        if version is None or not candidates or self.repository.settings(name).experiment:
            return None
        with suppress(ModelgateError):  # the page of the version says why
            return ExperimentForm.of(self.repository.manifest(name, version), candidates)
        return None
