"""The standard health service of gRPC: whether this process serves."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from gateway.door.connections import TooSlow
from gateway.grpc_server.slow_clients import SlowClients
from gateway.problems import MalformedBody

NAME = "grpc.health.v1.Health"

Context: TypeAlias = grpc.ServicerContext
Messages = Iterator[HealthCheckRequest]
Send = Callable[[HealthCheckResponse | None], object]

MOST_WATCHERS = 1000
"""Calls of Watch that are open at once."""

MOST_CALLS = 128
"""Calls that wait for their clients at once. One more ends the longest wait: nobody needs a key here."""
_TO_ANSWER = 8
"""Threads for the calls that do not wait."""


class Health:
    """SERVING until the server stops, as `/health/live` has it. Predictions may be refused while Redis is away, which
    ServerReady says: a restart would not help then. Its threads are its own, so no other call can take them.

    grpcio-health-checking has such a service, too, which keeps each name that it was ever asked for.
    """

    def __init__(self, seconds: float, *services: str) -> None:
        """`seconds`: how long a message may take to arrive. `services`: the names that may be asked for, besides '',
        which stands for the whole server."""
        self.clients = SlowClients(MOST_CALLS, seconds)
        self._threads = ThreadPoolExecutor(MOST_CALLS + _TO_ANSWER, thread_name_prefix="health")
        self._services = {"", *services}
        self._serving = True
        self._lock = threading.Lock()
        self._watchers: dict[Send, tuple[Context, str | None]] = {}

    def handler(self) -> grpc.GenericRpcHandler:
        codec = {
            "request_deserializer": HealthCheckRequest.FromString,
            "response_serializer": HealthCheckResponse.SerializeToString,
        }
        check: Any = functools.partial(self._check)
        watch: Any = functools.partial(self._watch)
        check.experimental_thread_pool = watch.experimental_thread_pool = self._threads
        watch.experimental_non_blocking = True  # or each watcher would hold a thread
        methods = {
            "Check": grpc.stream_unary_rpc_method_handler(check, **codec),
            "Watch": grpc.stream_stream_rpc_method_handler(watch, **codec),
        }
        return grpc.method_handlers_generic_handler(NAME, methods)

    def stop(self) -> None:
        """Say NOT_SERVING from now on, also to all watchers, and end their calls, so that the server need not wait for
        them."""
        with self._lock:
            self._serving = False
            watchers = list(self._watchers.items())
        for send, watched in watchers:
            self._threads.submit(self._end, send, *watched)

    def _answer(self, service: str | None) -> HealthCheckResponse:
        if service is None:
            return HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
        return HealthCheckResponse(status="SERVING" if self._serving else "NOT_SERVING")

    def _asked(self, messages: Messages, context: Context) -> str | None:
        """Return the service in the message of a call; None: there is no such service."""
        try:
            service: str = self.clients.receive(messages, context).service
        except (MalformedBody, TooSlow) as error:
            context.abort(grpc.StatusCode.CANCELLED, str(error))
        return service if service in self._services else None

    def _check(self, messages: Messages, context: Context) -> HealthCheckResponse:
        service = self._asked(messages, context)
        self.clients.when_read(context)
        if service is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service; ask for the server, without a name")
        return self._answer(service)

    def _watch(self, messages: Messages, context: Context, send: Send) -> None:
        service = self._asked(messages, context)
        if len(self._watchers) >= MOST_WATCHERS:
            # After any other code, clients would take the server for unhealthy.
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{MOST_WATCHERS} clients watch already; call Check")
        self._send(send, context, service)
        with self._lock:
            if serving := self._serving:
                self._watchers[send] = context, service
        if not context.add_callback(lambda: self._watchers.pop(send, None)):
            self._watchers.pop(send, None)
        if not serving:
            send(None)

    def _send(self, send: Send, context: Context, service: str | None) -> None:
        with self.clients.waiting(context):
            send(self._answer(service))

    def _end(self, send: Send, context: Context, service: str | None) -> None:
        self._send(send, context, service)
        send(None)
