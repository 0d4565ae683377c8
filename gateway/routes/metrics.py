"""Metrics for Prometheus."""

from __future__ import annotations

from flask import Blueprint, Response

from contract.work.api_keys import Scope
from gateway.http.answers import FRESH
from gateway.http.exchange import caller
from gateway.http.operations import Answer, Operation
from gateway.serving.metrics import Metrics

TEXT = "text/plain; version=0.0.4; charset=utf-8"


_PAGE = Operation("get_metrics", "Metrics for Prometheus", {200: Answer("The metrics.", {"text/plain": "Text"})})


def blueprint(metrics: Metrics) -> Blueprint:
    routes = Blueprint("metrics", __name__)

    @routes.get("/metrics", level=Scope.READ, docs=_PAGE, any_host=True, without_redis=True)
    def page() -> Response:
        return Response(metrics.page(caller()), headers=FRESH, content_type=TEXT)

    return routes
