"""Health: whether the process is alive, and whether it can work."""

from __future__ import annotations

from flask import Blueprint, Response
from redis.exceptions import RedisError

from broker.gateway.jobs import Jobs
from contract.repository import Repository
from gateway.answers import json_response
from gateway.problems import RETRY_SOON, Problem
from gateway.rules import Level


def blueprint(jobs: Jobs, repository: Repository) -> Blueprint:
    routes = Blueprint("health", __name__, url_prefix="/health")

    @routes.get("/live", level=Level.OPEN)
    def live() -> Response:
        return json_response({"status": "ok"})

    @routes.get("/ready", level=Level.OPEN)
    def ready() -> Response:
        missing = []
        workers = 0
        try:
            workers = jobs.workers()
        except RedisError:
            missing.append("Redis does not answer")
        models = repository.names()
        if not models:
            missing.append(f"the model repository {repository.root} holds no model")
        if missing:
            raise Problem(503, "not_ready", "; ".join(missing), headers=RETRY_SOON)
        if not workers:
            detail = "no worker is alive: requests are accepted and wait"
            return json_response({"status": "degraded", "detail": detail, "models": len(models), "workers": 0})
        return json_response({"status": "ok", "models": len(models), "workers": workers})

    return routes
