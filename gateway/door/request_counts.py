"""Counts requests, the time that they take, and refusals."""

from __future__ import annotations

from broker.metrics.counts import Counts
from broker.metrics.table import (
    GATEWAY_SECONDS,
    REFUSALS,
    REQUEST_SECONDS,
    REQUESTS,
    REQUESTS_BY_VERSION,
    SECONDS_BY_VERSION,
)
from gateway.http.exchange import Exchange

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_OTHER = "other"
_UNKNOWN = "unknown"
"""The route of requests that no route takes, whatever their path."""


class RequestCounts:
    """Counts each request once its answer is known. Labels are declared routes and our codes, never text from a
    client."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def __call__(self, exchange: Exchange) -> None:
        method = exchange.environ["REQUEST_METHOD"]
        route = _UNKNOWN if exchange.route is None else exchange.route.rule
        labels = (route, method if method in _METHODS else _OTHER, str(exchange.status))
        self._counts.add(REQUESTS, labels)
        self._counts.observe(REQUEST_SECONDS, exchange.seconds, (route,))
        if exchange.accepted_after is not None:
            self._counts.observe(GATEWAY_SECONDS, exchange.accepted_after)
        if exchange.model is not None and exchange.status:
            self._count_model(exchange, exchange.model)
        if exchange.code is not None:
            self._counts.add(REFUSALS, (exchange.code,))
        if exchange.ignored_key is not None:
            self._counts.add(REFUSALS, (exchange.ignored_key,))

    def _count_model(self, exchange: Exchange, model: str) -> None:
        outcome, version = "refused" if exchange.status >= 400 else "answered", str(exchange.version)
        self._counts.add(REQUESTS_BY_VERSION, (model, version, outcome))
        if exchange.status == 200:  # otherwise the job may not have ended
            self._counts.observe(SECONDS_BY_VERSION, exchange.seconds, (model, version))
