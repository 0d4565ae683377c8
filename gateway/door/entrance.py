"""The one entrance: every request passes `Door` once, and then takes the fast path or goes on to Flask.

What holds for all requests belongs here: the guard, and the size of bodies. Their pace is `connections.py`, which the
server puts around each socket.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from gateway.door.bodies import Body
from gateway.door.fast_path import FastPath
from gateway.door.guard import Guard
from gateway.problems import Problem
from gateway.rules import SMALL_BODY, Level, Route

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Door:
    """WSGI middleware that finds the route of a request and lets it pass if the guard does not object."""

    def __init__(self, flask: WSGIApplication, urls: Map, fast_path: FastPath, guard: Guard) -> None:
        """`urls`: the routes of `flask`."""
        self._flask = flask
        self._urls = urls.bind("localhost")  # matching ignores the host
        self._fast_path = fast_path
        self._guard = guard

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        reference = self._fast_path.reference_in(environ)
        try:
            route = self._route(environ) if reference is None else self._fast_path.route
            # A request without a route must pass the check of `read`. Then Flask answers it with 404.
            self._guard.check(environ, Level.READ if route is None else route.level)
        except Problem as problem:
            return problem.response()(environ, start_response)
        environ["wsgi.input"] = Body(environ, SMALL_BODY if route is None else route.body)
        if reference is None:
            return self._flask(environ, start_response)
        return self._fast_path.answer(environ, reference)(environ, start_response)

    def _route(self, environ: WSGIEnvironment) -> Route | None:
        """Return the declared route, or None if Flask will not find one either. Raises `Problem` without a level."""
        path = environ["PATH_INFO"].encode("latin-1").decode(errors="replace")
        try:
            rule, _ = self._urls.match(path, environ["REQUEST_METHOD"], return_rule=True)
        except HTTPException:  # no such route, no such method, or a redirect to another spelling
            return None
        if not isinstance(rule, Route):
            raise Problem(403, "no_level", f"the route {rule.rule} declares no level, so it is closed")
        return rule
