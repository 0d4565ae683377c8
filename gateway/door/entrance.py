"""The one entrance: every request passes `Door` once, and then takes the fast path or goes on to Flask.

What holds for all requests belongs here: the guard, the size of bodies, and who observes them. Their pace is
`connections.py`, which the server puts around each socket.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import NoReturn
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Response
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

from contract.wording import Suggestions, listed, shown
from contract.work.api_keys import EVERYBODY, Key, Scope
from gateway.door.authentication import KeyCheck
from gateway.door.bodies import Body
from gateway.door.body_work import BodyWork
from gateway.door.connections import TooSlow
from gateway.door.cors import METHODS, Cors
from gateway.door.guard import Guard
from gateway.door.proxies import TrustedProxies
from gateway.http.codings import encode_response
from gateway.http.exchange import Exchange
from gateway.http.foreign_addresses import foreign_shape
from gateway.http.idempotency import note_request
from gateway.http.operations import Operation
from gateway.http.problem_answers import response_to
from gateway.http.rules import Level, Route, RouteLevel
from gateway.problems import Problem, ProblemCode
from gateway.problems.problem import missing_scope

RECEIVE = "modelgate.receive"
"""The key of an environment for what waits for the message of a gRPC call, which names the model, and completes the
environment by it."""

_PATH = re.compile(r"/v1/models/([^/]+)/predict", re.ASCII)


@dataclass(frozen=True)
class FastPath:
    """Serves `POST /v1/models/{model}/predict` without Flask, whose work around a view costs as much as a one-row view.
    Flask serves other spellings of the path. `predict` takes the model's reference."""

    route: Route
    predict: Callable[[WSGIEnvironment, str], WSGIApplication]

    def reference_in(self, environ: WSGIEnvironment) -> str | None:
        """Return the model's reference in the path, or None for another request."""
        matched = _PATH.fullmatch(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "POST" else None
        return matched[1].encode("latin-1").decode(errors="replace") if matched else None

    def answer(self, environ: WSGIEnvironment, reference: str) -> WSGIApplication:
        try:
            return self.predict(environ, reference)
        except Exception as error:
            return encode_response(response_to(error), environ.get("HTTP_ACCEPT_ENCODING", ""))


_NO_ROUTE = Route("/", level=Level.OWN, docs=Operation("none", "No route", {}))
"""For a request without a route, which must pass the checks of `own`. Then Flask answers it with 404."""

_OF_A_BODY = frozenset({400, 403, 413, 415, 422})
"""Statuses of requests whose body was refused."""

Observer = Callable[[Exchange], object]
"""Gets each request once its answer is known. It costs every request its time, so it must take a few µs at most."""


@dataclass(frozen=True)
class Door:
    """WSGI middleware that finds the route of a request and lets it pass if the guard does not object.

    `urls`: the routes of `flask`. `refuse_model` returns the refusal for a reference to a model that the key may not
    use. `on_begin` gets each request before anything else is done. `audit` gets it before its answer leaves, and may
    take the time of a round trip. `error_page` answers for a failed request to a page.
    """

    flask: WSGIApplication
    urls: MapAdapter
    fast_path: FastPath
    guard: Guard
    keys: KeyCheck
    body_work: BodyWork
    refuse_model: Callable[[str], Problem]
    observers: Sequence[Observer] = ()
    on_begin: Observer | None = None
    audit: Observer | None = None
    error_page: Callable[[Exception], WSGIApplication] = response_to
    proxies: TrustedProxies | None = None
    cors: Cors | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self.proxies:
            self.proxies.apply(environ)
        exchange = Exchange(environ, start_response)
        if self.on_begin:
            self.on_begin(exchange)
        try:
            return self._answer(environ, exchange)
        except TooSlow as error:
            exchange.status, exchange.code = HTTPStatus.REQUEST_TIMEOUT, error.code  # the server answers
            raise
        finally:
            self._ended(exchange)

    def refused(self, client: str, status: int, code: str) -> Exchange:
        """Return the exchange of a request of the address `client` that the server answers itself, because it cannot be
        read."""
        exchange = Exchange({"REQUEST_METHOD": "-", "PATH_INFO": "-", "REMOTE_ADDR": client}, _no_response)
        exchange.status, exchange.code = status, code
        self._ended(exchange)
        return exchange

    def _ended(self, exchange: Exchange) -> None:
        if isinstance(body := exchange.environ.get("wsgi.input"), Body):
            body.end(refused=exchange.status in _OF_A_BODY and exchange.accepted_after is None)
        if self.audit:
            self.audit(exchange)
        exchange.seconds = exchange.elapsed()
        for observer in self.observers:
            observer(exchange)

    def _answer(self, environ: WSGIEnvironment, exchange: Exchange) -> Iterable[bytes]:
        if self.cors:
            exchange.own_headers = self.cors.headers(environ)
            if preflight := self.cors.preflight(environ):
                return preflight(environ, exchange.start_response)
        reference = self.fast_path.reference_in(environ)
        if reference is None and environ["PATH_INFO"] == "*" and environ["REQUEST_METHOD"] == "OPTIONS":
            return Response(status=HTTPStatus.NO_CONTENT, headers={"Allow": METHODS})(environ, exchange.start_response)
        try:
            if RECEIVE in environ:
                self._receive(environ, exchange)
            if reference is None:
                exchange.route, exchange.arguments = self._route(environ)
            else:
                exchange.route, exchange.arguments = self.fast_path.route, {"reference": reference}
            if exchange.route is None:
                exchange.foreign_errors = foreign_shape(environ["PATH_INFO"], self.urls.map.iter_rules())
            if not environ.get("HTTP_HOST") and environ.get("SERVER_PROTOCOL") == "HTTP/1.1":
                raise Problem(
                    ProblemCode.MALFORMED_REQUEST, "the request has no Host, which HTTP/1.1 asks for; send it"
                )
            route = exchange.route or _NO_ROUTE
            caller = exchange.caller = self.keys.caller(environ, route)
            if caller is not EVERYBODY:
                self._check_key(caller, route.level, exchange.arguments)
            # A page of another site can send neither a key nor the token of a form, but it can use a default key.
            if (caller is EVERYBODY or route.key is not None) and not route.any_host:
                self.guard.check(environ, route.level)
            if route.query is not None and (query := environ.get("QUERY_STRING")):
                _check_query(query, route.query)
            environ["wsgi.input"] = Body(environ, route.body, self.body_work, caller, streams=route.streams)
            if route.idempotent and "HTTP_IDEMPOTENCY_KEY" in environ:
                note_request(exchange, route)
        except (Problem, RedisError) as error:
            answer = self.error_page if exchange.route is not None and exchange.route.page else response_to
            return answer(error)(environ, exchange.start_response)
        if reference is None:
            return self.flask(environ, exchange.start_response)
        return self.fast_path.answer(environ, reference)(environ, exchange.start_response)

    def _receive(self, environ: WSGIEnvironment, exchange: Exchange) -> None:
        """Complete a request whose path names no model yet, if the key opens the route. Raises `Problem`."""
        exchange.route, exchange.arguments = self._route(environ)
        route = exchange.route or _NO_ROUTE
        caller = exchange.caller = self.keys.caller(environ, route)
        if caller is not EVERYBODY:
            self._check_key(caller, route.level, {})
        environ[RECEIVE](environ)

    def _check_key(self, key: Key, level: RouteLevel, arguments: Mapping[str, str]) -> None:
        """Raise `Problem` unless the key opens routes of this level, and the model that the path names."""
        if isinstance(level, Scope) and not key.allows(level):
            raise missing_scope(key, level)
        if key.models is None:
            return
        model = arguments.get("reference", arguments.get("name"))
        if model is not None and not key.may_use(model.partition("@")[0]):
            raise self.refuse_model(model)

    def _route(self, environ: WSGIEnvironment) -> tuple[Route | None, Mapping[str, str]]:
        """Return the declared route, or None if Flask will not find one either, and the parts of the path that it
        names; of a path that holds a row, only the model. Raises `Problem` without a level."""
        path = environ["PATH_INFO"].encode("latin-1").decode(errors="replace")
        try:
            rule, arguments = self.urls.match(path, environ["REQUEST_METHOD"], return_rule=True)
        except HTTPException:  # no such route, or no such method
            return None, {}
        if not isinstance(rule, Route):
            raise Problem(ProblemCode.NO_LEVEL, f"the route {rule.rule} declares no level, so it is closed")
        return rule, {"reference": arguments["reference"]} if rule.row_in_path else arguments


def _no_response(*_: object) -> NoReturn:
    raise AssertionError("the server answers this request")


def _check_query(query: str, known: frozenset[str]) -> None:
    """Raise `Problem` (`invalid_parameter`) if `query` has a name that is not `known`: a misspelt filter would list
    everything."""
    if unknown := parse_qs(query, keep_blank_values=True).keys() - known:
        name = min(unknown)
        near = Suggestions().closest(name, known, 0.7)
        parameters = f"there are {listed(sorted(known))}" if known else "it takes none"
        hint = f"did you mean {shown(near)}?" if near else f"{parameters}."
        raise Problem(ProblemCode.INVALID_PARAMETER, f"this address has no parameter {shown(name)}; {hint}")
