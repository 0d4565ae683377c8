"""What all pages share: their frame, the check of their forms, and their answers to errors."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from flask import Blueprint, Response, current_app, request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from redis.exceptions import RedisError

from broker.state.boards import HealthBoard
from contract.model.model_health import ModelHealth
from contract.work.api_keys import NOBODY, Key, Scope
from gateway.door.guard import FROM_HERE
from gateway.door.sessions import PATH, cookie_of, form_token, id_in, new_id
from gateway.http.exchange import current, note_problem
from gateway.http.problem_answers import problem_headers, problem_of
from gateway.http.rules import READING
from gateway.pages import wording
from gateway.pages.assets import STYLE, STYLE_DIGEST, address_of
from gateway.pages.charts.sparklines import lifted, sparkline
from gateway.pages.live_parts import LIVE_EVERY, LiveParts, RefreshPace
from gateway.problems import Problem, ProblemCode
from gateway.serving.key_management import expires_soon

_HTML = "text/html; charset=utf-8"
HEADERS: Mapping[str, str] = {
    # Pages show user-supplied text. Even unescaped text could run no script and send nothing to other sites.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; img-src 'self' data:;"
    f" style-src 'self' '{STYLE_DIGEST}';"
    " connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",  # after signing out, the back button shows nothing
    "Modelgate-Page": "1",  # tells the script that no proxy answers in place of this server
}

FIELD = "token"
LOGIN = f"{PATH}/login"


@dataclass(frozen=True)
class Section:
    """An entry of the navigation. `scopes`: a key needs one of these to see it; empty: every key sees it."""

    label: str
    path: str
    scopes: tuple[Scope, ...] = ()

    def is_shown(self, caller: Key) -> bool:
        return not self.scopes or any(map(caller.allows, self.scopes))

    def is_here(self, path: str) -> bool:
        """Return whether a page belongs to this section."""
        also = (f"{PATH}/models/",) if self.path == PATH else (f"{self.path}/",)
        return path == self.path or path.startswith(also)


SECTIONS = (
    Section("Models", PATH, (Scope.READ, Scope.PREDICT)),
    Section("Train", f"{PATH}/train", (Scope.TRAIN,)),
    Section("Jobs", f"{PATH}/jobs"),
    Section("System", f"{PATH}/system", (Scope.READ,)),
    Section("Notifications", f"{PATH}/notifications", (Scope.PUBLISH,)),
    Section("Keys", f"{PATH}/keys", (Scope.ADMIN,)),
    Section("Audit", f"{PATH}/audit", (Scope.ADMIN,)),
)


def blueprint_of_pages(name: str) -> Blueprint:
    """Return a blueprint for pages under `/ui`. It checks the token of each form, and answers errors with a page."""
    routes = Blueprint(f"{name}_pages", __name__, url_prefix=PATH)
    routes.before_request(_check_form)
    routes.register_error_handler(Exception, error_page)
    return routes


def page(template: str, status: int = 200, **values: object) -> Response:
    """Return the page that a template makes of `values` and of what all templates know (`_shared`)."""
    exchange = current()
    known = id_in(exchange.environ)
    session = known or new_id()
    html = _ENVIRONMENT.get_template(template).render({**_shared(exchange.caller, session), **values})
    response = Response(_utf8(html), status, HEADERS, content_type=_HTML)
    # A form of a visitor who has not signed in needs a token, too. After a link on another site, browsers hold the
    # cookie of a session back: another one would take its place. After an error, it may be unknown who asks.
    may_be_signed_in = exchange.caller is NOBODY or status >= HTTPStatus.BAD_REQUEST
    held_back = may_be_signed_in and exchange.environ.get("HTTP_SEC_FETCH_SITE") == "cross-site"
    if known is None and not held_back:
        remember(response, session)
    return response


def live_page(template: str, read: Callable[[], Mapping[str, Any]]) -> Response:
    """Return the page that a template makes of the values that `read` returns. If an open page asks for its newer part,
    return only the block `live`; callers with the same rights share that for a moment (`live_parts`)."""
    exchange = current()
    environ, caller = exchange.environ, exchange.caller
    if not asked_by_open_page(environ):
        return page(template, **read())

    def make() -> str:
        live = _ENVIRONMENT.get_template(template)
        # No token and no name: a block that shows one caller's to another fails instead.
        return "".join(live.blocks["live"](live.new_context({**_of_rights(caller), **read()})))

    parts: LiveParts = current_app.extensions["live_parts"]
    html = parts.get(f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}", caller, make)
    every = _LIVE.note(id_in(environ) or new_id(), environ["PATH_INFO"])
    return Response(_utf8(html), headers={**HEADERS, LIVE_EVERY: f"{every:g}"}, content_type=_HTML)


def _utf8(html: str) -> bytes:
    """Half of a surrogate pair, which JSON can hold, is shown as a question mark."""
    return html.encode(errors="replace")


def still_here() -> Response:
    """Answer a page that asks only whether its server is there, and its visitor still signed in."""
    environ = current().environ
    every = _STILL.note(id_in(environ) or new_id(), environ.get("HTTP_REFERER", ""))
    return Response(status=204, headers={"Cache-Control": "no-store", LIVE_EVERY: f"{every:g}"})


def asked_by_open_page(environ: Mapping[str, Any]) -> bool:
    """Return whether the script of an open page (`parts.js`) asks, not the browser for a page to show."""
    return "HTTP_MODELGATE_PART" in environ


def see(path: str) -> Response:
    """Send the browser on to another page, after a form."""
    return Response(status=303, headers={"Location": path, "Cache-Control": "no-store"})


def lead(path: str) -> Response:
    """Have the script of an open page load another page. It would follow a redirect by itself, and get a part of it."""
    return Response(status=204, headers={"Modelgate-Redirect": path, "Cache-Control": "no-store"})


def remember(response: Response, session: str) -> None:
    """Give the browser the id of its session in a cookie. No script can read it, and no other site can make the browser
    send it. It is gone when the browser is closed."""
    environ = current().environ
    secure = environ["wsgi.url_scheme"] == "https"
    response.set_cookie(cookie_of(environ), session, path=PATH, httponly=True, samesite="Strict", secure=secure)


def error_page(error: Exception) -> Response:
    """Return the page for a request that ended with `error`, or send the visitor to sign in."""
    problem = problem_of(error)
    if problem.status == 401:
        return _to_login()
    note_problem(problem.code)
    title = wording.TITLES.get(problem.status, "That did not work")
    # The script asks for the page again once that may help.
    passes = problem.status == 503 and current().environ["REQUEST_METHOD"] in READING
    values = {"title": title, "problem": problem, "sentences": problem.sentence(), "passes": passes}
    values["meant"] = _meant(problem)
    wrong: Any = problem.members.get("errors") or []
    values["errors"] = {error["field"]: error["message"] for error in wrong if error.get("field")}
    response = page("error.html", problem.status, **values)
    response.headers.update(problem_headers(problem))
    return response


def _meant(problem: Problem) -> str | None:
    """Return the address of the page that the visitor probably meant: another one, or that of another model."""
    suggestion, path = problem.members.get("suggestion"), _path()
    if problem.code == ProblemCode.UNKNOWN_MODEL and suggestion and path.startswith(f"{PATH}/models/"):
        _, _, rest = path.removeprefix(f"{PATH}/models/").partition("/")
        return f"{PATH}/models/{suggestion}{'/' * bool(rest)}{quote(rest)}"
    return str(suggestion) if problem.code == ProblemCode.NOT_FOUND and suggestion else None


def _to_login() -> Response:
    """Send the visitor to sign in, and back afterwards."""
    environ = current().environ
    if asked_by_open_page(environ):
        try:
            referer = urlsplit(environ.get("HTTP_REFERER", ""))
        except ValueError:  # no browser sends such an address
            return see(LOGIN)
        return lead(_login_and(referer.path, referer.query))
    if environ["REQUEST_METHOD"] not in READING:
        return see(LOGIN)
    return see(_login_and(quote(_path()), environ["QUERY_STRING"]))


def _login_and(path: str, query: str) -> str:
    target = f"{path}?{query}" if query else path
    return LOGIN if target in ("", PATH) else f"{LOGIN}?next={quote(target, safe='/')}"


def _check_form() -> None:
    """Raise `Problem` (403) unless a form carries the token of its session. An upload carries it in its address, since
    its body goes to the spool as it arrives."""
    if request.method in READING:
        return
    session = id_in(request.environ)
    # A page of a neighbouring host can plant a cookie, and so knows the token of that one.
    foreign = request.headers.get("Sec-Fetch-Site") not in FROM_HERE
    token = request.args.get(FIELD)
    if session and not foreign and token is None and request.mimetype == "application/x-www-form-urlencoded":
        token = request.form.get(FIELD)
    if foreign or not session or not token or not hmac.compare_digest(token.encode(), form_token(session).encode()):
        detail = "this form belongs to another site, or to a session that has ended; go back, reload it, and try again"
        raise Problem(ProblemCode.FOREIGN_FORM, detail)


def _shared(caller: Key, session: str) -> Mapping[str, object]:
    """Return the variables of all templates."""
    token = form_token(session)
    return {
        **_of_rights(caller),
        "caller": caller if caller.id else None,
        "ends": caller.expires_at if expires_soon(caller) else None,
        "sections": [section for section in SECTIONS if section.is_shown(caller)] if caller.scopes else [],
        "token": token,
        "token_field": Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, token),
    }


def _of_rights(caller: Key) -> Mapping[str, object]:
    """Return the variables that are the same for all callers with the same rights."""

    def may(scope: str) -> bool:
        return caller.allows(Scope(scope))

    return {"may": may, "here": _path()}


def _path() -> str:
    path: str = current().environ["PATH_INFO"]
    return path.encode("latin-1").decode(errors="replace")


def _health_of(model: str, version: int | None) -> ModelHealth | None:
    """Return what was found about a version, for the head of its model's pages; None for nothing, or without Redis."""
    board: HealthBoard = current_app.extensions["health_board"]
    with suppress(RedisError):
        health = board.of(f"{model}@{version}")
        return health if health and health.findings else None
    return None


def compile_templates() -> None:
    """Compile all templates, which takes a quarter of a second. Otherwise the first visitor of each page waits."""
    for name in _ENVIRONMENT.list_templates():
        _ENVIRONMENT.get_template(name)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= wording.FILTERS
    environment.globals |= {
        "asset": address_of,
        "style": STYLE,
        "sparkline": sparkline,
        "lifted": lifted,
        "health_of": _health_of,
    }
    return environment


_ENVIRONMENT = _environment()
_LIVE, _STILL = RefreshPace(), RefreshPace()
"""Of pages with a live part, and of the others. These ask for less, so they do not slow those."""
