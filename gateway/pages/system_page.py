"""The state of the whole system: workers, queues, Redis, and what is wrong."""

from __future__ import annotations

from flask import Blueprint, Response

from broker.metrics.traffic import Period
from contract.work.api_keys import Scope
from gateway.http.exchange import caller
from gateway.pages.layout import blueprint_of_pages, live_page
from gateway.serving.job_access import JobReader
from gateway.serving.system_state import System
from gateway.serving.traffic import Traffic


def blueprint(system: System, traffic: Traffic, jobs: JobReader) -> Blueprint:
    routes = blueprint_of_pages("system")

    @routes.get("/system", level=Scope.READ, page=True, without_redis=True)
    def show() -> Response:
        return live_page("system.html", read)

    def read() -> dict[str, object]:
        state = system.state(caller())
        chart = traffic.of_all(Period.HOURS) if state.redis else None
        points = chart.points if chart else ()
        return {
            "title": "System",
            "state": state,
            "chart": chart,
            "trainings": jobs.running_trainings() if state.redis else (),
            "requests": [point.answered + point.refused for point in points],
            "errors": [point.refused + point.failed for point in points],
        }

    return routes
