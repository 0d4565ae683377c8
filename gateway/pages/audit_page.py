"""The audit log: who did what, and with what outcome."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, Response, request

from broker.access.audit_log import AuditLog
from contract.work.api_keys import Scope
from gateway.pages.audit_words import ACTIONS
from gateway.pages.layout import blueprint_of_pages, page
from gateway.protocols.parameters import refusing

_PER_PAGE = 50
_FILTERS = ("action", "actor", "model", "outcome")


def blueprint(log: AuditLog) -> Blueprint:
    routes = blueprint_of_pages("audit")

    @routes.get("/audit", level=Scope.ADMIN, page=True)
    def index() -> Response:
        chosen = {name: request.args.get(name, "").strip() for name in _FILTERS}
        filters = {name: value for name, value in chosen.items() if value}
        with refusing("begin at the first page again"):
            entries = log.page(filters, _PER_PAGE, request.args.get("cursor") or None)
        older = urlencode({**filters, "cursor": entries.next_cursor}) if entries.next_cursor else None
        return page(
            "audit.html",
            title="Audit log",
            entries=entries.items,
            actions=ACTIONS,
            chosen=chosen,
            older=older,
        )

    return routes
