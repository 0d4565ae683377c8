"""The traffic of a model over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, Response

from broker.metrics.traffic import Period, Point
from contract.model.repository import Repository
from contract.work.api_keys import Scope
from gateway.http.exchange import caller
from gateway.pages.charts.traffic_charts import charts_of, table_of
from gateway.pages.layout import blueprint_of_pages, live_page
from gateway.pages.model_header import ModelHeader
from gateway.routes.traffic import asked_period
from gateway.serving.model_versions import check_model
from gateway.serving.traffic import Traffic

PERIODS: Mapping[Period, str] = {Period.HOURS: "2 hours", Period.DAY: "1 day", Period.MONTH: "30 days"}


@dataclass(frozen=True)
class TrafficPages:
    """`repository`: that of the caller."""

    repository: Repository
    traffic: Traffic

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("traffic")

        @routes.get("/models/<name>/traffic", level=Scope.READ, page=True)
        def traffic(name: str) -> Response:
            check_model(self.repository, name)
            return live_page("traffic.html", lambda: self._show(name))

        return routes

    def _show(self, name: str) -> dict[str, object]:
        chart = self.traffic.of_model(name, asked_period())
        charts = charts_of(drawn(chart.points), chart.period)
        return {
            "title": f"Traffic of {name}",
            "header": ModelHeader.of(self.repository, name, caller()),
            "chart": chart,
            "charts": charts,
            "table": table_of(charts),
            "periods": PERIODS,
        }


def drawn(points: Sequence[Point]) -> Sequence[Point]:
    """Return the points of a curve. The last one has only begun: it would look as if the traffic fell, so it counts
    only once it is as high as the one before."""
    before, last = points[-2:]
    return points if last.answered + last.refused >= before.answered + before.refused else points[:-1]
