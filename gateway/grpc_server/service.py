"""The calls of the service: each is a request to the application, whose path and body are in its message."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Iterator, Mapping
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
from gateway.grpc_server.http_client import Context, Refusal, address_of, ask, refusal
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

_CALLS: Mapping[str, tuple[str, str, str]] = {
    "ServerLive": ("GET", "/v2/health/live", ""),
    "ServerReady": ("GET", "/v2/health/ready", ""),
    "ModelReady": ("GET", "/v2/models/{}/ready", ""),
    "ServerMetadata": ("GET", "/v2", ""),
    "ModelMetadata": ("GET", "/v2/models/{}", ""),
    "ModelInfer": ("POST", "/v2/models/{}/infer", ""),
    "ModelConfig": ("GET", "/v2/models/{}/config", "config"),
    "ModelStatistics": ("GET", "/v2/models/{}/stats", ""),
    "RepositoryIndex": ("POST", "/v2/repository/index", "models"),
    "RepositoryModelLoad": ("POST", "/v2/repository/models/{}/load", ""),
    "RepositoryModelUnload": ("POST", "/v2/repository/models/{}/unload", ""),
}
"""The request of each call, with {} for the model, and the member of the answer that its JSON is; '': it has all."""


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
        return grpc.stream_unary_rpc_method_handler(answer, response_serializer=methodcaller("SerializeToString"))

    def _answer(self, name: str, messages: Messages, context: Context) -> Any:
        self._queued.release()
        with self._lock:
            full = not self.free
            self.free -= not full
        if full:
            exchange = self._door.refused(address_of(context), HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.OVERLOADED)
            context.set_trailing_metadata([("x-request-id", exchange.request_id), ("retry-after", "1")])
            sentence = f"{self._most} calls are answered already, as many as one process takes; try again"
            context.abort(grpc.StatusCode.UNAVAILABLE, sentence)
        try:
            answer = self._call(name, messages, context)
        except TooSlow as error:
            answer = grpc.StatusCode.CANCELLED, str(error)
        except Exception:
            log.exception("a call of %s failed", name)
            answer = grpc.StatusCode.INTERNAL, "something went wrong in the gateway; its log says what"
        finally:
            self.clients.when_read(context, functools.partial(self._end, context))
        return context.abort(*answer) if isinstance(answer, tuple) else answer

    def _call(self, name: str, messages: Messages, context: Context) -> Message | Refusal:
        if name not in _CALLS:
            sentence = f"{name[:40]} is not served over gRPC; the calls are {', '.join(_CALLS)}"
            return grpc.StatusCode.UNIMPLEMENTED, sentence
        method, path, member = _CALLS[name]
        receive = functools.partial(self._receive, name, path, messages, context)
        status, value, tensors = ask(self._door, context, method, path.format("{model}"), receive)
        response: Message = getattr(pb, f"{name}Response")()
        if status < HTTPStatus.BAD_REQUEST:
            if name == "ModelInfer":
                return inference_messages.write(value, tensors)
            return ParseDict({member: value} if member else value, response, ignore_unknown_fields=True)
        if status in (HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE) and name.endswith(("Live", "Ready")):
            return response  # which says no, as Triton does
        return refusal(status, value.get("error") or value["detail"])  # a problem, if no route of the protocol answered

    def _receive(self, name: str, path: str, messages: Messages, context: Context, environ: WSGIEnvironment) -> None:
        """Complete the request of a caller whose key opens the call. Raises `Problem`, and `TooSlow`."""
        owner = self._owners[context] = caller().owner
        if list(self._owners.values()).count(owner) > SHARE * (self.free + 1):
            detail = f"most of the {self._most} calls that one process answers are yours; try again"
            raise Problem(ProblemCode.OVERLOADED, detail, status=429, retry_after=1)
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
