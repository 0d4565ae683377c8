"""A gRPC call as a request to the gateway's WSGI application, and the answer as the outcome of the call."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote
from wsgiref.types import WSGIApplication, WSGIEnvironment

import grpc
import orjson

from gateway.door.entrance import RECEIVE
from gateway.http.clients import HUNG_UP
from gateway.protocols.open_inference import BINARY, HEADER_LENGTH

Context: TypeAlias = grpc.ServicerContext
Receive = Callable[[WSGIEnvironment], None]

_CODES: Mapping[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    410: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""The code of each status; all others are INTERNAL."""

_PASSED_ON = frozenset(
    {"authorization", "experiment-key", "idempotency-key", "traceparent", "x-api-key", "x-forwarded-for"}
    | {"x-request-id"}
)
"""The metadata of a call that become headers."""

_PASSED_BACK = frozenset({"idempotent-replayed", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id"})
"""The headers of an answer that become trailing metadata."""


_LONGEST_SENTENCE = 2000
"""Bytes of a sentence. Clients take 8 KB of trailing metadata, and one byte may take three there."""

Refusal = tuple[grpc.StatusCode, str]


def refusal(status: int, sentence: str) -> Refusal:
    """Return code and details of a call whose request has failed."""
    cut = sentence.encode()[:_LONGEST_SENTENCE].decode(errors="ignore")
    return _CODES.get(status, grpc.StatusCode.INTERNAL), cut


def ask(door: WSGIApplication, context: Context, method: str, path: str, receive: Receive) -> tuple[int, Any, bytes]:
    """Return status, JSON and tensors of the answer to a request on behalf of the client of a call. `path` has no model
    yet: once the door has checked the key, `receive` waits for the message, and completes the environment by it."""
    started: list[Any] = []

    def start_response(*status_and_headers: Any) -> Any:
        started[:] = status_and_headers[:2]

    environ, chunks, body = _environ(context, method, path, receive), None, b""
    try:
        chunks = door(environ, start_response)
        for chunk in chunks:
            body += chunk
            if not context.is_active():
                break  # only a client that is still there receives the end, at which an answer counts as received
    finally:
        getattr(chunks, "close", int)()
        environ.clear()  # it holds the context of the call, which holds it: its megabytes would wait for the collector
    status, headers = started
    named = {name.lower(): value for name, value in headers}
    context.set_trailing_metadata([(name, named[name]) for name in _PASSED_BACK & named.keys()])
    length = int(named.get(HEADER_LENGTH.lower(), len(body)))
    return int(status[:3]), orjson.loads(body[:length]), body[length:]


def _environ(context: Context, method: str, path: str, receive: Receive) -> WSGIEnvironment:
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "",
        "SERVER_PROTOCOL": "HTTP/2",
        "REMOTE_ADDR": address_of(context),
        # The guard checks the host because of browsers, whose pages other sites may have written. None of them speaks
        # gRPC.
        "HTTP_HOST": "localhost",
        "CONTENT_TYPE": BINARY,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        HUNG_UP: lambda: not context.is_active(),
        RECEIVE: receive,
    }
    for name, value in context.invocation_metadata():
        if name in _PASSED_ON:
            key = f"HTTP_{name.upper().replace('-', '_')}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def address_of(context: Context) -> str:
    """Return the address of the client of a call, without its port."""
    return unquote(context.peer()).partition(":")[2].rpartition(":")[0].strip("[]")
