"""The audit log: who did what, and with what outcome."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from broker.access.audit_log import AuditLog
from gateway.http.rules import Level
from gateway.pages.layout import blueprint_of_pages, page
from gateway.problems.codes import ProblemCode
from gateway.problems.problem import Problem

_PER_PAGE = 50
_FILTERS = ("action", "actor", "model", "outcome")

ACTIONS = {
    "train": "train",
    "preview_training": "read the columns of a file",
    "move_alias": "promote or name a version",
    "delete_alias": "delete an alias",
    "roll_back": "roll back",
    "edit_signature": "edit a signature",
    "upload": "upload a model",
    "import": "import a model",
    "delete_version": "delete a version",
    "change_settings": "change the settings of a model",
    "remove_model": "remove a model",
    "restore_model": "restore a model",
    "set_schedule": "set a schedule",
    "delete_schedule": "delete a schedule",
    "set_webhook": "set a webhook",
    "delete_webhook": "delete a webhook",
    "cancel_job": "cancel a job",
    "delete_job": "delete a job",
    "make_key": "make a key",
    "rotate_key": "rotate a key",
    "revoke_key": "revoke a key",
    "sign_in": "sign in",
    "request": "another request",
}
"""The actions of the log in words."""

OUTCOMES = {"done": "good", "refused": "warn", "failed": "bad"}


@dataclass(frozen=True)
class AuditPages:
    log: AuditLog

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("audit")

        @routes.get("/audit", level=Level.ADMIN, page=True)
        def index() -> Response:
            chosen = {name: request.args.get(name, "").strip() for name in _FILTERS}
            filters = {name: value for name, value in chosen.items() if value}
            try:
                entries = self.log.page(filters, _PER_PAGE, request.args.get("cursor") or None)
            except ValueError as error:
                raise Problem(ProblemCode.INVALID_PARAMETER, f"{error}; begin at the first page again") from error
            older = urlencode({**filters, "cursor": entries.next_cursor}) if entries.next_cursor else None
            return page(
                "audit.html",
                title="Audit log",
                entries=entries.items,
                chosen=chosen,
                older=older,
                outcomes=OUTCOMES,
                actions=ACTIONS,
            )

        return routes
