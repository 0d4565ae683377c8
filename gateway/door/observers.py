"""What observes each request once its answer is known: the access log, the metrics, and the spans for OpenTelemetry."""

from __future__ import annotations

import functools
import json
import logging
from collections import defaultdict

from broker.access.key_use import UseCounts
from broker.metrics import table
from broker.metrics.counts import Counts
from broker.state.failures import FailureCounts, FailureEntry
from contract.errors import Code
from contract.model.repository import Repository
from contract.rows.redaction import redacted
from contract.wording import counted
from contract.work.api_keys import Scope, without_keys
from contract.work.request_ids import RequestIds
from gateway.http.exchange import Exchange
from runtime.logs import ACCESS, LineQuota, report_left_out
from runtime.tracing import Tracer

log = logging.getLogger(ACCESS)

ROUTINE = ("/health/", "/metrics")
"""Requests that come every few seconds. They are logged only if they fail, and not if a line says why already."""
_LONGEST_PATH = 200

MOST_NAMED = 200
"""Most pairs of field and owner of a model that a process counts by name."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_OTHER = "other"
_UNKNOWN = "unknown"
"""The route of requests that no route takes, whatever their path."""


class AccessLog:
    """Logs requests: at most `rate` a second, and besides these as many that fail with 5xx."""

    def __init__(self, rate: int) -> None:
        self._quota = LineQuota(rate)
        self._failures = LineQuota(rate)
        self._left_out = 0

    def __call__(self, exchange: Exchange) -> None:
        """Log the request that has ended, with the ids that `log_context` adds."""
        environ, status, route = exchange.environ, exchange.status, exchange.route
        path = environ["PATH_INFO"]
        if path.startswith(ROUTINE) and (status < 400 or (status >= 500 and exchange.code)):
            return
        if not (self._quota.take() or (status >= 500 and self._failures.take())):
            self._left_out += 1
            return
        method = environ["REQUEST_METHOD"]
        path = route.rule if route and route.row_in_path else _readable(path)
        log.info(
            "%s %s %d",
            method,
            path,
            status,
            extra={
                "method": method,
                "path": path,
                "status": status,
                "route": route and route.rule,
                "code": exchange.code,
                "bytes": exchange.size,
                "duration_ms": round(exchange.seconds * 1000, 3),
                "client": environ.get("REMOTE_ADDR"),
            },
        )

    def report_left_out(self) -> None:
        """Log how many requests, and other events, were left out since the last call. Call it once a second."""
        report_left_out()
        if left_out := self._left_out:
            self._left_out = 0
            what = counted(left_out, "request")
            log.info("not logged (ACCESS_LOG_RATE): %s", what, extra={"left_out": left_out})


def _readable(path: str) -> str:
    """Return a path as WSGI has it, decoded, without keys, and cut last: half of a key is not recognised."""
    return without_keys(path.encode("latin-1").decode(errors="replace"))[:_LONGEST_PATH]


class RequestCounts:
    """Counts each request once its answer is known, for the metrics and for the use of its key. Labels are declared
    routes, our codes and fields of signatures, never text from a client."""

    def __init__(self, counts: Counts, uses: UseCounts) -> None:
        self._counts = counts
        self._uses = uses
        self._named: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)

    def __call__(self, exchange: Exchange) -> None:
        method = exchange.environ["REQUEST_METHOD"]
        route = _UNKNOWN if exchange.route is None else exchange.route.rule
        labels = (route, method if method in _METHODS else _OTHER, str(exchange.status))
        self._counts.add(table.REQUESTS, labels)
        self._counts.observe(table.REQUEST_SECONDS, exchange.seconds, (route,))
        if exchange.accepted_after is not None:
            self._counts.observe(table.GATEWAY_SECONDS, exchange.accepted_after)
        if exchange.model is not None and exchange.status:
            self._count_model(exchange, exchange.model)
        if exchange.asked is not None and exchange.status:
            failed = exchange.status >= 400 or exchange.job_failed
            self._uses.add(exchange.caller.id, exchange.asked, exchange.rows, failed=failed)
        if exchange.code is not None:
            self._counts.add(table.REFUSALS, (exchange.code,))
        if exchange.ignored_key is not None:
            self._counts.add(table.REFUSALS, (exchange.ignored_key,))

    def _count_model(self, exchange: Exchange, model: str) -> None:
        outcome, version = "refused" if exchange.status >= 400 else "answered", str(exchange.version)
        self._counts.add(table.REQUESTS_BY_VERSION, (model, version, outcome))
        if exchange.status == 200:  # otherwise the job may not have ended
            self._counts.observe(table.SECONDS_BY_VERSION, exchange.seconds, (model, version))
        elif exchange.refused:
            owner = exchange.caller.owner
            for field in {self._label(model, field, owner) for field, _ in exchange.refused if field is not None}:
                self._counts.add(table.REFUSED_FIELDS, (model, field, owner))

    def _label(self, model: str, field: str, owner: str) -> str:
        """Return the field; '' beyond `MOST_NAMED`."""
        named = self._named[model]
        if field and len(named) < MOST_NAMED:
            named.add((field, owner))
        return field if (field, owner) in named else ""


class FailedRequests:
    """Counts why requests for predictions fail. One whose job fails is counted where the job ends (`endings.lua`)."""

    def __init__(self, counts: FailureCounts, repository: Repository) -> None:
        self._counts = counts
        self._repository = repository

    def __call__(self, exchange: Exchange) -> None:
        if exchange.status < 400:
            return
        model, code = exchange.asked or self._model_of(exchange), exchange.code or str(exchange.status)
        has_job = exchange.accepted_after is not None or exchange.replayed
        if model is None or (has_job and code in _ENDS_OF_JOBS):
            return
        version, caller = str(exchange.version or ""), exchange.caller.id
        for (field, field_code), row in exchange.refused.items() or _WITHOUT_REASONS:
            entry = FailureEntry(code, field or "", field_code, version, caller)
            self._counts.add(model, entry, functools.partial(_example, exchange, entry, row))

    def _model_of(self, exchange: Exchange) -> str | None:
        """Return the model of a request that was refused before its version was known."""
        route, arguments = exchange.route, exchange.arguments
        if route is None or route.page or route.level is not Scope.PREDICT:
            return None
        name = arguments.get("reference", arguments.get("name", "")).partition("@")[0]
        return name if self._repository.versions(name) else None


_ENDS_OF_JOBS = frozenset({*Code, "expired"})
_WITHOUT_REASONS = ((("", ""), None),)


def _example(exchange: Exchange, entry: FailureEntry, row: int | None) -> str:
    rows, signature = exchange.refused_rows, exchange.signature
    return json.dumps(redacted(rows, row or 0, signature, entry.field)) if rows and signature else ""


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
