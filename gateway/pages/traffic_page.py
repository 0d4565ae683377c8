"""The traffic of a model over time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from broker.metrics.traffic import Period, Point
from contract.model.repository import Repository
from contract.work.api_keys import Scope
from gateway.http.exchange import caller
from gateway.pages.charts.traffic_charts import charts_of, table_of
from gateway.pages.layout import blueprint_of_pages, live_page
from gateway.pages.model_header import ModelHeader
from gateway.routes.traffic import asked_time
from gateway.serving.model_events import ModelEvents
from gateway.serving.model_versions import check_model
from gateway.serving.traffic import Traffic, moment_of

_WITHOUT_ZONE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?", re.ASCII)

PERIODS: Mapping[Period, str] = {Period.HOURS: "2 hours", Period.DAY: "1 day", Period.MONTH: "30 days"}


@dataclass(frozen=True)
class TrafficPages:
    """`repository`: that of the caller."""

    repository: Repository
    traffic: Traffic
    events: ModelEvents

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("traffic")

        @routes.get("/models/<name>/traffic", level=Scope.READ, page=True)
        def traffic(name: str) -> Response:
            check_model(self.repository, name)
            return live_page("traffic.html", lambda: self._show(name))

        return routes

    def _show(self, name: str) -> dict[str, object]:
        query = {key: _in_utc(value) for key, value in request.args.items() if key in ("period", "from", "to")}
        chart = self.traffic.of_model(name, asked_time(query))
        events = self.events.within(name, chart)
        points = drawn(chart.points) if chart.has_only_begun else chart.points
        has_only_begun = chart.has_only_begun and points[-1] is chart.points[-1]
        charts = charts_of(points, chart.period.step, events, has_only_begun=has_only_begun)
        return {
            "title": f"Traffic of {name}",
            "header": ModelHeader.of(self.repository, name, caller()),
            "chart": chart,
            "charts": charts,
            "table": table_of(charts),
            "events": events,
            "periods": PERIODS,
            "period": None if "from" in query else chart.period,
            "query": urlencode(query),
            "times": (moment_of(chart.points[0].start), moment_of(chart.end)),
        }


def drawn(points: Sequence[Point]) -> Sequence[Point]:
    """Return the points of a curve. The last one has only begun: it would look as if the traffic fell, so it counts
    only once it is as high as the one before."""
    if len(points) < 2:
        return points
    before, last = points[-2:]
    return points if last.answered + last.refused >= before.answered + before.refused else points[:-1]


def _in_utc(text: str) -> str:
    """Return a time of the form, which has no zone unless a script adds it: without one, the form says UTC."""
    return f"{text}Z" if _WITHOUT_ZONE.fullmatch(text) else text
