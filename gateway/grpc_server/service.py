"""What each call of the service asks the application for."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from operator import methodcaller
from typing import Any, TypeVar

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError, Message

from gateway.door.entrance import Door
from gateway.grpc_server import inference_messages
from gateway.grpc_server import inference_pb2 as pb
from gateway.grpc_server.http_client import CODES, CallRefused, HttpClient, address_of
from gateway.problems import MalformedBody, Problem, ProblemCode

log = logging.getLogger("gateway")

NAME = "inference.GRPCInferenceService"

M = TypeVar("M", bound=Message)
Call = Callable[[Any, HttpClient], Message]


def _server_live(_: pb.ServerLiveRequest, http: HttpClient) -> Message:
    return pb.ServerLiveResponse(live=http.get("/v2/health/live").good)


def _server_ready(_: pb.ServerReadyRequest, http: HttpClient) -> Message:
    return pb.ServerReadyResponse(ready=http.get("/v2/health/ready").good)


def _model_ready(request: pb.ModelReadyRequest, http: HttpClient) -> Message:
    answer = http.get(f"{_model(request.name, request.version)}/ready")
    if answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE):  # as Triton answers
        return pb.ModelReadyResponse(ready=False)
    return _from_json(answer.json(), pb.ModelReadyResponse())


def _server_metadata(_: pb.ServerMetadataRequest, http: HttpClient) -> Message:
    return _from_json(http.get("/v2").json(), pb.ServerMetadataResponse())


def _model_metadata(request: pb.ModelMetadataRequest, http: HttpClient) -> Message:
    return _from_json(http.get(_model(request.name, request.version)).json(), pb.ModelMetadataResponse())


def _model_infer(request: pb.ModelInferRequest, http: HttpClient) -> Message:
    path = f"{_model(request.model_name, request.model_version)}/infer"
    return inference_messages.write(http.post(path, *inference_messages.read(request)))


def _model_config(request: pb.ModelConfigRequest, http: HttpClient) -> Message:
    config = http.get(f"{_model(request.name, request.version)}/config").json()
    return _from_json({"config": config}, pb.ModelConfigResponse())


def _model_statistics(request: pb.ModelStatisticsRequest, http: HttpClient) -> Message:
    path = _model(request.name, request.version) if request.name else "/v2/models"
    return _from_json(http.get(f"{path}/stats").json(), pb.ModelStatisticsResponse())


def _repository_index(request: pb.RepositoryIndexRequest, http: HttpClient) -> Message:
    models = http.post("/v2/repository/index").json()
    wanted = [model for model in models if model["state"] == "READY" or not request.ready]
    return _from_json({"models": wanted}, pb.RepositoryIndexResponse())


def _repository_model_load(request: pb.RepositoryModelLoadRequest, http: HttpClient) -> Message:
    name = request.model_name or request.repository_name
    loaded = http.post(f"/v2/repository/models/{name}/load").json()
    return pb.RepositoryModelLoadResponse(model_name=loaded["name"], is_loaded=loaded["load"])


def _repository_model_unload(request: pb.RepositoryModelUnloadRequest, http: HttpClient) -> Message:
    http.post(f"/v2/repository/models/{request.model_name or request.repository_name}/unload").json()
    return pb.RepositoryModelUnloadResponse()


def _model(name: str, version: str) -> str:
    return f"/v2/models/{name}/versions/{version}" if version else f"/v2/models/{name}"


def _from_json(value: Any, message: M) -> M:
    """Fill in the message, which need not have every member."""
    filled: M = ParseDict(value, message, ignore_unknown_fields=True)
    return filled


_CALLS: Mapping[str, tuple[type[Message], Call]] = {
    "ServerLive": (pb.ServerLiveRequest, _server_live),
    "ServerReady": (pb.ServerReadyRequest, _server_ready),
    "ModelReady": (pb.ModelReadyRequest, _model_ready),
    "ServerMetadata": (pb.ServerMetadataRequest, _server_metadata),
    "ModelMetadata": (pb.ModelMetadataRequest, _model_metadata),
    "ModelInfer": (pb.ModelInferRequest, _model_infer),
    "ModelConfig": (pb.ModelConfigRequest, _model_config),
    "ModelStatistics": (pb.ModelStatisticsRequest, _model_statistics),
    "RepositoryIndex": (pb.RepositoryIndexRequest, _repository_index),
    "RepositoryModelLoad": (pb.RepositoryModelLoadRequest, _repository_model_load),
    "RepositoryModelUnload": (pb.RepositoryModelUnloadRequest, _repository_model_unload),
}


class InferenceService(grpc.GenericRpcHandler):
    """Answers the calls of the protocol, at most `most` at once. `free`: how many more it would take."""

    def __init__(self, door: Door, most: int) -> None:
        self._door = door
        self._most = self.free = most
        self._lock = threading.Lock()
        self._handlers = {
            f"/{NAME}/{name}": grpc.unary_unary_rpc_method_handler(
                functools.partial(self._answer, kind, call), response_serializer=methodcaller("SerializeToString")
            )
            for name, (kind, call) in _CALLS.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Return what answers a call; None: the call is of another service."""
        method: str = handler_call_details.method
        if method.startswith(f"/{NAME}/"):
            return self._handlers.get(method) or _unimplemented(method.rpartition("/")[2][:40])
        return None

    def _answer(self, kind: type[Message], call: Call, message: bytes, context: grpc.ServicerContext) -> Any:
        try:
            return self._called(kind, call, message, context)
        except CallRefused as error:
            refused = error
        except Problem as error:
            exchange = self._door.refused(address_of(context), error.status, error.code)
            refused = CallRefused(CODES[error.status], error.detail)
            retry = [("retry-after", str(error.retry_after))] if error.retry_after else []
            context.set_trailing_metadata([("x-request-id", exchange.request_id), *retry])
        except Exception:
            log.exception("a call of %s failed", kind.__name__)
            refused = CallRefused(grpc.StatusCode.INTERNAL, "something went wrong in the gateway; its log says what")
        return context.abort(refused.code, refused.sentence)  # which raises

    def _called(self, kind: type[Message], call: Call, message: bytes, context: grpc.ServicerContext) -> Message:
        """Raises `CallRefused` with the answer to a request, and `Problem` for a call that makes none."""
        with self._lock:
            if not self.free:
                detail = f"{self._most} calls are answered already, as many as one process takes; try again"
                raise Problem(ProblemCode.OVERLOADED, detail, retry_after=1)
            self.free -= 1
        try:
            return call(kind.FromString(message), HttpClient(self._door, context))
        except DecodeError:
            raise MalformedBody(f"the message is no {kind.__name__} of the protocol") from None
        finally:
            with self._lock:
                self.free += 1


def _unimplemented(name: str) -> grpc.RpcMethodHandler:
    """Return what refuses a call, also one that sends a stream."""
    sentence = f"{name} is not served over gRPC; the calls are {', '.join(_CALLS)}"
    return grpc.stream_stream_rpc_method_handler(
        lambda _, context: context.abort(grpc.StatusCode.UNIMPLEMENTED, sentence)
    )
