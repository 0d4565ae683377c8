"""SageMaker's InvokeEndpoint. Signatures of AWS are not checked: a key, if one is needed, comes in X-API-Key."""

from __future__ import annotations

from flask import Blueprint, request

from contract.model.signature import Signature
from contract.rows.instances import Instances
from contract.work.api_keys import Scope
from gateway.http.answers import PredictionAnswer
from gateway.http.media_types import is_json, media_type, unsupported
from gateway.http.operations import EXPERIMENT_KEY, IDEMPOTENCY_KEY, Answer, Operation, Parameter
from gateway.http.rules import BodyLimit
from gateway.http.synchronous import PROBLEMS, SynchronousPredictions, received_body
from gateway.problems import Problem, ProblemCode
from gateway.protocols import native
from gateway.protocols import sagemaker as protocol

_INVOKE = Operation(
    "invoke_endpoint",
    "Predict rows as SageMaker's InvokeEndpoint does",
    {
        200: Answer(
            "The predictions. CSV has no header; JSON has probabilities, too, and so has CSV with `verbose=true`.",
            {protocol.JSON: "Predictions", protocol.CSV: "Text"},
            {"x-Amzn-Invoked-Production-Variant": "The version that has answered, such as `loan@3`."},
        )
    },
    problems=("406 not_acceptable", *PROBLEMS),
    parameters=(
        EXPERIMENT_KEY,
        IDEMPOTENCY_KEY,
        Parameter("X-Amzn-SageMaker-Target-Variant", "A version or an alias of the model.", location="header"),
    ),
    body={protocol.CSV: "Text", protocol.JSON: "Instances", protocol.JSON_LINES: "Text"},
    error="SageMakerError",
)
_TYPES = f"{protocol.CSV}, {protocol.JSON}, {protocol.JSON_LINES}"


def blueprint(predictions: SynchronousPredictions, rows: BodyLimit) -> Blueprint:
    """`rows`: the limit of bodies with rows."""
    routes = Blueprint("sagemaker", __name__, url_prefix="/endpoints")

    @routes.post("/<reference>/invocations", level=Scope.PREDICT, docs=_INVOKE, body=rows, errors=protocol.error)
    def invoke(reference: str) -> PredictionAnswer:
        variant = request.headers.get("X-Amzn-SageMaker-Target-Variant")
        model = predictions.model(f"{reference}@{variant}" if variant else reference)
        accept = request.headers.get("Accept")
        if not protocol.accepts(accept):
            raise Problem(ProblemCode.NOT_ACCEPTABLE, f"Accept must be {protocol.JSON} or {protocol.CSV}")
        body = received_body()
        job = predictions.predict(model, _rows(body, model.signature), len(body))
        return predictions.answer(job, *protocol.write(job, accept))

    def _rows(body: bytes, signature: Signature) -> Instances:
        kind, most_rows = media_type(request.environ), predictions.predictor.max_rows + 1
        if kind == protocol.CSV:
            return protocol.read_csv(body, signature, most_rows)
        if kind == protocol.JSON_LINES:
            return protocol.read_lines(body, signature, most_rows)
        if is_json(kind):
            return native.read(body, signature)
        raise unsupported(kind, f"one of {_TYPES}", _TYPES)

    return routes
