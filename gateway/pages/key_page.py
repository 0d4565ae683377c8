"""Making, rotating and revoking API keys. A secret is shown once."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from broker.access.key_store import IssuedKey
from contract.work.api_keys import NOBODY, Key, Scope
from gateway.door.sessions import PATH
from gateway.http.exchange import caller, current, note_problem
from gateway.http.problem_answers import problem_of
from gateway.pages.layout import blueprint_of_pages, page, see
from gateway.problems import Problem, ProblemCode
from gateway.protocols.key_requests import key_request, rotation_request
from gateway.serving.key_management import KeyAdmin


def blueprint(keys: KeyAdmin, by_proxy: bool) -> Blueprint:
    """`by_proxy`: a proxy signs people in."""
    routes = blueprint_of_pages("keys")

    @routes.get("/keys", level=Scope.ADMIN, page=True)
    def index() -> Response:
        return show()

    @routes.post("/keys", level=Scope.ADMIN, page=True, audit="make_key")
    def make() -> Response:
        try:
            issued, secret = keys.make(_entered_key())
            if secret is not None:
                return reveal(issued, secret, "made")
            current().on_key = issued.key.id
            return see(f"{PATH}/keys")
        except Problem as error:
            return show(problem_of(error))

    @routes.post("/keys/<key_id>/rotate", level=Scope.ADMIN, page=True, audit="rotate_key")
    def rotate(key_id: str) -> Response:
        overlap = request.form.get("overlap")
        body = {"overlap": overlap} if overlap else {}
        return reveal(*keys.rotate(key_id, rotation_request(body).overlap), "rotated")

    @routes.post("/keys/<key_id>/revoke", level=Scope.ADMIN, page=True, audit="revoke_key")
    def revoke(key_id: str) -> Response:
        keys.revoke(key_id)
        return see(f"{PATH}/keys")

    def show(problem: Problem | None = None) -> Response:
        """Return the page, with what was entered if there is a problem with it."""
        issued = keys.all()
        if problem:
            note_problem(problem.code)
            entered = {**request.form, "scopes": request.form.getlist("scopes")}
        else:
            is_open = caller() is NOBODY
            scope = Scope.ADMIN if is_open and not issued else Scope.PREDICT
            entered = {"expires": "" if is_open else "90d", "scopes": [scope]}
        return page(
            "keys.html",
            problem.status if problem else 200,
            title="Keys",
            keys=issued,
            scopes=list(Scope),
            entered={"name": "", "owner": "", "user": "", "models": "", "expires": "", **entered},
            by_proxy=by_proxy,
            problem=problem,
        )

    def reveal(issued: IssuedKey, secret: str, what: str) -> Response:
        current().on_key = issued.key.id
        (warnings,) = keys.warnings([issued.key])
        title = f"The key {issued.key.name}"
        return page("secret.html", title=title, issued=issued, secret=secret, what=what, warnings=warnings)

    return routes


def _entered_key() -> Key:
    """Return the key that the form asks for. Raises `Problem`."""
    if not request.form.getlist("scopes"):
        raise Problem(ProblemCode.INVALID_KEY_REQUEST, "choose at least one thing that the key may do")
    return key_request(_body())


def _body() -> dict[str, Any]:
    """Return the form as the JSON of `POST /v1/keys`."""
    form = request.form
    body: dict[str, Any] = {name: form.get(name, "").strip() for name in ("name", "owner", "user", "expires")}
    body |= {"models": form.get("models", "").replace(",", " ").split(), "scopes": form.getlist("scopes")}
    return {name: value for name, value in body.items() if value}
