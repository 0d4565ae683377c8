"""Why requests to a model fail, and what to do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from flask import Blueprint, Response, request

from contract.errors import ModelgateError
from contract.retention import DAY
from contract.work.api_keys import Scope
from gateway.http.exchange import caller
from gateway.pages.api import Snippet, snippets
from gateway.pages.layout import blueprint_of_pages, live_page
from gateway.pages.model_header import ModelHeader
from gateway.serving.failure_sentences import remedy_of
from gateway.serving.failures import FailureCause, Failures
from gateway.serving.model_versions import check_model

_PERIODS: Mapping[str, tuple[str, int]] = {"1d": ("1 day", 1), "7d": ("7 days", 7)}


@dataclass(frozen=True)
class FailurePages:
    failures: Failures

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("failures")

        @routes.get("/models/<name>/failures", level=Scope.READ, page=True)
        def show(name: str) -> Response:
            check_model(self.failures.repository, name)
            return live_page("failures.html", lambda: self._shown(name))

        return routes

    def _shown(self, name: str) -> dict[str, object]:
        period, version = request.args.get("period", ""), request.args.get("version", "")
        period = period if period in _PERIODS else "1d"
        days = _PERIODS[period][1]
        report = self.failures.of_model(name, time.time() - days * DAY if days > 1 else None, version)
        repository, header = self.failures.repository, ModelHeader.of(self.failures.repository, name, caller())
        return {
            "title": f"Failures of {name}",
            "header": header,
            "report": report,
            "period": period,
            "periods": {period: label for period, (label, _) in _PERIODS.items()},
            "version": version,
            "versions": repository.versions(name)[::-1],
            "inputs": self._inputs(name, header.current),
            "request": lambda cause: _request(name, cause),
            "remedy": lambda cause: remedy_of(cause.code, cause.field_code),
        }

    def _inputs(self, name: str, version: int | None) -> Mapping[str, int]:
        """Return the numbers that the page API gives to the inputs of the current version."""
        try:
            signature = self.failures.repository.manifest(name, version).signature if version else None
        except ModelgateError:  # the version's own page says why
            return {}
        return {field: number for number, field in enumerate(signature.names, 1)} if signature else {}


def _request(name: str, cause: FailureCause) -> Snippet | None:
    if cause.example is None:
        return None
    return snippets(name, cause.example, request.url_root.rstrip("/"))[0]
