"""The versions of a model: verdicts, reports and cards. The model: removed, after its name is entered once more, and
restored."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request
from redis.exceptions import RedisError

from contract.model.card_text import sections
from contract.model.manifest import ModelManifest
from contract.model.model_card import Card
from contract.model.report_placeholders import PARTS
from contract.model.repository import CURRENT, PREVIOUS, Repository
from contract.model.signature_changes import decided
from contract.model.thresholds import known_counts
from contract.model.version_files import REPORT_HTML
from contract.model.version_metrics import headline_first
from contract.work.api_keys import Scope
from gateway.http.exchange import caller
from gateway.pages.charts.outcome_charts import Calibration, calibration_of
from gateway.pages.layout import blueprint_of_pages, page, see
from gateway.pages.model_header import ModelHeader
from gateway.pages.same_rows import compared_with, facts_of
from gateway.pages.version_rows import VERSIONS_OF_PAGE, VersionRows
from gateway.routes.reports import HEADERS as REPORT_HEADERS
from gateway.routes.reports import filled_in
from gateway.serving.model_cards import ModelCards
from gateway.serving.model_versions import (
    ModelChanges,
    check_model,
    check_removed,
    environment_of,
    manifest_of,
    read_report,
)
from gateway.serving.trainings import ScheduleState

_REPORT_HEADERS = {**REPORT_HEADERS, "Cache-Control": "no-store"}
_FRAMED = {
    **_REPORT_HEADERS,
    # Without `allow-scripts`, the report still runs nothing. With its origin, the page around it can read its height.
    "Content-Security-Policy": REPORT_HEADERS["Content-Security-Policy"]
    .replace("frame-ancestors 'none'", "frame-ancestors 'self'")
    .replace("sandbox", "sandbox allow-same-origin"),
}
_FRAME_STYLE = b"""<style>
header > h1, .live, .lead, header > .soft, main > .tiles, footer, body > nav { display: none; }
main, header { max-width: none; padding: 0; }
h2, .part > summary h2 { scroll-margin-top: 120px; }
</style>"""
"""Hides what the page around a framed report shows as well."""


@dataclass(frozen=True)
class VersionPages:
    """`schedule_of` returns the schedule of a model as the caller sees it, or None. `removed_days`: how long a removed
    model is kept."""

    changes: ModelChanges
    cards: ModelCards
    schedule_of: Callable[[str], ScheduleState | None]
    removed_days: int

    @property
    def repository(self) -> Repository:
        """That of the caller."""
        return self.changes.repository

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("versions")
        repository = self.repository

        @routes.get("/models/<name>/versions", level=Scope.READ, page=True)
        def index(name: str) -> Response:
            check_model(repository, name)
            versions = repository.versions(name)[::-1]
            pages = [versions[at : at + VERSIONS_OF_PAGE] for at in range(0, len(versions), VERSIONS_OF_PAGE)]
            asked = request.args.get("page", "1")
            number = min(int(asked), len(pages)) if re.fullmatch("[1-9][0-9]{0,4}", asked) else 1
            header, settings = ModelHeader.of(repository, name, caller()), repository.settings(name)
            return page(
                "versions.html",
                title=f"Versions of {name}",
                header=header,
                history=VersionRows.of(repository, name, pages[number - 1]),
                makers=self.cards.makers(name, pages[number - 1]),
                number=number,
                pages=len(pages),
                rolled_back=settings.rolled_back,
                offered=offered(repository, name),
                schedule=self._schedule(name),
                protected=settings.protected,
                **self._change(name),
            )

        @routes.get("/models/<name>/versions/<version>", level=Scope.READ, page=True)
        def show(name: str, version: str) -> Response:
            manifest = manifest_of(repository, name, version)
            facts = facts_of(repository, name, manifest.version)
            return page(
                "version.html",
                environment=environment_of(manifest),
                title=f"{name} version {manifest.version}",
                header=ModelHeader.of(repository, name, caller()),
                model=manifest,
                facts=facts,
                decides=decided(manifest.signature.output) if known_counts(facts) or _has_decision(manifest) else "",
                metrics=headline_first(manifest.metrics, facts.get("headline")),
                report_parts=PARTS,
                has_report=repository.files(name, manifest.version).has_report(),
                **self._change(name),
            )

        @routes.get("/models/<name>/versions/<version>/card", level=Scope.READ, page=True)
        def card(name: str, version: str) -> Response:
            made = self.cards.card(name, manifest_of(repository, name, version).version)
            return page(
                "card.html",
                title=f"Model card of {name} version {made['version']}",
                header=ModelHeader.of(repository, name, caller()),
                version=made["version"],
                parts=list(sections(made)),
                calibration=_calibration_in(made),
            )

        @routes.get("/models/<name>/versions/<version>/report", level=Scope.READ, page=True)
        def report(name: str, version: str) -> Response:
            number = manifest_of(repository, name, version).version
            body = read_report(repository, name, number, REPORT_HTML)
            body = filled_in(body, repository, name, number, "versions_pages.report")
            framed = request.args.get("framed") == "1"
            headers = _FRAMED if framed else _REPORT_HEADERS
            return Response(body + _FRAME_STYLE * framed, headers=headers, content_type="text/html; charset=utf-8")

        @routes.get("/models/<name>/remove", level=Scope.PUBLISH, page=True)
        def ask_remove(name: str) -> Response:
            check_model(repository, name)
            return page(
                "remove.html",
                title=f"Remove {name}",
                header=ModelHeader.of(repository, name, caller()),
                versions=len(repository.versions(name)),
                days=self.removed_days,
            )

        @routes.post("/models/<name>/remove", level=Scope.PUBLISH, page=True, audit="remove_model")
        def remove(name: str) -> Response:
            self.changes.remove(name, request.form.get("confirm", "").strip())
            return see(f"/ui/models/{name}/restore")

        @routes.get("/models/<name>/restore", level=Scope.PUBLISH, page=True)
        def ask_restore(name: str) -> Response:
            check_removed(repository, name)
            title, removed = f"Restore {name}", repository.removals(name)[0]
            return page("restore.html", title=title, name=name, removed=removed, days=self.removed_days)

        @routes.post("/models/<name>/restore", level=Scope.PUBLISH, page=True, audit="restore_model")
        def restore(name: str) -> Response:
            self.changes.restore(name)
            return see(f"/ui/models/{name}/versions")

        return routes

    def _schedule(self, name: str) -> ScheduleState | None:
        with suppress(RedisError):  # the page does without
            return self.schedule_of(name)
        return None

    def _change(self, name: str) -> dict[str, Any]:
        """Return whether the promotion that led here is done, and the version that a rollback would bring back."""
        aliases = self.repository.aliases(name)
        return {
            "changed": CURRENT in aliases and request.args.get("now") == str(aliases[CURRENT]),
            "previous": aliases.get(PREVIOUS),
        }


def _has_decision(model: ModelManifest) -> bool:
    return any(output.decision for output in model.signature.outputs)


def _calibration_in(card: Card) -> Calibration | None:
    """Return the chart of a card; None without probabilities. Facts of an import may have any shape."""
    with suppress(LookupError, TypeError, ValueError):
        bins = card["calibration"]["bins"]
        low, high = zip(*(one["interval"] for one in bins), strict=True)
        columns = {key: [one[key] for one in bins] for key in ("predicted", "observed")}
        return calibration_of({"calibration": {**columns, "low": low, "high": high}})
    return None


def offered(repository: Repository, name: str) -> tuple[int, int]:
    """Return the two versions to compare unless others are chosen: the current and the newest one. If these are the
    same, the one that the newest was compared with, or else the one before, and that."""
    versions = repository.versions(name)
    newest = versions[-1]
    current = repository.aliases(name).get(CURRENT, newest)
    if current != newest:
        return current, newest
    other = compared_with(repository, name, newest)
    return (other if other in versions else versions[-2:][0]), newest
