"""The state of the whole system: workers, queues, Redis, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response

from broker.metrics.traffic import Period
from gateway.http.exchange import caller
from gateway.http.rules import Level
from gateway.pages.layout import blueprint_of_pages, live_page
from gateway.serving.job_access import JobReader
from gateway.serving.system_state import System
from gateway.serving.traffic import Traffic

ALERTS = {
    "aof_failing": "Redis cannot save",
    "disk_filling": "A disk is filling up",
    "missing_gateways": "A gateway is missing",
    "missing_replicas": "A replica of Redis is missing",
    "missing_senders": "Nobody sends webhooks",
    "missing_sentinels": "A Sentinel is missing",
    "missing_trainers": "A trainer is missing",
    "missing_workers": "A worker is missing",
    "model_hangs": "A model is slow or hangs",
    "model_times_out": "Rows of a model time out",
    "model_not_loaded": "A model cannot be loaded",
    "no_key": "No key",
    "no_model": "No model",
    "no_worker": "No worker",
    "process_stuck": "A process is stuck",
    "queue_age": "Predictions wait for long",
    "queue_full": "A queue is full",
    "redis_70_percent": "Redis is filling up",
    "redis_90_percent": "Redis is almost full",
    "redis_disk_slow": "The disk of Redis is slow",
    "schedule_failed": "A scheduled training failed",
    "webhooks_full": "Too many webhooks wait",
    "webhooks_late": "Webhooks are late",
    "worker_silent": "A worker is silent",
}
"""The titles of alerts by code. Others are faults of Redis, whose codes read well."""

PURPOSES = {
    "jobs": "predictions that wait or run",
    "unseen": "results that nobody has read yet",
    "fetched": "results that were read later",
    "delivered": "results that were in the answer",
    "trainings": "trainings with their logs",
    "metrics": "metrics and traffic",
    "other": "keys, audit log and the rest",
}


@dataclass(frozen=True)
class SystemPages:
    system: System
    traffic: Traffic
    jobs: JobReader

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("system")

        @routes.get("/system", level=Level.READ, page=True, without_redis=True)
        def show() -> Response:
            return live_page("system.html", self._read)

        return routes

    def _read(self) -> dict[str, object]:
        state = self.system.state(caller())
        chart = self.traffic.of_all(Period.HOURS) if state.redis else None
        points = chart.points if chart else ()
        return {
            "title": "System",
            "state": state,
            "chart": chart,
            "trainings": self.jobs.running_trainings() if state.redis else (),
            "requests": [point.answered + point.refused for point in points],
            "errors": [point.refused + point.failed for point in points],
            "alert_titles": ALERTS,
            "purposes": PURPOSES,
        }
