"""Signing in with a key, and signing out. A session may do what its key may do."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from flask import Blueprint, Response, request

from contract.work.api_keys import fingerprint
from gateway.door.authentication import KeyCheck
from gateway.door.sessions import PATH, BrowserSessions, cookie_of, id_in
from gateway.http.answers import json_response
from gateway.http.exchange import current, note_problem
from gateway.http.problem_answers import no_address
from gateway.http.rules import BodyLimit, Level
from gateway.pages.layout import LOGIN, blueprint_of_pages, page, remember, see, still_here
from gateway.problems import Problem

_OWN_PAGE = re.compile(rf"{PATH}(?:[/?][!-\[\]-~]*)?", re.ASCII)
"""An address of a page. A sign-in leads to nothing else, so no link can use it to send a visitor to another site."""

_FORM = BodyLimit.of_request(32)
"""Of a form that everybody may send."""


def blueprint(keys: KeyCheck, is_closed: Callable[[], bool], sessions: BrowserSessions) -> Blueprint:
    """`is_closed`: whether requests need a key."""
    routes = blueprint_of_pages("sign_in")

    @routes.get("/login", level=Level.OPEN, page=True)
    def login() -> Response:
        target = _target(request.args.get("next", ""))
        # Whom the proxy has signed in may use a key instead.
        if not is_closed() or (_is_signed_in() and "as" not in request.args):
            return see(target)
        if request.headers.get("Sec-Fetch-Site") == "cross-site" and id_in(request.environ) is None:
            # After a link on another site the browser sends no cookie; it does when our own page leads there again.
            return page("again.html", title="Signing in", again=f"{LOGIN}?next={quote(target)}")
        return page("login.html", title="Sign in", target=target, problem=None)

    @routes.post("/login", level=Level.OPEN, page=True, audit="sign_in", body=_FORM)
    def sign_in() -> Response:
        target, token = _target(request.form.get("next", "")), request.form.get("key", "").strip()
        try:
            current().caller = keys.check(request.environ["REMOTE_ADDR"], token)
        except Problem as problem:
            note_problem(problem.code)
            response = page("login.html", problem.status, title="Sign in", target=target, problem=problem)
            response.headers.update(problem.headers)
            return response
        if (before := id_in(request.environ)) is not None:
            sessions.end(before)
        response = see(target)
        remember(response, sessions.open(fingerprint(token)))  # a new id, since somebody may have planted the old one
        return response

    @routes.post("/logout", level=Level.OWN, page=True)
    def sign_out() -> Response:
        sessions.end(id_in(request.environ) or "")
        response = see(LOGIN)
        response.delete_cookie(cookie_of(request.environ), path=PATH, httponly=True, samesite="Strict")
        return response

    @routes.get("/session", level=Level.OWN, page=True)
    def session() -> Response:
        return still_here()

    @routes.get("/<path:path>", level=Level.OWN, page=True)
    def missing(path: str) -> Response:
        raise no_address(f"{PATH}/{path}", page=True)

    def _is_signed_in() -> bool:
        try:
            keys.signed_in(request.environ)
        except Problem:
            return False
        return True

    return routes


def root() -> Blueprint:
    """Return the route `/`: it sends browsers to the pages. Other clients read that the gateway runs (KServe)."""
    routes = Blueprint("root", __name__)

    @routes.get("/", level=Level.OPEN, page=True)
    def index() -> Response:
        if "text/html" in request.headers.get("Accept", ""):
            return see(PATH)
        return json_response({"status": "alive"})

    return routes


def _target(text: str) -> str:
    """Return the page to show after a sign-in."""
    return text if _OWN_PAGE.fullmatch(text) and not text.startswith(LOGIN) else PATH
