"""The spans of requests, for OpenTelemetry."""

from __future__ import annotations

from contract.work.request_ids import RequestIds
from gateway.door.access_log import ROUTINE
from gateway.http.exchange import Exchange
from runtime.tracing import Tracer


class RequestSpans:
    """Makes a span of each request, within the trace of its client if there is one. The job of the request carries it
    on to the scorer."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(self, exchange: Exchange) -> None:
        if exchange.environ["PATH_INFO"].startswith(ROUTINE):
            return
        parent = exchange.ids.traceparent if exchange.ids else None
        exchange.span = self._tracer.start(exchange.environ["REQUEST_METHOD"], parent, server=True)
        exchange.ids = RequestIds(exchange.request_id, self._tracer.traceparent(exchange.span))

    def end(self, exchange: Exchange) -> None:
        span, method = exchange.span, exchange.environ["REQUEST_METHOD"]
        if span is None:
            return
        if exchange.route:
            span.update_name(f"{method} {exchange.route.rule}")
        attributes = {
            "http.request.method": method,
            "http.route": exchange.route and exchange.route.rule,
            "http.response.status_code": exchange.status,
            "error.type": exchange.code,
            "modelgate.request_id": exchange.request_id,
            "modelgate.job_id": exchange.job_id,
            "modelgate.model": exchange.model,
            "modelgate.version": exchange.version,
        }
        self._tracer.end(span, attributes, failed=exchange.code if exchange.status >= 500 else None)
