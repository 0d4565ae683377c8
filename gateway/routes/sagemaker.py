"""SageMaker's InvokeEndpoint. Signatures of AWS are not checked: a key, if one is needed, comes in X-API-Key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flask import Blueprint, request

from contract.model.manifest import ModelManifest
from contract.model.signature import Signature
from contract.rows.instances import Instances
from contract.work.api_keys import Scope
from contract.work.jobs import Job
from gateway.http.answers import PredictionAnswer
from gateway.http.exchange import caller, current
from gateway.http.foreign_addresses import sagemaker_error
from gateway.http.media_types import is_json, media_type, unsupported
from gateway.http.operations import EXPERIMENT_KEY, IDEMPOTENCY_KEY, Answer, Operation, Parameter
from gateway.http.rules import BodyLimit, ErrorShape
from gateway.http.synchronous import PROBLEMS, SynchronousPredictions, received_body
from gateway.openapi.schema_parts import VERSION_OR_ALIAS
from gateway.problems import Problem, ProblemCode
from gateway.protocols import aws_event_stream, native, npy
from gateway.protocols import sagemaker as protocol
from gateway.protocols.offload import offload
from gateway.serving.model_versions import refuse_model

_HEADER = "X-Amzn-SageMaker-"
_ACCEPT, _TARGET, _VARIANT = (f"{_HEADER}{name}" for name in ("Accept", "Target-Model", "Target-Variant"))
_REFUSED = {
    "Target-Container-Hostname": "a container of the endpoint",
    "Inference-Component": "an inference component",
    "Enable-Explanations": "an explanation beside the answer",
}
"""What would change the answer, by its header."""
_TYPES = ", ".join(protocol.TYPES)

_INVOKE = Operation(
    "invoke_endpoint",
    "Predict rows as SageMaker's InvokeEndpoint does",
    {
        200: Answer(
            "The predictions. CSV has no header; JSON has probabilities, too, and so has CSV with `verbose=true`.",
            {
                protocol.JSON: "Predictions",
                protocol.CSV: "Text",
                protocol.JSON_LINES: "Text",
                protocol.NPY: "NumpyFile",
            },
            {
                protocol.VARIANT_HEADER: "The version that has answered, such as `loan@3`.",
                protocol.REQUEST_ID: "As `X-Request-ID`.",
            },
        )
    },
    problems=("400 not_supported", "406 not_acceptable", *PROBLEMS),
    parameters=(
        EXPERIMENT_KEY,
        IDEMPOTENCY_KEY,
        Parameter(_TARGET, "The model, if the path names another: `loan` or `loan.tar.gz`.", location="header"),
        Parameter(_VARIANT, "A version or an alias of the model.", VERSION_OR_ALIAS, "header"),
    ),
    body={protocol.JSON: "Rows", protocol.CSV: "Csv", protocol.JSON_LINES: "JsonLines", protocol.NPY: "NumpyFile"},
    error="SageMakerError",
)
_STREAM = replace(
    _INVOKE,
    id="invoke_endpoint_with_response_stream",
    summary="Predict rows as SageMaker's InvokeEndpointWithResponseStream does",
    parameters=(*_INVOKE.parameters, Parameter(_ACCEPT, "The media type of the answer.", location="header")),
    answers={
        200: Answer(
            "The same answer, in messages of an event stream of AWS.",
            {aws_event_stream.CONTENT_TYPE: "Bytes"},
            {
                f"{_HEADER}Content-Type": "The media type of the answer.",
                protocol.VARIANT_HEADER: "As above.",
                protocol.REQUEST_ID: "As above.",
            },
        )
    },
)


def blueprint(predictions: SynchronousPredictions, rows: BodyLimit) -> Blueprint:
    """`rows`: the limit of bodies with rows."""
    routes = Blueprint("sagemaker", __name__, url_prefix="/endpoints")

    shape: dict[str, ErrorShape] = {"errors": sagemaker_error}

    @routes.post("/<reference>/invocations", level=Scope.PREDICT, docs=_INVOKE, body=rows, **shape)
    def invoke(reference: str) -> PredictionAnswer:
        return predictions.answer(*_predicted(reference, "Accept"))

    @routes.post("/<reference>/invocations-response-stream", level=Scope.PREDICT, docs=_STREAM, body=rows, **shape)
    def stream(reference: str) -> PredictionAnswer:
        job, body, headers = _predicted(reference, _ACCEPT)
        kinds = {"Content-Type": aws_event_stream.CONTENT_TYPE, f"{_HEADER}Content-Type": headers["Content-Type"]}
        return predictions.answer(job, aws_event_stream.write(body), {**headers, **kinds})

    def _predicted(reference: str, header: str) -> tuple[Job, bytes, Mapping[str, str]]:
        """`header` names the media types of the answer."""
        model, accept = _model(reference), request.headers.get(header)
        if not protocol.accepts(accept):
            raise Problem(ProblemCode.NOT_ACCEPTABLE, f"{header} must be one of {_TYPES}")
        body = received_body()
        job = predictions.predict(model, _rows(body, model.signature), len(body))
        written, headers = offload(native.size_of(job), protocol.write, job, accept)
        return job, written, {**headers, protocol.REQUEST_ID: current().request_id}

    def _model(reference: str) -> ModelManifest:
        for name, what in _REFUSED.items():
            if f"{_HEADER}{name}" in request.headers:
                raise Problem(ProblemCode.NOT_SUPPORTED, f"{what} is not supported; leave out {name}")
        if target := request.headers.get(_TARGET):
            reference = protocol.model_in(target)
            if not caller().may_use(reference.partition("@")[0]):
                raise refuse_model(predictions.predictor.repository, reference)
        variant = request.headers.get(_VARIANT)
        return predictions.model(f"{reference}@{variant}" if variant else reference)

    def _rows(body: bytes, signature: Signature) -> Instances:
        kind, most_rows = media_type(request.environ), predictions.predictor.max_rows + 1
        if kind == protocol.CSV:
            return protocol.read_csv(body, signature, most_rows)
        if kind == protocol.JSON_LINES:
            return protocol.read_lines(body, signature, most_rows)
        if kind == protocol.NPY:
            return npy.read(body, signature, most_rows)
        if is_json(kind):
            return native.read(body, signature)
        raise unsupported(kind, f"one of {_TYPES}", _TYPES)

    return routes
