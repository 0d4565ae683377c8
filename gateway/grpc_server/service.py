"""The calls of the service: each is a request to the application, whose path and body are in its message."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from io import BytesIO
from operator import methodcaller
from types import SimpleNamespace
from typing import Any
from wsgiref.types import WSGIEnvironment

import grpc
from google.protobuf.json_format import MessageToJson, ParseDict
from google.protobuf.message import Message

from gateway.door.connections import TooSlow
from gateway.door.entrance import Door
from gateway.grpc_server import inference_messages
from gateway.grpc_server import inference_pb2 as pb
from gateway.grpc_server.http_client import CallRefused, Context, HttpAnswer, address_of, ask
from gateway.grpc_server.slow_clients import SlowClients
from gateway.http.exchange import caller
from gateway.problems import Problem, ProblemCode

log = logging.getLogger("gateway")

Messages = Iterator[bytes]

NAME = "inference.GRPCInferenceService"

SHARE = 15
"""Calls that an owner may have for each call that is free, so that others always find room."""

_LONGEST_PATH = 8000
"""Bytes of a path, which HTTP has, too, for its first line."""

_SERIALIZED = methodcaller("SerializeToString")
Response = Callable[[HttpAnswer], Message]


def _model_ready(answer: HttpAnswer) -> Message:
    if answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE):  # as Triton answers
        return pb.ModelReadyResponse(ready=False)
    return _from_json(pb.ModelReadyResponse)(answer)


def _model_loaded(answer: HttpAnswer) -> Message:
    loaded = answer.json()
    return pb.RepositoryModelLoadResponse(model_name=loaded["name"], is_loaded=loaded["load"])


def _from_json(kind: type[Message], member: str = "") -> Response:
    """Return what makes a message of JSON, or of JSON that is its `member`. It need not have every member."""

    def response(answer: HttpAnswer) -> Message:
        value = answer.json()
        message: Message = ParseDict({member: value} if member else value, kind(), ignore_unknown_fields=True)
        return message

    return response


_CALLS: Mapping[str, tuple[str, str, Response]] = {
    "ServerLive": ("GET", "/v2/health/live", lambda answer: pb.ServerLiveResponse(live=answer.good)),
    "ServerReady": ("GET", "/v2/health/ready", lambda answer: pb.ServerReadyResponse(ready=answer.good)),
    "ModelReady": ("GET", "/v2/models/{}/ready", _model_ready),
    "ServerMetadata": ("GET", "/v2", _from_json(pb.ServerMetadataResponse)),
    "ModelMetadata": ("GET", "/v2/models/{}", _from_json(pb.ModelMetadataResponse)),
    "ModelInfer": ("POST", "/v2/models/{}/infer", inference_messages.write),
    "ModelConfig": ("GET", "/v2/models/{}/config", _from_json(pb.ModelConfigResponse, "config")),
    "ModelStatistics": ("GET", "/v2/models/{}/stats", _from_json(pb.ModelStatisticsResponse)),
    "RepositoryIndex": ("POST", "/v2/repository/index", _from_json(pb.RepositoryIndexResponse, "models")),
    "RepositoryModelLoad": ("POST", "/v2/repository/models/{}/load", _model_loaded),
    "RepositoryModelUnload": ("POST", "/v2/repository/models/{}/unload", _from_json(pb.RepositoryModelUnloadResponse)),
}
"""The request of each call, with {} for the model, and what makes the message of its answer."""


class InferenceService(grpc.GenericRpcHandler):
    """Answers the calls of the protocol, at most `most` at once, each in a thread. `free`: how many more it would take.

    A thread takes a call when its metadata has arrived, and checks its key before it waits for the message. The call
    keeps its place until its client has read the answer.
    """

    def __init__(self, door: Door, most: int, seconds: float) -> None:
        """`seconds`: how long a message may take to arrive, and an answer to be read."""
        self.clients = SlowClients(most, seconds)
        self._door = door
        self._most = self.free = most
        self._lock = threading.Lock()
        self._owners: dict[Context, str] = {}
        self._queued = threading.Semaphore(2 * most)  # more calls wait in gRPC, which has a limit for them

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Return what answers a call; None: the call is of another service."""
        service, _, name = handler_call_details.method.rpartition("/")
        if service != f"/{NAME}":
            return None
        self._queued.acquire()
        answer = functools.partial(self._answer, name)
        # With a stream, the thread begins before the message is there.
        return grpc.stream_unary_rpc_method_handler(answer, response_serializer=_SERIALIZED)

    def _answer(self, name: str, messages: Messages, context: Context) -> Any:
        self._queued.release()
        with self._lock:
            full = not self.free
            self.free -= not full
        try:
            if full:
                detail = f"{self._most} calls are answered already, as many as one process takes; try again"
                exchange = self._door.refused(address_of(context), 503, ProblemCode.OVERLOADED)
                context.set_trailing_metadata([("x-request-id", exchange.request_id), ("retry-after", "1")])
                raise CallRefused(grpc.StatusCode.UNAVAILABLE, detail)
            if name not in _CALLS:
                sentence = f"{name[:40]} is not served over gRPC; the calls are {', '.join(_CALLS)}"
                raise CallRefused(grpc.StatusCode.UNIMPLEMENTED, sentence)
            method, path, response = _CALLS[name]
            receive = functools.partial(self._receive, name, path, messages, context)
            return response(ask(self._door, context, method, path.format("{model}"), receive))
        except CallRefused as error:
            code, sentence = error.code, error.sentence  # the error holds this frame, and so the message
        except TooSlow as error:
            code, sentence = grpc.StatusCode.CANCELLED, str(error)
        except Exception:
            log.exception("a call of %s failed", name)
            code, sentence = grpc.StatusCode.INTERNAL, "something went wrong in the gateway; its log says what"
        finally:
            if not full:
                self.clients.when_read(context, functools.partial(self._end, context))
        return context.abort(code, sentence)  # which raises

    def _receive(self, name: str, path: str, messages: Messages, context: Context, environ: WSGIEnvironment) -> None:
        """Complete the request of a caller whose key opens the call. Raises `Problem`, and `TooSlow`."""
        owner = self._owners[context] = caller().owner
        if list(self._owners.values()).count(owner) > SHARE * (self.free + 1):
            detail = f"most of the {self._most} calls that one process answers are yours; try again"
            raise Problem(ProblemCode.OVERLOADED, detail, retry_after=1)
        kind = getattr(pb, f"{name}Request")
        if not kind.DESCRIPTOR.fields:
            return  # there is nothing to wait for
        with self.clients.waiting(context):
            message = next(messages)
        if name == "ModelInfer":
            inference_messages.check_parts(message)
            # The route makes the body once it needs it.
            environ["wsgi.input"] = SimpleNamespace(read=functools.partial(inference_messages.body, message, environ))
            kind = pb.ModelReadyRequest  # its name and version have the same numbers
        request = inference_messages.parsed(kind, message)
        names = [getattr(request, field, "") for field in ("name", "model_name", "repository_name")]
        reference, version = next(filter(None, names), ""), getattr(request, "version", "")
        path = path.format(f"{reference}@{version}" if version else reference) if reference else path.replace("{}/", "")
        environ["PATH_INFO"] = path[:_LONGEST_PATH].encode().decode("latin-1")
        if name == "RepositoryIndex":
            environ["wsgi.input"] = BytesIO(MessageToJson(request).encode())

    def _end(self, context: Context) -> None:
        with self._lock:
            self._owners.pop(context, None)
            self.free += 1
