"""The Open Inference Protocol, version 2."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Blueprint, Response, request

from broker.metrics.reading import MetricsReader
from contract.work.api_keys import Scope
from gateway.http.answers import FRESH, PredictionAnswer, json_response
from gateway.http.clients import hung_up
from gateway.http.media_types import is_json, media_type, unsupported
from gateway.http.operations import COUNT, EXPERIMENT_KEY, IDEMPOTENCY_KEY, KEPT, Answer, Operation, Parameter
from gateway.http.problem_answers import not_ready
from gateway.http.rules import BodyLimit, ErrorShape, Level
from gateway.http.synchronous import PROBLEMS, SynchronousPredictions, received_body
from gateway.problems import Problem, ProblemCode
from gateway.protocols import native, triton
from gateway.protocols import open_inference as protocol
from gateway.protocols.offload import offload
from gateway.serving.loading import Loader
from gateway.serving.model_versions import check_model
from gateway.serving.readiness import Readiness, State

_SHAPE: dict[str, ErrorShape] = {"errors": protocol.error}
_ERROR = "ForeignError"


def _described(name: str, summary: str, content: str, *problems: str) -> Operation:
    return Operation(f"v2_{name}", summary, {200: Answer("As the protocol has it.", content)}, problems, error=_ERROR)


_NO_MODEL = ("404 no_current_version", "503 manifest_invalid", "503 model_not_found")
_NOT_LOADED = ("503 cannot_load", "503 environment_not_served", "503 no_worker", "504 not_in_time", *KEPT)
_SERVER = _described("server", "What this server speaks", "V2Server")
_LIVE = _described("live", "Whether this process runs", "V2Live", "503 stopping")
_READY = _described("ready", "Whether predictions are accepted", "V2Ready", "503 not_ready")
_MODELS = _described("models", "The names of the models", "V2Models")
_MODEL = _described("model", "The inputs and outputs of a model", "V2Model", *_NO_MODEL)
_MODEL_READY = _described("model_ready", "Whether a model is served", "V2ModelReady", *_NO_MODEL)
_INDEX = replace(
    _described("repository_index", "The current version of each model", "V2Index"),
    body="V2IndexRequest",
    body_required=False,
)
_LOAD = _described("load", "Load a model into the workers", "V2Load", *_NO_MODEL, *_NOT_LOADED)
_UNLOAD = replace(_described("unload", "Refused: models are not unloaded", "V2Load", "409 not_unloaded"), answers={})
_STATS = _described("statistics", "What versions have answered", "V2Statistics", *_NO_MODEL)
_CONFIG = _described("config", "A model's configuration, as Triton writes it", "V2Config", *_NO_MODEL)
_NO_STREAM = replace(
    _described("generate", "Refused: answers are whole", "V2Load", "400 not_supported"), answers={}, body_required=False
)
_INFER = Operation(
    "v2_infer",
    "Predict rows in tensors",
    {
        200: Answer(
            "The outputs; as bytes after the JSON where the request asks for them.",
            {"application/json": "InferResponse", protocol.BINARY: "Bytes"},
            {protocol.HEADER_LENGTH: "The bytes of the JSON, if tensors follow."},
        )
    },
    problems=("400 not_supported", *PROBLEMS),
    parameters=(
        EXPERIMENT_KEY,
        IDEMPOTENCY_KEY,
        Parameter(protocol.HEADER_LENGTH, "The bytes of the JSON, if tensors follow.", COUNT, "header"),
    ),
    body={"application/json": "InferRequest", protocol.BINARY: "Bytes"},
    error=_ERROR,
)


def _of_version(operation: Operation) -> Operation:
    return replace(operation, id=f"{operation.id}_version")


_UNLOADED = (
    "Modelgate does not unload models: workers drop what is not used when they need the memory; to stop serving a"
    " version, move its alias or delete it"
)


def blueprint(
    predictions: SynchronousPredictions,
    readiness: Readiness,
    loader: Loader,
    counts: MetricsReader,
    stopping: threading.Event,
    rows: BodyLimit,
) -> Blueprint:
    """`stopping` is set once this process is to stop. `rows`: the limit of bodies with rows."""
    routes = Blueprint("open_inference", __name__, url_prefix="/v2")
    repository = predictions.predictor.repository
    described_model = predictions.predictor.model  # counted as no request for predictions

    @routes.get("", level=Level.OPEN, docs=_SERVER, **_SHAPE)
    def server() -> Response:
        return json_response(protocol.server_metadata())

    @routes.get("/health/live", level=Level.OPEN, docs=_LIVE, **_SHAPE)
    def live() -> Response:
        if stopping.is_set():
            raise Problem(ProblemCode.STOPPING, "this gateway is stopping; use another one", retry_after=1)
        return json_response({"live": True})

    @routes.get("/health/ready", level=Level.OPEN, docs=_READY, **_SHAPE)
    def ready() -> Response:
        report = readiness.report()
        if report.state is State.NOT_READY:
            return not_ready(report.without_names())
        return json_response({"ready": True}, headers=FRESH)

    @routes.get("/models", level=Scope.READ, docs=_MODELS, **_SHAPE)
    def models() -> Response:
        return json_response({"models": repository.names()})

    @routes.get("/models/<reference>", level=Scope.READ, docs=_MODEL, **_SHAPE)
    @routes.get("/models/<reference>/versions/<version>", level=Scope.READ, docs=_of_version(_MODEL), **_SHAPE)
    def model(reference: str, version: str | None = None) -> Response:
        manifest = described_model(_referred(reference, version))
        return json_response(protocol.model_metadata(manifest, repository.versions(manifest.name)))

    @routes.get("/models/<reference>/ready", level=Scope.READ, docs=_MODEL_READY, **_SHAPE)
    @routes.get(
        "/models/<reference>/versions/<version>/ready", level=Scope.READ, docs=_of_version(_MODEL_READY), **_SHAPE
    )
    def model_ready(reference: str, version: str | None = None) -> Response:
        manifest = described_model(_referred(reference, version))
        return json_response({"name": manifest.name, "ready": True}, headers=FRESH)

    @routes.get("/models/stats", level=Scope.READ, docs=replace(_STATS, id="v2_all_statistics"), **_SHAPE)
    def all_statistics() -> Response:
        names = repository.names()
        versions = [(name, version) for name in names for version in repository.versions(name)]
        return json_response(triton.statistics(versions, counts.read_models(names)), headers=FRESH)

    @routes.get("/models/<reference>/stats", level=Scope.READ, docs=_STATS, **_SHAPE)
    @routes.get("/models/<reference>/versions/<version>/stats", level=Scope.READ, docs=_of_version(_STATS), **_SHAPE)
    def statistics(reference: str, version: str | None = None) -> Response:
        manifest = described_model(_referred(reference, version))
        versions = repository.versions(manifest.name) if reference == manifest.name and not version else ()
        asked = [(manifest.name, number) for number in versions or [manifest.version]]
        return json_response(triton.statistics(asked, counts.read_models([manifest.name])), headers=FRESH)

    @routes.get("/models/<reference>/config", level=Scope.READ, docs=_CONFIG, **_SHAPE)
    @routes.get("/models/<reference>/versions/<version>/config", level=Scope.READ, docs=_of_version(_CONFIG), **_SHAPE)
    def config(reference: str, version: str | None = None) -> Response:
        manifest = described_model(_referred(reference, version))
        described = protocol.model_metadata(manifest, [])
        return json_response(triton.configuration(manifest, described, predictions.predictor.max_rows))

    def no_stream(verb: str, reference: str, version: str | None = None) -> Response:
        described_model(_referred(reference, version))
        detail = f"{verb} is for models that answer piece by piece; POST /v2/models/{reference}/infer"
        raise Problem(ProblemCode.NOT_SUPPORTED, detail)

    for verb in ("generate", "generate_stream", "infer_stream"):
        docs = replace(_NO_STREAM, id=f"v2_{verb}")
        for path, described in (("", docs), ("/versions/<version>", _of_version(docs))):
            options: dict[str, Any] = {"level": Scope.PREDICT, "docs": described, **_SHAPE}
            routes.add_url_rule(
                f"/models/<reference>{path}/{verb}", described.id, partial(no_stream, verb), methods=["POST"], **options
            )

    @routes.post("/models/<reference>/infer", level=Scope.PREDICT, docs=_INFER, body=rows, **_SHAPE)
    @routes.post(
        "/models/<reference>/versions/<version>/infer",
        level=Scope.PREDICT,
        docs=_of_version(_INFER),
        body=rows,
        **_SHAPE,
    )
    def infer(reference: str, version: str | None = None) -> PredictionAnswer:
        kind = media_type(request.environ)
        if not is_json(kind) and kind != protocol.BINARY:
            accepted = f"application/json, {protocol.BINARY}"
            raise unsupported(kind, f"application/json, or {protocol.BINARY} with binary tensors", accepted)
        manifest = predictions.model(_referred(reference, version))
        body = received_body()
        infer_request = protocol.read(body, request.headers.get(protocol.HEADER_LENGTH), manifest.signature)
        predictions.check_rows(infer_request.most_rows)
        method = infer_request.method(manifest.signature)
        rows = offload(len(body), infer_request.instances, manifest.signature)
        job = predictions.predict(manifest, rows, len(body), method)
        written = offload(native.size_of(job), protocol.write, infer_request, method, job)
        return predictions.answer(job, *written)

    @routes.post("/repository/index", level=Scope.READ, docs=_INDEX, **_SHAPE)
    def index() -> Response:
        return json_response(protocol.index(repository, received_body()))

    @routes.post("/repository/models/<name>/load", level=Scope.PREDICT, docs=_LOAD, **_SHAPE)
    def load(name: str) -> Response:
        manifest = described_model(name)
        loader.load(manifest.name, manifest.version, manifest.environment, hung_up())
        return json_response({"name": manifest.name, "load": True})

    @routes.post("/repository/models/<name>/unload", level=Scope.PREDICT, docs=_UNLOAD, **_SHAPE)
    def unload(name: str) -> Response:
        check_model(repository, name)
        raise Problem(ProblemCode.NOT_UNLOADED, _UNLOADED)

    return routes


def _referred(reference: str, version: str | None) -> str:
    """Return `loan@3` for the version in the path."""
    return reference if version is None else f"{reference}@{version}"
