"""The standard health service of gRPC: whether this process serves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from gateway.grpc_server.slow_clients import SlowClients

NAME = "grpc.health.v1.Health"

Context: TypeAlias = grpc.ServicerContext
Messages = Iterator[HealthCheckRequest]

MOST_WATCHERS = 1000
"""Calls of Watch that are open at once."""

MOST_CALLS = 128
"""Calls that wait for their clients at once. One more ends the longest wait: nobody needs a key here."""
_SPARE = 8
"""Threads for calls that do not wait."""
_LONGEST_NAME = 100
"""Characters of a service's name that are remembered."""


class Health:
    """SERVING until the server stops, as `/health/live` has it. Predictions may be refused while Redis is away, which
    ServerReady says: a restart would not help then. Its threads are its own, so no other call can take them.

    grpcio-health-checking has such a service, too, which keeps each name that it was ever asked for.
    """

    def __init__(self, seconds: float, *services: str) -> None:
        """`seconds`: how long a message may take to arrive. `services`: the names that may be asked for, besides '',
        which stands for the whole server."""
        self.clients = SlowClients(MOST_CALLS, seconds)
        self._threads = ThreadPoolExecutor(MOST_CALLS + _SPARE, thread_name_prefix="health")
        self._services = {"", *services}
        self._serving = True
        self._watchers: dict[Callable[[Any], object], Callable[[], None]] = {}

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
        self._serving = False
        for send in list(self._watchers):
            self._threads.submit(self._end, send)

    def _answer(self, service: str) -> HealthCheckResponse:
        if service not in self._services:
            return HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
        return HealthCheckResponse(status="SERVING" if self._serving else "NOT_SERVING")

    def _check(self, messages: Messages, context: Context) -> HealthCheckResponse:
        with self.clients.waiting(context):
            service = next(messages, HealthCheckRequest()).service
        self.clients.when_read(context)
        if service not in self._services:
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service; ask for the server, without a name")
        return self._answer(service)

    def _watch(self, messages: Messages, context: Context, send: Callable[[Any], object]) -> None:
        def tell() -> None:
            with self.clients.waiting(context):  # for one that does not read
                send(self._answer(service))

        with self.clients.waiting(context):
            service = next(messages, HealthCheckRequest()).service[:_LONGEST_NAME]
        if len(self._watchers) >= MOST_WATCHERS:
            # After any other code, clients would take the server for unhealthy.
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{MOST_WATCHERS} clients watch already; call Check")
        tell()
        self._watchers[send] = tell
        if not (context.add_callback(lambda: self._watchers.pop(send, None)) and self._serving):
            self._end(send)

    def _end(self, send: Callable[[Any], object]) -> None:
        """End the call of a watcher, unless that was done."""
        if tell := self._watchers.pop(send, None):
            tell()
            send(None)
