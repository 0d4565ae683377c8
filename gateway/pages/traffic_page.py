"""The list of models with their traffic, and the traffic of one model over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response
from redis.exceptions import RedisError

from broker.metrics.traffic import Period, Point
from contract.model.repository import CURRENT, Repository
from contract.work.api_keys import Scope
from gateway.http.exchange import caller
from gateway.http.rules import Level
from gateway.pages.charts.sparklines import halved
from gateway.pages.charts.traffic_charts import charts_of, table_of
from gateway.pages.layout import blueprint_of_pages, live_page, page
from gateway.pages.model_header import ModelHeader, ModelPurpose
from gateway.routes.traffic import asked_period
from gateway.serving.job_access import JobReader
from gateway.serving.model_versions import check_model, model_summary
from gateway.serving.system_state import System
from gateway.serving.traffic import Chart, Traffic
from gateway.serving.trainings import Trainings

PERIODS: Mapping[Period, str] = {Period.HOURS: "2 hours", Period.DAY: "1 day", Period.MONTH: "30 days"}


@dataclass(frozen=True)
class Row:
    """A model in the list. `waiting`: predictions that wait now. Without Redis, this and `chart` are None."""

    summary: Mapping[str, Any]
    chart: Chart | None
    requests: Sequence[float]
    errors: Sequence[float]
    waiting: int | None
    next_run: str | None
    prediction: ModelPurpose | None


@dataclass(frozen=True)
class TrafficPages:
    """`repository`: that of the caller."""

    repository: Repository
    traffic: Traffic
    system: System
    trainings: Trainings
    jobs: JobReader

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("models")

        # Any key: the page says what one that may not read models can do instead.
        @routes.get("", level=Level.OWN, page=True)
        def index() -> Response:
            if not caller().allows(Scope.READ):
                return page("welcome.html", title="Welcome")
            return live_page("models.html", self._list)

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

    def _list(self) -> dict[str, object]:
        rows, lost = self._rows()
        running = () if lost else self.jobs.running_trainings()
        highest = max((value for row in rows for value in (*row.requests, *row.errors)), default=0.0)
        return {"title": "Models", "rows": rows, "lost": lost, "trainings": running, "highest": highest}

    def _rows(self) -> tuple[list[Row], bool]:
        """Return a row for each model, and whether traffic, queues and schedules are missing because Redis is away."""
        names = self.repository.names()
        try:
            charts: Mapping[str, Chart] = self.traffic.of_models(names, Period.HOURS)
            schedules = [state.schedule for state in self.trainings.all_schedules()]
            runs = {schedule.model: schedule.next_run for schedule in schedules if schedule.has_times}
        except RedisError:
            return [self._row(name, None, None, None) for name in names], True
        waiting = {queue.model: queue.waiting for queue in self.system.state(caller()).queues}
        return [self._row(name, charts[name], waiting.get(name, 0), runs.get(name)) for name in names], False

    def _row(self, name: str, chart: Chart | None, waiting: int | None, next_run: str | None) -> Row:
        points = drawn(chart.points) if chart else []
        requests = halved([point.answered + point.refused for point in points])
        errors = halved([point.refused + point.failed for point in points])
        summary = model_summary(self.repository, name)
        prediction = ModelPurpose.of(self.repository, name, self.repository.aliases(name).get(CURRENT))
        return Row(summary, chart, requests, errors, waiting, next_run, prediction)


def drawn(points: Sequence[Point]) -> Sequence[Point]:
    """Return the points of a curve. The last one has only begun: it would look as if the traffic fell, so it counts
    only once it is as high as the one before."""
    before, last = points[-2:]
    return points if last.answered + last.refused >= before.answered + before.refused else points[:-1]
