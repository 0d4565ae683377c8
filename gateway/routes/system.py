"""The state of the whole system."""

from __future__ import annotations

from flask import Blueprint, Response

from contract.work.api_keys import Scope
from gateway.http.answers import FRESH, json_response
from gateway.http.exchange import caller
from gateway.http.operations import Answer, Operation
from gateway.serving.system_state import System

_SHOW = Operation(
    "get_system",
    "Workers and what each holds, queues, Redis, and what is wrong",
    {200: Answer("The state, at most a few seconds old.", "System")},
)


def blueprint(system: System) -> Blueprint:
    routes = Blueprint("system", __name__, url_prefix="/v1")

    @routes.get("/system", level=Scope.READ, docs=_SHOW, without_redis=True)
    def show() -> Response:
        return json_response(system.state(caller()).to_json(), headers=FRESH)

    return routes
