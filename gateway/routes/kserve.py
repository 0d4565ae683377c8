"""KServe's protocol, version 1, and TensorFlow Serving's address of a version. Its GETs are our own: `/v1/models` has
`models`, `/v1/models/{model}` has `ready`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, request

from contract.model.manifest import ModelManifest
from contract.work.api_keys import Scope
from contract.work.explanations import ExplainRequest
from contract.work.jobs import Job
from gateway.http.answers import PredictionAnswer
from gateway.http.media_types import is_json, media_type, unsupported
from gateway.http.operations import EXPERIMENT_KEY, EXPLAIN_PARAMETERS, IDEMPOTENCY_KEY, Answer, Operation
from gateway.http.rules import BodyLimit
from gateway.http.synchronous import PROBLEMS, SynchronousPredictions, received_body
from gateway.protocols import explanations, native
from gateway.protocols import kserve as protocol

_PREDICT = Operation(
    "kserve_predict",
    "Predict rows as KServe's V1 protocol does",
    {200: Answer("The predictions, with probabilities where the model has them.", "Predictions")},
    problems=PROBLEMS,
    parameters=(EXPERIMENT_KEY, IDEMPOTENCY_KEY),
    body="Rows",
    error="ForeignError",
)


_EXPLAIN = replace(
    _PREDICT,
    id="kserve_explain",
    summary="Explain the answers to rows as KServe's V1 protocol does",
    answers={200: Answer("An explanation for each row.", "KserveExplanations")},
    problems=("409 no_background", *PROBLEMS),
    parameters=(*EXPLAIN_PARAMETERS, *_PREDICT.parameters),
)
_OF_VERSION = replace(_PREDICT, id="tensorflow_serving_predict", summary="Predict rows as TensorFlow Serving does")


def blueprint(predictions: SynchronousPredictions, rows: BodyLimit) -> Blueprint:
    """`rows`: the limit of bodies with rows."""
    routes = Blueprint("kserve", __name__, url_prefix="/v1/models")
    shape: dict[str, Any] = {"level": Scope.PREDICT, "body": rows, "errors": protocol.error}

    @routes.post("/<reference>:predict", docs=_PREDICT, **shape)
    def predict(reference: str) -> PredictionAnswer:
        return _predicted(predictions.model(reference))

    # TensorFlow Serving, whose body and answer are the same.
    @routes.post("/<reference>/versions/<version>:predict", docs=_OF_VERSION, **shape)
    def predict_version(reference: str, version: str) -> PredictionAnswer:
        return _predicted(predictions.model(f"{reference}@{version}"))

    @routes.post("/<reference>:explain", docs=_EXPLAIN, **shape)
    def explain(reference: str) -> PredictionAnswer:
        asked = explanations.read(request.query_string.decode("latin-1"))
        job = _job(predictions.explained_model(reference), asked)
        return predictions.answer(job, *protocol.write_explanations(job))

    def _predicted(model: ModelManifest) -> PredictionAnswer:
        job = _job(model)
        return predictions.answer(job, *protocol.write(job))

    def _job(model: ModelManifest, explain: ExplainRequest | None = None) -> Job:
        if not is_json(kind := media_type(request.environ)):
            raise unsupported(kind, "application/json", "application/json")
        body = received_body()
        return predictions.predict(model, native.read(body, model.signature), len(body), explain=explain)

    return routes
