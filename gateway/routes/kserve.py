"""KServe's protocol, version 1. Its GETs are our own: `/v1/models` has `models`, `/v1/models/{model}` has `ready`."""

from __future__ import annotations

from flask import Blueprint, request

from contract.work.api_keys import Scope
from gateway.http.answers import PredictionAnswer
from gateway.http.media_types import is_json, media_type, unsupported
from gateway.http.operations import EXPERIMENT_KEY, IDEMPOTENCY_KEY, Answer, Operation
from gateway.http.rules import BodyLimit
from gateway.http.synchronous import PROBLEMS, SynchronousPredictions, received_body
from gateway.protocols import kserve as protocol
from gateway.protocols import native

_PREDICT = Operation(
    "kserve_predict",
    "Predict rows as KServe's V1 protocol does",
    {200: Answer("The predictions, with probabilities where the model has them.", "Predictions")},
    problems=PROBLEMS,
    parameters=(EXPERIMENT_KEY, IDEMPOTENCY_KEY),
    body="Instances",
    error="ForeignError",
)


def blueprint(predictions: SynchronousPredictions, rows: BodyLimit) -> Blueprint:
    """`rows`: the limit of bodies with rows."""
    routes = Blueprint("kserve", __name__, url_prefix="/v1/models")

    @routes.post("/<reference>:predict", level=Scope.PREDICT, docs=_PREDICT, body=rows, errors=protocol.error)
    def predict(reference: str) -> PredictionAnswer:
        if not is_json(kind := media_type(request.environ)):
            raise unsupported(kind, "application/json", "application/json")
        model = predictions.model(reference)
        body = received_body()
        job = predictions.predict(model, native.read(body, model.signature), len(body))
        return predictions.answer(job, *protocol.write(job))

    return routes
