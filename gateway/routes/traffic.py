"""Requests, errors, rows and latency over time."""

from __future__ import annotations

from dataclasses import replace

from flask import Blueprint, Response, request

from broker.metrics.traffic import Period
from contract.work.api_keys import Scope
from gateway.http.answers import FRESH, json_response
from gateway.http.operations import Answer, Operation, Parameter
from gateway.problems import Problem, ProblemCode
from gateway.serving.traffic import Traffic

_PERIOD = Parameter(
    "period",
    "How far back: two hours by the minute, a day by 15 minutes, or 30 days by 6 hours.",
    {"type": "string", "enum": list(Period), "default": Period.HOURS},
)
_ALL = Operation(
    "get_traffic",
    "Requests, errors, rows and latency of all models over time",
    {200: Answer("The sums, and a point a step, the oldest first.", "Traffic")},
    parameters=(_PERIOD,),
)
_ONE = replace(_ALL, id="get_model_traffic", summary="Requests, errors, rows and latency of a model over time")


def blueprint(traffic: Traffic) -> Blueprint:
    routes = Blueprint("traffic", __name__, url_prefix="/v1")

    @routes.get("/traffic", level=Scope.READ, docs=_ALL)
    def index() -> Response:
        return json_response(traffic.of_all(asked_period()).to_json(), headers=FRESH)

    @routes.get("/models/<name>/traffic", level=Scope.READ, docs=_ONE)
    def show(name: str) -> Response:
        return json_response(traffic.of_model(name, asked_period()).to_json(), headers=FRESH)

    return routes


def asked_period() -> Period:
    """Return the period that the query names. Raises `Problem` (400)."""
    period = request.args.get("period", Period.HOURS)
    try:
        return Period(period)
    except ValueError:
        detail = f"period={period[:64]!r} is not one of {', '.join(Period)}"
        raise Problem(ProblemCode.INVALID_PARAMETER, detail) from None
