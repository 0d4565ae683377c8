"""The audit log, a page at a time."""

from __future__ import annotations

from dataclasses import replace

from flask import Blueprint, Response, request

from broker.access.audit_log import ENTRY_ID, FILTERS, LARGEST_PAGE, AuditLog, Outcome
from contract.work.api_keys import Scope
from gateway.http.answers import FRESH, json_response
from gateway.http.operations import CURSOR, LIMIT, MOMENT, TEXT, Answer, Operation, Parameter, matching
from gateway.problems import Problem, ProblemCode
from gateway.protocols import parameters

_SCHEMAS = {"outcome": {**TEXT, "enum": list(Outcome)}}
_INDEX = Operation(
    "list_audit_entries",
    "Who did what, newest first",
    {200: Answer("A page of the audit log.", "AuditPage")},
    parameters=(
        *(Parameter(name, f"Only entries with exactly this `{name}`.", _SCHEMAS.get(name, TEXT)) for name in FILTERS),
        Parameter("since", "Only entries of this time and later ones.", MOMENT),
        Parameter("until", "Only entries of this time and earlier ones.", MOMENT),
        LIMIT,
        replace(CURSOR, schema=matching(ENTRY_ID)),
    ),
)


def blueprint(log: AuditLog) -> Blueprint:
    routes = Blueprint("audit", __name__, url_prefix="/v1")

    @routes.get("/audit", level=Scope.ADMIN, docs=_INDEX)
    def index() -> Response:
        filters = request.args.to_dict()
        limit, cursor, since, until = (filters.pop(name, None) for name in ("limit", "cursor", "since", "until"))
        if (outcome := filters.get("outcome", Outcome.DONE)) not in list(Outcome):
            raise Problem(ProblemCode.INVALID_PARAMETER, f"outcome={outcome[:64]!r} is none of {', '.join(Outcome)}")
        times = parameters.moment("since", since), parameters.moment("until", until)
        with parameters.refusing(f"limit is a number up to {LARGEST_PAGE}, and cursor is the next_cursor of a page"):
            page = log.page(filters, parameters.limit(limit), cursor, *times)
        return json_response({"items": page.items, "next_cursor": page.next_cursor}, headers=FRESH)

    return routes
