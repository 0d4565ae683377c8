"""The calls of the service: each is a request to the application, whose path and body are in its message."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from operator import methodcaller
from typing import Any, TypeAlias
from wsgiref.types import WSGIEnvironment

import grpc
from google.protobuf.json_format import MessageToJson, ParseDict
from google.protobuf.message import Message

from gateway.door.connections import TooSlow
from gateway.door.entrance import Door
from gateway.grpc_server import inference_pb2 as pb
from gateway.grpc_server.http_client import CallRefused, HttpAnswer, HttpClient, address_of
from gateway.grpc_server.inference_messages import InferBody, head_of, parsed, write
from gateway.grpc_server.slow_clients import SlowClients
from gateway.http.exchange import caller
from gateway.problems import MalformedBody, Problem, ProblemCode

log = logging.getLogger("gateway")

Context: TypeAlias = grpc.ServicerContext
Messages = Iterator[bytes]

NAME = "inference.GRPCInferenceService"

SHARE = 15
"""Calls that an owner may have for each call that is free, so that others always find room."""

_LONGEST_REFERENCE = 8000
"""Bytes of a model's name and version: as many as fit into the first line of a request over HTTP."""


@dataclass(frozen=True)
class Call:
    """The request of a call: `path` has {} for the model. `response` makes the message of the answer."""

    method: str
    path: str
    response: Callable[[HttpAnswer], Message]


def _model_ready(answer: HttpAnswer) -> Message:
    if answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE):  # as Triton answers
        return pb.ModelReadyResponse(ready=False)
    return _from_json(pb.ModelReadyResponse)(answer)


def _model_loaded(answer: HttpAnswer) -> Message:
    loaded = answer.json()
    return pb.RepositoryModelLoadResponse(model_name=loaded["name"], is_loaded=loaded["load"])


def _from_json(kind: type[Message], member: str = "") -> Callable[[HttpAnswer], Message]:
    """Return what makes a message of JSON, or of JSON that is its `member`. It need not have every member."""

    def response(answer: HttpAnswer) -> Message:
        value = answer.json()
        message: Message = ParseDict({member: value} if member else value, kind(), ignore_unknown_fields=True)
        return message

    return response


_CALLS: Mapping[str, Call] = {
    "ServerLive": Call("GET", "/v2/health/live", lambda answer: pb.ServerLiveResponse(live=answer.good)),
    "ServerReady": Call("GET", "/v2/health/ready", lambda answer: pb.ServerReadyResponse(ready=answer.good)),
    "ModelReady": Call("GET", "/v2/models/{}/ready", _model_ready),
    "ServerMetadata": Call("GET", "/v2", _from_json(pb.ServerMetadataResponse)),
    "ModelMetadata": Call("GET", "/v2/models/{}", _from_json(pb.ModelMetadataResponse)),
    "ModelInfer": Call("POST", "/v2/models/{}/infer", write),
    "ModelConfig": Call("GET", "/v2/models/{}/config", _from_json(pb.ModelConfigResponse, "config")),
    "ModelStatistics": Call("GET", "/v2/models/{}/stats", _from_json(pb.ModelStatisticsResponse)),
    "RepositoryIndex": Call("POST", "/v2/repository/index", _from_json(pb.RepositoryIndexResponse, "models")),
    "RepositoryModelLoad": Call("POST", "/v2/repository/models/{}/load", _model_loaded),
    "RepositoryModelUnload": Call(
        "POST", "/v2/repository/models/{}/unload", _from_json(pb.RepositoryModelUnloadResponse)
    ),
}


class _AtOnce(ThreadPoolExecutor):
    """Runs what never waits, in the thread of gRPC that accepts calls: refusals cannot queue for threads."""

    def submit(self, run: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(run(*args, **options))
        return done


_AT_ONCE = _AtOnce(1)


class InferenceService(grpc.GenericRpcHandler):
    """Answers the calls of the protocol, at most `most` at once, each in a thread. `free`: how many more it would take.

    A call takes a thread before its message arrives: its key is checked first. It keeps its place until its client has
    read the answer.
    """

    def __init__(self, door: Door, most: int, seconds: float) -> None:
        """`seconds`: how long a message may take to arrive, and an answer to be read."""
        self.clients = SlowClients(most, seconds)
        self._door = door
        self._most = self.free = most
        self._lock = threading.Lock()
        self._owners: dict[Context, str] = {}
        self._handlers = {
            f"/{NAME}/{name}": grpc.stream_unary_rpc_method_handler(
                functools.partial(self._answer, name, call), response_serializer=methodcaller("SerializeToString")
            )
            for name, call in _CALLS.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Return what answers a call; None: the call is of another service."""
        method: str = handler_call_details.method
        if not method.startswith(f"/{NAME}/"):
            return None
        if (handler := self._handlers.get(method)) is None:
            sentence = f"{method.rpartition('/')[2][:40]} is not served over gRPC; the calls are {', '.join(_CALLS)}"
            return _at_once(lambda _, context: context.abort(grpc.StatusCode.UNIMPLEMENTED, sentence))
        with self._lock:
            if not self.free:
                return _at_once(self._refuse)
            self.free -= 1
        return handler

    def _refuse(self, _: object, context: Context) -> None:
        exchange = self._door.refused(address_of(context), HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.OVERLOADED)
        context.set_trailing_metadata([("x-request-id", exchange.request_id), ("retry-after", "1")])
        sentence = f"{self._most} calls are answered already, as many as one process takes; try again"
        context.abort(grpc.StatusCode.UNAVAILABLE, sentence)

    def _answer(self, name: str, call: Call, messages: Messages, context: Context) -> Any:
        try:
            receive = functools.partial(self._receive, name, call.path, messages, context)
            return call.response(HttpClient(self._door, context).ask(call.method, call.path.format("{model}"), receive))
        except CallRefused as error:
            # Not the error itself, which refers to this frame: its megabytes would be in a cycle.
            code, sentence = error.code, error.sentence
        except TooSlow as error:
            code, sentence = grpc.StatusCode.CANCELLED, str(error)
        except Exception:
            log.exception("a call of %s failed", name)
            code, sentence = grpc.StatusCode.INTERNAL, "something went wrong in the gateway; its log says what"
        finally:
            self.clients.when_read(context, functools.partial(self._end, context))
        return context.abort(code, sentence)  # which raises

    def _receive(self, name: str, path: str, messages: Messages, context: Context, environ: WSGIEnvironment) -> None:
        """Complete the request of a caller whose key opens the call. Raises `Problem`, and `TooSlow`."""
        self._check_share(context)
        kind = getattr(pb, f"{name}Request")
        if not kind.DESCRIPTOR.fields:
            return  # there is nothing to wait for
        message = self.clients.receive(messages, context)
        request = head_of(message) if kind is pb.ModelInferRequest else parsed(kind, message)
        if len(reference := _reference(request)) > _LONGEST_REFERENCE:
            raise MalformedBody(f"the model's name and version have more than {_LONGEST_REFERENCE} characters")
        path = path.format(reference) if reference else path.replace("{}/", "")
        environ["PATH_INFO"] = path.encode().decode("latin-1")
        infer = kind is pb.ModelInferRequest
        environ["wsgi.input"] = InferBody(message, environ) if infer else BytesIO(MessageToJson(request).encode())

    def _check_share(self, context: Context) -> None:
        """Raise `Problem` if few calls are free, and the owner of the key has most of the others."""
        owner = caller().owner
        if (free := self.free + 1) * (SHARE + 1) <= self._most and (
            list(self._owners.values()).count(owner) >= SHARE * free
        ):
            detail = f"your calls are most of the {self._most} that one process answers; try again"
            raise Problem(ProblemCode.OVERLOADED, detail, retry_after=1)
        self._owners[context] = owner

    def _end(self, context: Context) -> None:
        with self._lock:
            self._owners.pop(context, None)
            self.free += 1


def _reference(request: Any) -> str:
    """Return the model in a message. Triton's clients send it to the repository in one field, KServe's in another."""
    name = _first(request, "name", "model_name", "repository_name")
    return f"{name}@{version}" if (version := _first(request, "version", "model_version")) else name


def _first(request: Any, *fields: str) -> str:
    return next(filter(None, (getattr(request, field, "") for field in fields)), "")


def _at_once(refuse: Callable[[Any, Any], object]) -> grpc.RpcMethodHandler:
    """Return what refuses a call, also one that sends a stream, without a thread."""
    behavior: Any = functools.partial(refuse)
    behavior.experimental_thread_pool = _AT_ONCE
    return grpc.stream_unary_rpc_method_handler(behavior)
