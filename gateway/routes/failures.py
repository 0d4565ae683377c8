"""Why requests to a model fail."""

from __future__ import annotations

from flask import Blueprint, Response, request

from contract.work.api_keys import Scope
from gateway.http.answers import FRESH, json_response
from gateway.http.operations import MOMENT, Answer, Operation, Parameter
from gateway.openapi.schema_parts import VERSION_OR_ALIAS
from gateway.protocols.parameters import moment
from gateway.serving.failures import Failures

_SHOW = Operation(
    "get_failures",
    "Why requests to a model fail, the most frequent cause first",
    {200: Answer("The causes, with their requests by version and key.", "Failures")},
    problems=("404 no_current_version",),
    parameters=(
        Parameter(
            "since",
            "Only requests from this time on, to the hour, or to six hours for earlier days; by default a day ago.",
            MOMENT,
        ),
        Parameter("version", "Only requests to this version: a number or an alias.", VERSION_OR_ALIAS),
    ),
)


def blueprint(failures: Failures) -> Blueprint:
    routes = Blueprint("failures", __name__, url_prefix="/v1/models/<name>/failures")

    @routes.get("", level=Scope.READ, docs=_SHOW)
    def show(name: str) -> Response:
        since = moment("since", request.args.get("since"))
        report = failures.of_model(name, since.timestamp() if since else None, request.args.get("version"))
        return json_response(report.to_json(), headers=FRESH)

    return routes
