"""The standard health service of gRPC: whether this process serves."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

NAME = "grpc.health.v1.Health"

MOST_WATCHERS = 1000
"""Calls of Watch that are open at once."""


class Health:
    """SERVING until the server stops, as `/health/live` has it. Predictions may be refused while Redis is away, which
    ServerReady says: a restart would not help then.

    grpcio-health-checking has such a service, too, which keeps each name that it was ever asked for.
    """

    def __init__(self, *services: str) -> None:
        """`services`: the names that may be asked for, besides '', which stands for the whole server."""
        self._services = {"", *services}
        self._serving = True
        self._lock = threading.Lock()
        self._watchers: dict[Callable[[Any], object], str] = {}

    def handler(self) -> grpc.GenericRpcHandler:
        codec = {
            "request_deserializer": HealthCheckRequest.FromString,
            "response_serializer": HealthCheckResponse.SerializeToString,
        }
        watch: Any = functools.partial(self._watch)
        watch.experimental_non_blocking = True  # or each watcher would hold a thread
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, **codec),
            "Watch": grpc.unary_stream_rpc_method_handler(watch, **codec),
        }
        return grpc.method_handlers_generic_handler(NAME, methods)

    def stop(self) -> None:
        """Say NOT_SERVING from now on, also to all watchers, and end their calls, so that the server need not wait for
        them."""
        with self._lock:
            self._serving = False
            watchers = list(self._watchers.items())
        for send, service in watchers:
            send(self._answer(service))
            send(None)

    def _answer(self, service: str) -> HealthCheckResponse:
        if service not in self._services:
            return HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
        return HealthCheckResponse(status="SERVING" if self._serving else "NOT_SERVING")

    def _check(self, request: HealthCheckRequest, context: grpc.ServicerContext) -> HealthCheckResponse:
        if request.service not in self._services:
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service; ask for the server, without a name")
        return self._answer(request.service)

    def _watch(
        self,
        request: HealthCheckRequest,
        context: grpc.ServicerContext,
        send_response_callback: Callable[[Any], object],
    ) -> None:
        with self._lock:
            if len(self._watchers) >= MOST_WATCHERS:
                # After any other code, clients would take the server for unhealthy.
                context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{MOST_WATCHERS} clients watch already; call Check")
            send_response_callback(self._answer(request.service))
            if not self._serving:
                send_response_callback(None)
            elif context.add_callback(lambda: self._watchers.pop(send_response_callback, None)):
                self._watchers[send_response_callback] = request.service
