"""Promoting a version and rolling back; of a protected model, asking a second person, and deciding as one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request

from contract.errors import ModelgateError
from contract.model.model_settings import PROTECTED
from contract.model.promotions import MOST_NOTE, PromotionEnding
from contract.model.repository import CURRENT, PREVIOUS, Repository
from contract.model.signature_changes import SignatureChanges, signature_changes
from contract.work.api_keys import Scope
from contract.work.training import RepositoryAction, RepositoryCommand
from gateway.http.exchange import caller, current
from gateway.pages.layout import blueprint_of_pages, page, see
from gateway.pages.model_header import ModelHeader
from gateway.pages.same_rows import SameRows, facts_of
from gateway.problems import Problem, ProblemCode
from gateway.serving.model_versions import ModelChanges, check_model, manifest_of
from gateway.serving.promotions import Promotions, person_of


@dataclass(frozen=True)
class PromotionPages:
    changes: ModelChanges
    promotions: Promotions

    @property
    def repository(self) -> Repository:
        """That of the caller."""
        return self.changes.repository

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("promotions")

        # A page says what will happen, so that it can be read before the change, even without scripts.
        @routes.get("/models/<name>/versions/<version>/promote", level=Scope.PUBLISH, page=True)
        def ask_promote(name: str, version: str) -> Response:
            return self._confirm(name, self._number(name, version), rolls_back=False)

        @routes.post("/models/<name>/versions/<version>/promote", level=Scope.PUBLISH, page=True, audit="move_alias")
        def promote(name: str, version: str) -> Response:
            return self._make_current(name, version, RepositoryAction.MOVE_ALIAS)

        @routes.post("/models/<name>/versions/<version>/ask", level=Scope.PUBLISH, page=True, audit="ask_promotion")
        def ask(name: str, version: str) -> Response:
            current().version = number = self._number(name, version)
            self.promotions.ask(name, number, request.form.get("note", "").strip()[:MOST_NOTE])
            return see(_address(name))

        @routes.get("/models/<name>/rollback", level=Scope.PUBLISH, page=True)
        def ask_roll_back(name: str) -> Response:
            check_model(self.repository, name)
            previous = self.repository.aliases(name).get(PREVIOUS)
            if previous is None:
                detail = f"no earlier current version of {name!r} is left, so there is nothing to go back to"
                raise Problem(ProblemCode.NO_PREVIOUS, detail)
            return self._confirm(name, previous, rolls_back=True)

        @routes.post("/models/<name>/rollback", level=Scope.PUBLISH, page=True, audit="roll_back")
        def roll_back(name: str) -> Response:
            return self._make_current(name, request.form.get("version", ""), RepositoryAction.ROLL_BACK)

        @routes.get("/models/<name>/promotions", level=Scope.READ, page=True)
        def index(name: str) -> Response:
            settings, key = self.promotions.settings(name), caller()
            waiting = settings.waiting
            return page(
                "promotions.html",
                title=f"Promotions of {name}",
                header=ModelHeader.of(self.repository, name, key),
                settings=settings,
                may_decide=waiting is not None and person_of(key).may_decide(waiting.asker),
                **self._effect(name, waiting.version if waiting else None),
            )

        @routes.post(
            "/models/<name>/promotions/<id>/approve", level=Scope.APPROVE, page=True, audit="approve_promotion"
        )
        def approve(name: str, id: str) -> Response:  # noqa: A002
            answer = self.promotions.approve(name, id, request.form.get("force") == "1", _before())
            current().version = number = answer.get("promotion", {}).get("version")
            return see(f"/ui/models/{name}/versions?now={number}" if number else _address(name))

        @routes.post("/models/<name>/promotions/<id>/reject", level=Scope.APPROVE, page=True, audit="reject_promotion")
        def reject(name: str, id: str) -> Response:  # noqa: A002
            return self._end(name, id, PromotionEnding.REJECTED)

        @routes.post(
            "/models/<name>/promotions/<id>/withdraw", level=Scope.PUBLISH, page=True, audit="withdraw_promotion"
        )
        def withdraw(name: str, id: str) -> Response:  # noqa: A002
            return self._end(name, id, PromotionEnding.WITHDRAWN)

        @routes.post("/models/<name>/protect", level=Scope.PUBLISH, page=True, audit="change_settings")
        def protect(name: str) -> Response:
            self.promotions.change_settings(name, {PROTECTED: True})
            return see(_address(name))

        @routes.post("/models/<name>/unprotect", level=Scope.PUBLISH, page=True, audit="ask_promotion")
        def ask_unprotect(name: str) -> Response:
            self.promotions.ask(name, None)
            return see(_address(name))

        return routes

    def _number(self, name: str, version: str) -> int:
        return manifest_of(self.repository, name, version).version

    def _confirm(self, name: str, version: int, *, rolls_back: bool) -> Response:
        return page(
            "promote.html",
            title=f"Roll back {name}" if rolls_back else f"Make version {version} of {name} current",
            header=ModelHeader.of(self.repository, name, caller()),
            rolls_back=rolls_back,
            protected=not rolls_back and self.promotions.settings(name).protected,
            facts=facts_of(self.repository, name, version),
            **self._effect(name, version),
        )

    def _effect(self, name: str, version: int | None) -> dict[str, Any]:
        """Return what a page says of a version that is to become current."""
        before = self.repository.aliases(name).get(CURRENT)
        replaced = None if before == version or version is None else before
        return {
            "version": version,
            "before": before,
            "same_rows": SameRows.of(self.repository, name, replaced, version) if replaced and version else None,
            "callers": self._callers(name, replaced, version) if replaced and version else None,
        }

    def _callers(self, name: str, before: int, now: int) -> SignatureChanges | None:
        """Return what callers have to change; None if the current version has become unreadable."""
        try:
            earlier, later = (self.repository.manifest(name, version) for version in (before, now))
        except ModelgateError:
            return None
        return signature_changes(earlier.signature, later.signature)

    def _make_current(self, name: str, version: str, action: RepositoryAction) -> Response:
        """Have the trainer move the alias, if it still names the version that the page has named: a form may be sent
        again. A ticked `force` moves it even if no worker can load the version."""
        number = current().version = self._number(name, version)
        force = request.form.get("force") == "1"
        self.changes.run(RepositoryCommand(action, name, alias=CURRENT, version=number, force=force, before=_before()))
        return see(f"/ui/models/{name}/versions?now={number}")

    def _end(self, name: str, id: str, ending: PromotionEnding) -> Response:  # noqa: A002
        current().version = self.promotions.end(name, id, ending).get("version")
        return see(_address(name))


def _before() -> int | None:
    """Return the version that the page has named as the current one."""
    before = request.form.get("before", "")
    return int(before) if re.fullmatch("[0-9]{1,9}", before) else None


def _address(name: str) -> str:
    return f"/ui/models/{name}/promotions"
