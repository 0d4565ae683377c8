"""Experiments: a candidate version beside the current one, begun, looked at and stopped."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request

from contract.model.experiments import Experiment
from contract.work.api_keys import Scope
from gateway.http.answers import FRESH, json_response
from gateway.http.exchange import current
from gateway.http.operations import COMMANDED, IDEMPOTENCY_KEY, LOCATION, Answer, Operation
from gateway.protocols import native
from gateway.protocols.experiments import experiment_request
from gateway.serving.experiments import Experiments

_UNKNOWN = ("404 experiment_not_found", "404 no_current_version")
_INDEX = Operation(
    "list_experiments",
    "The experiments of a model",
    {200: Answer("The experiments, the newest first; `figures` without their `course`.", "ExperimentList")},
    problems=("404 no_current_version",),
)
_SHOW = Operation(
    "get_experiment",
    "An experiment, and what is found in it",
    {200: Answer("The experiment, with `findings` while it runs.", "Experiment")},
    problems=_UNKNOWN,
)
_START = Operation(
    "start_experiment",
    "Try a version beside the current one",
    {201: Answer("The experiment runs.", "Experiment", LOCATION)},
    problems=(
        *("404 model_not_found", "404 no_current_version", "409 experiment_refused", "409 experiment_runs"),
        *("409 not_loaded", "409 not_trusted", "409 request_in_flight", "422 invalid_body", "503 manifest_invalid"),
        *COMMANDED,
    ),
    parameters=(IDEMPOTENCY_KEY,),
    body="NewExperiment",
)
_STOP = Operation(
    "stop_experiment",
    "Stop an experiment",
    {200: Answer("The experiment has ended.", "Experiment")},
    problems=(*_UNKNOWN, *COMMANDED),
)


def blueprint(experiments: Experiments) -> Blueprint:
    routes = Blueprint("experiments", __name__, url_prefix="/v1/models/<name>/experiments")

    @routes.get("", level=Scope.READ, docs=_INDEX)
    def index(name: str) -> Response:
        return json_response({"items": [_without_course(one) for one in experiments.all(name)]}, headers=FRESH)

    @routes.post("", level=Scope.PUBLISH, docs=_START, audit="start_experiment")
    def start(name: str) -> Response:
        body = native.json_value(request.environ["wsgi.input"].read())
        candidate, plan, until = experiment_request(body, datetime.now(UTC))
        current().version = candidate
        started = experiments.start(name, candidate, plan, until)
        return json_response(started, 201, headers={"Location": f"/v1/models/{name}/experiments/{started['id']}"})

    @routes.get("/<experiment>", level=Scope.READ, docs=_SHOW)
    def show(name: str, experiment: str) -> Response:
        found = experiments.get(name, experiment)
        findings = experiments.findings(name, found)
        shown = {**found.to_json(), "findings": findings.to_json() if findings else None}
        return json_response(shown, headers=FRESH)

    @routes.delete("/<experiment>", level=Scope.PUBLISH, docs=_STOP, audit="stop_experiment")
    def stop(name: str, experiment: str) -> Response:
        current().version = experiments.get(name, experiment).candidate
        return json_response(experiments.stop(name, experiment))

    return routes


def _without_course(experiment: Experiment) -> dict[str, Any]:
    figures = {name: figure for name, figure in experiment.figures.items() if name != "course"}
    return {**experiment.to_json(), "figures": figures}
