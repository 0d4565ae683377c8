"""The overview of a model, the first of its pages: what it is for, how it does, and where to look further."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, request
from redis.exceptions import RedisError

from broker.access.audit_log import AuditLog, Outcome
from contract.errors import ModelgateError
from contract.model.repository import Repository
from contract.model.version_metrics import headline_first
from contract.work.api_keys import Scope
from gateway.http.exchange import caller
from gateway.http.rules import Level
from gateway.pages.audit_words import change_in_words
from gateway.pages.charts.version_charts import VersionCourse, course_by_version
from gateway.pages.layout import blueprint_of_pages, page, see
from gateway.pages.model_header import ModelHeader
from gateway.pages.same_rows import facts_of
from gateway.problems import ProblemCode
from gateway.problems.problem import read_valid
from gateway.routes.about import ABOUT_BODY
from gateway.serving.attention import ModelStates
from gateway.serving.descriptions import Descriptions
from gateway.serving.key_use import Caller, Callers

_MOST_VERSIONS = 30
"""Versions in the chart."""
_MOST_ENTRIES = 50
"""Entries of the audit log, newest first, among which the last change is looked for."""


@dataclass(frozen=True)
class OverviewPages:
    descriptions: Descriptions
    states: ModelStates
    audit: AuditLog
    callers: Callers

    @property
    def repository(self) -> Repository:
        """That of the caller."""
        return self.states.repository

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("overview")

        # Any key: one that may not read is sent to what it may do.
        @routes.get("/models/<name>", level=Level.OWN, page=True)
        def show(name: str) -> Response:
            if not caller().allows(Scope.READ):
                return see(f"/ui/models/{quote(name)}/try")
            return page("overview.html", **self._shown(name))

        @routes.get("/models/<name>/describe", level=Scope.READ, page=True)
        def ask_describe(name: str) -> Response:
            return page(
                "describe.html",
                title=f"Description of {name}",
                about=self.descriptions.about(name),
                header=ModelHeader.of(self.repository, name, caller()),
                history=self.descriptions.history(name),
            )

        @routes.post("/models/<name>/describe", level=Scope.PUBLISH, page=True, audit="describe_model")
        def describe(name: str) -> Response:
            old, new = _members("was_"), _members("")
            changed = {member: value for member, value in new.items() if value != old[member]}
            self.descriptions.edit(name, read_valid(changed, ABOUT_BODY, ProblemCode.INVALID_BODY))
            return see(f"/ui/models/{quote(name)}?described=1")

        return routes

    def _shown(self, name: str) -> dict[str, Any]:
        about = self.descriptions.about(name)
        header, (state,) = ModelHeader.of(self.repository, name, caller()), self.states.of([name])
        newest = self.repository.newest(name)
        version = header.current or newest
        facts = facts_of(self.repository, name, version)
        try:
            model = self.repository.manifest(name, version)
        except ModelgateError:  # the verdict says why
            model = None
        return {
            "title": name,
            "header": header,
            "about": about,
            "state": state,
            "newest": newest,
            "refused": facts_of(self.repository, name, newest)["refused"] if newest != header.current else None,
            "model": model,
            "course": self._course(name, headline_first(model.metrics, facts["headline"])) if model else None,
            "change": self._last_change(name),
            "callers": self._callers(name),
            "described": request.args.get("described") == "1",
        }

    def _course(self, name: str, metrics: Sequence[str]) -> VersionCourse | None:
        """Return the course of the first of these metrics."""
        values: dict[int, float] = {}
        for version in self.repository.versions(name)[-_MOST_VERSIONS:] if metrics else ():
            with suppress(ModelgateError, KeyError):  # the list of versions says why it cannot be read
                values[version] = self.repository.summary(name, version).metrics[metrics[0]]
        return course_by_version(metrics[0], values) if metrics else None

    def _callers(self, name: str) -> Sequence[Caller] | None:
        """Return the callers of the last days; None without Redis."""
        try:
            return self.callers.of_model(name, caller())
        except RedisError:
            return None

    def _last_change(self, name: str) -> Mapping[str, Any] | None:
        """Return the entry of the audit log, with what was done in words; None if no change is known."""
        try:
            entries = self.audit.page({"model": name, "outcome": Outcome.DONE}, _MOST_ENTRIES, None, looks=1).items
        except RedisError:
            return None
        return next(({**entry, "what": what} for entry in entries if (what := change_in_words(entry))), None)


def _members(prefix: str) -> dict[str, Any]:
    """Return what the form says of a model, as the body of the HTTP interface has it."""
    texts = (request.form.get(prefix + name, "") for name in ("description", "owner", "tags"))
    description, owner, tags = (text.replace("\r\n", "\n").strip() for text in texts)
    return {"description": description, "owner": owner, "tags": tags.replace(",", " ").split()}
