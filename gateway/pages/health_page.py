"""The health of a model: whether its rows still look like those of the training, and how good its answers were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, request

from broker.sides.gateway.observer_client import ObserverUnavailable
from contract.model.repository import CURRENT
from contract.work.api_keys import Scope
from gateway.http.exchange import caller
from gateway.http.forms import form_in_memory
from gateway.http.media_types import MULTIPART
from gateway.pages.charts.distributions import distribution_of
from gateway.pages.charts.outcome_charts import calibration_of, course_of
from gateway.pages.layout import blueprint_of_pages, page, see
from gateway.pages.model_header import ModelHeader
from gateway.problems import Problem, ProblemCode
from gateway.protocols import outcomes
from gateway.routes.outcomes import LARGEST
from gateway.serving.model_versions import check_model, resolve
from gateway.serving.prediction_log import LogAccess

_KEPT = ("new", "corrected", "repeated")


@dataclass(frozen=True)
class HealthPages:
    log: LogAccess

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("health")

        @routes.get("/models/<name>/health", level=Scope.READ, page=True)
        def show(name: str) -> Response:
            check_model(self.log.repository, name)
            return page("health.html", **self._shown(name))

        @routes.post("/models/<name>/outcomes", level=Scope.LOG, page=True, audit="add_outcomes", body=LARGEST)
        def add(name: str) -> Response:
            kept = self.log.add_outcomes(name, outcomes.read_csv(_csv_in_form()))
            told = urlencode({"version": request.args.get("version", ""), **kept})
            return see(f"/ui/models/{quote(name)}/health?{told}")

        return routes

    def _shown(self, name: str) -> dict[str, Any]:
        repository = self.log.repository
        header, versions = ModelHeader.of(repository, name, caller()), repository.versions(name)[::-1]
        wanted = request.args.get("version") or (CURRENT if header.current else str(versions[0]))
        _, version = resolve(repository, f"{name}@{wanted}")
        health: dict[str, Any] | None = None
        measured: dict[str, Any] | None = None
        away = None
        try:
            health = self.log.health(name, str(version))
            if caller().allows(Scope.LOG):
                measured = self.log.measure(name, str(version))
        except ObserverUnavailable as error:
            away = str(error)
        has_metrics = bool(measured and measured["outcomes"])
        kept = {word: request.args.get(word, type=int) for word in _KEPT}
        return {
            "title": f"Health of {name}",
            "header": header,
            "version": version,
            "versions": versions,
            "logging": self.log.logging(name),
            "away": away,
            "health": health,
            "distributions": [distribution_of(alarm) for alarm in health["alarms"]] if health else [],
            "measured": measured,
            "reported": repository.manifest(name, version).metrics,
            "course": course_of(measured) if measured and has_metrics else None,
            "calibration": calibration_of(measured) if measured and has_metrics else None,
            "kept": None if None in kept.values() else kept,
        }


def _csv_in_form() -> bytes:
    """Return the file of the form, or the text that was pasted instead. Raises `Problem` (422) without either."""
    if request.mimetype == MULTIPART:
        fields, files = form_in_memory(request.environ)
        if (file := files.get("file")) and file.filename:
            return bytes(file.read())
        if text := fields.get("text", "").strip():
            return text.encode()
    raise Problem(ProblemCode.INVALID_BODY, "nothing was sent; choose a CSV of outcomes, or paste its lines")
