"""Traces for OpenTelemetry, if OTEL_EXPORTER_OTLP_ENDPOINT is set; otherwise nothing of it is imported.

The other variables of OpenTelemetry, such as OTEL_EXPORTER_OTLP_HEADERS and OTEL_TRACES_SAMPLER, work as its
documentation says: its exporter and SDK read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from contract.errors import SettingsError
from contract.settings import Settings

_PACKAGES = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def check_tracing(settings: Settings) -> None:
    """Raise `SettingsError` if traces are asked for and OpenTelemetry is not installed."""
    if not settings.otel_exporter_otlp_endpoint:
        return
    for package in _PACKAGES:
        try:
            spec = find_spec(package)
        except ModuleNotFoundError:
            spec = None
        if spec is None:
            raise SettingsError(
                "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed; install"
                " requirements/opentelemetry.txt, or unset it"
            )


def start_tracing(service: str, settings: Settings) -> Tracer | None:
    """Return what makes the spans of this process, or None without an endpoint.

    Call it in the process that makes the spans: a fork has no thread that sends them.
    """
    return Tracer(service) if settings.otel_exporter_otlp_endpoint else None


class Tracer:
    """Makes spans and sends them, in a thread. A span is OpenTelemetry's."""

    def __init__(self, service: str) -> None:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        self._provider = TracerProvider(resource=Resource.create({"service.name": f"modelgate-{service}"}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("modelgate")

    def start(self, name: str, parent: str | None, *, server: bool = False, at: int | None = None) -> Any:
        """Return a new span. `parent` is a `traceparent`; None: it begins a trace. `at`: Unix time in ns, else now."""
        context = self._propagator.extract({"traceparent": parent} if parent else {})
        kind = self._trace.SpanKind.SERVER if server else self._trace.SpanKind.INTERNAL
        return self._tracer.start_span(name, context, kind=kind, start_time=at)

    def traceparent(self, span: Any) -> str:
        """Return the `traceparent` for the children of a span."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, self._trace.set_span_in_context(span))
        return carrier["traceparent"]

    def end(
        self, span: Any, attributes: Mapping[str, object], *, failed: str | None = None, at: int | None = None
    ) -> None:
        """End a span. Attributes that are None are left out. `failed`: why, if it failed."""
        span.set_attributes({name: value for name, value in attributes.items() if value is not None})
        if failed is not None:
            span.set_status(self._trace.StatusCode.ERROR, failed)
        span.end(at)

    def shutdown(self) -> None:
        """Send what is left. A process that ends by `os._exit` calls it before."""
        self._provider.shutdown()
