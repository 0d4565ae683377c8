"""The standard health service of gRPC: whether this process serves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

NAME = "grpc.health.v1.Health"

MOST_WATCHERS = 16
"""Calls of Watch, each of which holds a thread."""

_LOOK_EVERY = 1.0
"""Seconds after which a watcher who has left gives its thread back."""


class Health:
    """SERVING until `stopping` is set, as `/health/live`: predictions may still be refused while Redis is away, which
    ServerReady says. A restart would not help then.

    grpcio-health-checking has a servicer, too, which keeps each name that it was ever asked for.
    """

    def __init__(self, stopping: threading.Event, services: frozenset[str]) -> None:
        """`services`: the names that may be asked for, besides '', which stands for all."""
        self._stopping = stopping
        self._services = services | {""}
        self._watchers = threading.BoundedSemaphore(MOST_WATCHERS)

    def handler(self) -> grpc.GenericRpcHandler:
        codec = {
            "request_deserializer": HealthCheckRequest.FromString,
            "response_serializer": HealthCheckResponse.SerializeToString,
        }
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, **codec),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch, **codec),
        }
        return grpc.method_handlers_generic_handler(NAME, methods)

    def _status(self, service: str) -> Any:
        if service not in self._services:
            return HealthCheckResponse.SERVICE_UNKNOWN
        return HealthCheckResponse.NOT_SERVING if self._stopping.is_set() else HealthCheckResponse.SERVING

    def _check(self, request: HealthCheckRequest, context: grpc.ServicerContext) -> HealthCheckResponse:
        status = self._status(request.service)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service; ask for '' or for one that there is")
        return HealthCheckResponse(status=status)

    def _watch(self, request: HealthCheckRequest, context: grpc.ServicerContext) -> Iterator[HealthCheckResponse]:
        if not self._watchers.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MOST_WATCHERS} clients watch already; call Check")
        try:
            yield HealthCheckResponse(status=self._status(request.service))
            while context.is_active() and not self._stopping.wait(_LOOK_EVERY):
                pass
            yield HealthCheckResponse(status=self._status(request.service))  # and the end, so that nothing waits for it
        finally:
            self._watchers.release()
