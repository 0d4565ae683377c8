"""What came true of predictions, and how good they were."""

from __future__ import annotations

from flask import Blueprint, Response, request

from contract.model.repository import CURRENT
from contract.work.api_keys import Scope
from contract.work.observation import MOST_OUTCOMES
from gateway.http.answers import FRESH, json_response
from gateway.http.operations import OBSERVED, Answer, Operation, Parameter
from gateway.http.rules import BodyLimit
from gateway.openapi.schema_parts import VERSION_OR_ALIAS
from gateway.protocols import outcomes
from gateway.serving.model_versions import check_model
from gateway.serving.prediction_log import LogAccess

LARGEST = BodyLimit(4 * 2**20, f"4 MB; send up to {MOST_OUTCOMES:,} outcomes at once, as `modelgate outcomes` does")

_SEND = Operation(
    "add_outcomes",
    "Say what came true",
    {200: Answer("They are kept: how many are new, correct earlier ones, or repeat what is known.", "KeptOutcomes")},
    problems=("422 invalid_body", *OBSERVED),
    # JSON alone: generators of clients cannot tell a list from other bodies.
    body="Outcomes",
)
_MEASURE = Operation(
    "get_outcomes",
    "How good the logged answers of a version were, as far as their outcomes are known",
    {200: Answer("Metrics with intervals of 95 %, over time, and where they are worst.", "MeasuredOutcomes")},
    problems=("503 manifest_invalid", "503 model_not_found", *OBSERVED),
    parameters=(Parameter("version", "A version or an alias, by default current.", VERSION_OR_ALIAS),),
)


def blueprint(log: LogAccess) -> Blueprint:
    routes = Blueprint("outcomes", __name__, url_prefix="/v1/models/<name>/outcomes")

    @routes.post("", level=Scope.LOG, docs=_SEND, body=LARGEST, audit="add_outcomes")
    def add(name: str) -> Response:
        body = request.environ["wsgi.input"].read()
        read = outcomes.read_csv if request.mimetype == "text/csv" else outcomes.read_json
        return json_response(log.add_outcomes(name, read(body)))

    @routes.get("", level=Scope.LOG, docs=_MEASURE)
    def measure(name: str) -> Response:
        check_model(log.repository, name)
        return json_response(log.measure(name, request.args.get("version", CURRENT)), headers=FRESH)

    return routes
