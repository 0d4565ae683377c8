"""The addresses of MLflow's scoring server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request

from contract.model.manifest import ModelManifest
from contract.model.signature import PREDICT
from contract.work.api_keys import Scope
from gateway.http.answers import FRESH, PredictionAnswer
from gateway.http.media_types import CSV, is_json, media_type, unsupported
from gateway.http.operations import EXPERIMENT_KEY, IDEMPOTENCY_KEY, Answer, Operation
from gateway.http.problem_answers import not_ready
from gateway.http.rules import BodyLimit, Level
from gateway.http.synchronous import PROBLEMS, SynchronousPredictions, received_body
from gateway.protocols import csv_rows
from gateway.protocols import mlflow as protocol
from gateway.serving.readiness import Readiness, State

_READY = {200: Answer("Predictions are accepted.", {"text/plain": "Nothing"})}
_PING = Operation(
    "mlflow_ping", "Whether predictions are accepted", _READY, problems=("503 not_ready",), error="MlflowError"
)
_HEALTH = replace(_PING, id="mlflow_health")
_VERSION = Operation(
    "mlflow_version",
    "The release of MLflow whose protocol this is",
    {200: Answer("Its number.", {"text/plain": "Text"})},
)
_INVOKE = Operation(
    "mlflow_invocations",
    "Predict rows as MLflow's scoring server does",
    {
        200: Answer(
            "The predictions, with probabilities where the model has them, and `params` name no method.",
            "Predictions",
        )
    },
    problems=PROBLEMS,
    parameters=(EXPERIMENT_KEY, IDEMPOTENCY_KEY),
    body={"application/json": "MlflowInput", "text/csv": "Csv"},
    error="MlflowError",
)
_INVOKE_ONLY = replace(
    _INVOKE,
    id="mlflow_invocations_of_the_only_model",
    summary="Predict rows with the only model",
    problems=("400 several_models", "404 unknown_model", *PROBLEMS),
)

_SHAPE: dict[str, Any] = {"errors": protocol.error, "statuses": protocol.STATUSES}


def blueprint(predictions: SynchronousPredictions, readiness: Readiness, rows: BodyLimit) -> Blueprint:
    """`rows`: the limit of bodies with rows."""
    routes = Blueprint("mlflow", __name__)

    @routes.get("/ping", level=Level.OPEN, docs=_PING, **_SHAPE)
    @routes.get("/health", level=Level.OPEN, docs=_HEALTH, **_SHAPE)
    def ping() -> Response:
        report = readiness.report()
        if report.state is State.NOT_READY:
            return not_ready(report.without_names())
        return Response("\n", headers=FRESH, content_type="text/plain; charset=utf-8")

    @routes.get("/version", level=Level.OPEN, docs=_VERSION, **_SHAPE)
    def version() -> Response:
        return Response(protocol.VERSION, content_type="text/plain")

    @routes.post("/invocations", level=Scope.PREDICT, docs=_INVOKE_ONLY, body=rows, **_SHAPE)
    def only_model() -> PredictionAnswer:
        return invoke(predictions.only_model())

    @routes.post("/v1/models/<reference>/invocations", level=Scope.PREDICT, docs=_INVOKE, body=rows, **_SHAPE)
    def one_model(reference: str) -> PredictionAnswer:
        return invoke(predictions.model(reference))

    def invoke(model: ModelManifest) -> PredictionAnswer:
        kind = media_type(request.environ)
        protocol.check_parameters(request.content_type or "")
        if not is_json(kind) and kind != CSV:
            raise unsupported(kind, "application/json or text/csv", "application/json, text/csv")
        body = received_body()
        if kind == CSV:
            table = csv_rows.read(body, predictions.predictor.max_rows + 1)
            instances, method = protocol.by_position(table, model.signature), None
        else:
            instances, method = protocol.read(body, model.signature)
        job = predictions.predict(model, instances, len(body), method or PREDICT.name)
        return predictions.answer(job, *protocol.write(job, method))

    return routes
