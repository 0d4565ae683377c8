"""The prediction log of a model: what it keeps, and a search for what was answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from broker.metrics.table import LOG_ROWS
from broker.sides.gateway.observer_client import ObserverUnavailable
from contract.model.model_settings import Logging
from contract.work.api_keys import Scope
from contract.work.observation import Observation, ObservationAction
from gateway.http.exchange import caller
from gateway.pages.layout import blueprint_of_pages, page, see
from gateway.pages.model_header import ModelHeader
from gateway.problems import Problem, ProblemCode
from gateway.problems.problem import read_valid
from gateway.routes.prediction_log import LOGGING_BODY
from gateway.serving.metrics import Metrics
from gateway.serving.prediction_log import LogAccess

_PER_PAGE = 50
_LOST = ("dropped", "unreadable")
"""Outcomes of `LOG_ROWS`: rows, and records, that are not kept."""


@dataclass(frozen=True)
class LogPages:
    log: LogAccess
    metrics: Metrics

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("log")

        @routes.get("/models/<name>/log", level=Scope.READ, page=True)
        def show(name: str) -> Response:
            return page("log.html", **self._shown(name))

        @routes.post("/models/<name>/logging", level=Scope.PUBLISH, page=True, audit="change_logging")
        def change(name: str) -> Response:
            self.log.change(name, _logging_in_form())
            return see(f"/ui/models/{name}/log?changed=1")

        @routes.post("/models/<name>/log/forget", level=Scope.LOG, page=True, audit="delete_predictions")
        def forget(name: str) -> Response:
            if not (identity := request.form.get("id", "").strip()):
                raise Problem(ProblemCode.INVALID_PARAMETER, "name the id whose rows are to be deleted")
            deleted = self.log.delete(name, identity)["deleted"]
            return see(f"/ui/models/{name}/log?deleted={deleted}")

        return routes

    def _shown(self, name: str) -> dict[str, Any]:
        logging, counted = self.log.logging(name), self.metrics.snapshot().values[LOG_ROWS]
        identity = request.args.get("id", "").strip()
        found: dict[str, Any] = {"items": [], "next_cursor": None}
        away = None
        if caller().allows(Scope.LOG):
            cursor = request.args.get("cursor") or None
            wanted = Observation(
                ObservationAction.READ_PREDICTIONS, name, id=identity or None, limit=_PER_PAGE, cursor=cursor
            )
            try:
                found = self.log.read(wanted)
            except ObserverUnavailable as error:
                away = str(error)
        older = found["next_cursor"] and urlencode({"id": identity, "cursor": found["next_cursor"]})
        return {
            "title": f"Log of {name}",
            "header": ModelHeader.of(self.log.repository, name, caller()),
            "logging": logging,
            "lost": {fate: int(counted.get((name, fate), 0)) for fate in _LOST},
            "rows": found["items"],
            "older": older,
            "identity": identity,
            "away": away,
            "changed": request.args.get("changed") == "1",
            "deleted": _number(request.args.get("deleted", "")),
        }


def _logging_in_form() -> Logging:
    """Return what the form says, checked as the body of the HTTP interface. Raises `Problem`."""
    form = request.form
    share, days = _number(form.get("share", ""), float), _number(form.get("keep_days", ""))
    left_out = [name for line in form.get("leave_out", "").splitlines() if (name := line.strip())]
    body = {"share": None if share is None else share / 100, "leave_out": left_out, "keep_days": days or 0}
    return Logging.from_json(read_valid(body, LOGGING_BODY, ProblemCode.INVALID_BODY))


def _number(text: str, kind: Any = int) -> Any:
    """Return the number in a text, or None."""
    try:
        return kind(text)
    except ValueError:
        return None
