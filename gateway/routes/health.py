"""Health: whether the process is alive, and whether a prediction would be accepted."""

from __future__ import annotations

import threading
from typing import Any

from flask import Blueprint, Response

from contract.work.api_keys import Scope
from gateway.http.answers import FRESH, json_response
from gateway.http.exchange import caller
from gateway.http.operations import Answer, Operation
from gateway.http.problem_answers import not_ready
from gateway.http.rules import Level
from gateway.problems import Problem, ProblemCode
from gateway.serving.readiness import SHOWN, Readiness, State

_LIVE = Operation(
    "check_alive", "Whether this process runs", {200: Answer("It runs.", "Alive")}, problems=("503 stopping",)
)
_READY = Operation(
    "check_ready",
    "Whether a prediction would be accepted now",
    {200: Answer("Predictions are accepted; `degraded`: some may wait or fail.", "Ready")},
    problems=("503 not_ready",),
)


def blueprint(readiness: Readiness, stopping: threading.Event) -> Blueprint:
    """`stopping` is set once this process is to stop."""
    routes = Blueprint("health", __name__, url_prefix="/health")

    @routes.get("/live", level=Level.OPEN, docs=_LIVE)
    def live() -> Response:
        if stopping.is_set():
            raise Problem(ProblemCode.STOPPING, "this gateway is stopping; use another one", retry_after=1)
        return json_response({"status": "ok"})

    @routes.get("/ready", level=Level.OPEN, docs=_READY)
    def ready() -> Response:
        report = readiness.report()
        if not caller().allows(Scope.READ) or caller().models is not None:
            report = report.without_names()
        counts = {"models": report.models, "workers": report.workers}
        if report.state is State.OK:
            return json_response({"status": report.state, **counts}, headers=FRESH)
        reasons = [reason.to_json() for reason in report.reasons[:SHOWN]]
        members: dict[str, Any] = {**counts, "reasons": reasons, "repairs": report.repairs}
        if report.state is State.NOT_READY:
            return not_ready(report, **members)
        return json_response({"status": report.state, "detail": report.detail, **members}, headers=FRESH)

    return routes
