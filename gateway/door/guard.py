"""Checks where a request comes from.

A page of another site can reach a gateway on loopback through its visitor's browser: under a host name of its own that
it rebinds to loopback, or by a cross-origin request. The first is refused on every route that is not open, the second
if it writes or makes a job.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection
from typing import NoReturn
from wsgiref.types import WSGIEnvironment

from contract.setting_checks import is_loopback
from contract.work.api_keys import Scope
from gateway.http.rules import READING, Level, RouteLevel
from gateway.problems import Problem, ProblemCode

_AUTHORITY = r"(?P<name>[a-z0-9._-]{1,255}|\[[0-9a-f.]*:[0-9a-f:.]*\])(?::(?P<port>[0-9]{0,5}))?"
_HOST = re.compile(_AUTHORITY, re.ASCII | re.IGNORECASE)
_ORIGIN = re.compile(f"(?P<scheme>https?)://{_AUTHORITY}", re.ASCII)
_ABSOLUTE = re.compile(r"https?://([^/?#]*)([/?].*)?", re.ASCII | re.IGNORECASE)

_SAME_ORIGIN = "same-origin"
FROM_HERE = frozenset({None, _SAME_ORIGIN, "none"})
"""Values of `Sec-Fetch-Site` for our own pages, for users who enter an address, and for programs. No page can set this
header. A page of the same site has another scheme, host or port: on loopback that is any other program."""

_PORTS = {"http": 80, "https": 443}

_CACHED_VALUES = 256
"""Values of a header that are cached: clients repeat the same ones."""


class Guard:
    """Refuses requests with a foreign `Host` or from a foreign page."""

    def __init__(self, allowed_hosts: Collection[str], origins: Collection[str] = ()) -> None:
        """`origins` may do what pages of our own origin may (CORS_ORIGINS)."""
        self._is_ours = _host_check(allowed_hosts)
        self._origins = frozenset(origins)

    def check(self, environ: WSGIEnvironment, level: RouteLevel) -> None:
        """Raise `Problem`: 403, or 400 for an invalid host or target. A route of level `open` is open to all."""
        if level is Level.OPEN:
            return
        host = environ.get("HTTP_HOST", "")
        if not self._is_ours(host):
            self._refuse_host(host)
        target = environ.get("RAW_URI", "/")
        if not target.startswith("/"):
            self._check_target(target)
        method = environ["REQUEST_METHOD"]
        # A GET of level `predict` makes a job.
        if method not in READING or (method == "GET" and level is Scope.PREDICT):
            origin, site = environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE")
            if (origin is not None or site is not None) and origin not in self._origins:
                _check_origin(origin, site, f"{environ['wsgi.url_scheme']}://{host}")

    def _refuse_host(self, host: str) -> NoReturn:
        if self._is_ours(host) is None:
            subject = f"the Host {host[:80]!r}" if host else "no Host"
            detail = f"the request has {subject}; send the name or address of this gateway, and its port"
            raise Problem(ProblemCode.MALFORMED_REQUEST, detail)
        detail = f"the Host {host[:80]!r} is not a name of this gateway; add it to ALLOWED_HOSTS"
        raise Problem(ProblemCode.FOREIGN_HOST, detail)

    def _check_target(self, target: str) -> None:
        """An absolute target takes precedence over `Host`, so its host is checked as well."""
        matched = _ABSOLUTE.fullmatch(target)
        if matched:
            if not self._is_ours(matched[1]):
                self._refuse_host(matched[1])
        elif target != "*":
            raise Problem(
                ProblemCode.MALFORMED_REQUEST, f"the request is for {target[:80]!r}; begin its path with a slash"
            )


def _check_origin(origin: str | None, site: str | None, address: str) -> None:
    """Raise `Problem` unless a page of `address`, the origin that the request is for, has sent it, or no page.

    Behind a proxy that is not trusted, `address` may lack the scheme of TLS; the browser still says `same-origin`.
    """
    if site in FROM_HERE and (origin is None or site == _SAME_ORIGIN or _is_same(origin, address)):
        return
    page = "a page that hides its origin" if origin is None else f"a page of {origin[:80]!r}"
    detail = (
        f"{page} may neither write nor make jobs at {address[:80]!r}; add its origin to CORS_ORIGINS, or, if both are"
        " this gateway behind a proxy, name the proxy in TRUSTED_PROXIES"
    )
    raise Problem(ProblemCode.FOREIGN_ORIGIN, detail)


@functools.lru_cache(_CACHED_VALUES)
def _is_same(origin: str, address: str) -> bool:
    parts = _parts(_ORIGIN.fullmatch(origin))
    return parts is not None and parts == _parts(_ORIGIN.fullmatch(address.lower()))


def _parts(matched: re.Match[str] | None) -> tuple[str, str, int] | None:
    name = _name(matched)
    return (matched["scheme"], name, int(matched["port"] or _PORTS[matched["scheme"]])) if matched and name else None


def _host_check(allowed_hosts: Collection[str]) -> Callable[[str], bool | None]:
    """Return a check whether a `Host` names this gateway; its answer is None for an invalid one."""
    allowed = {_name(_HOST.fullmatch(host)) for host in allowed_hosts} - {None}

    @functools.lru_cache(_CACHED_VALUES)
    def is_ours(host: str) -> bool | None:
        name = _name(_HOST.fullmatch(host))
        return None if name is None else is_loopback(name) or name in allowed

    return is_ours


def _name(matched: re.Match[str] | None) -> str | None:
    """Return the host in lower case, without port, brackets and final dot; None without a host or with an invalid
    port."""
    if matched is None or int(matched["port"] or 0) > 65535:
        return None
    return matched["name"].lower().strip("[]").removesuffix(".") or None
