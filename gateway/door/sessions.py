"""Sessions of browsers: the cookie that names one, the token of its forms, and the key that it stands for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from wsgiref.types import WSGIEnvironment

from werkzeug.sansio.http import parse_cookie

from broker.access.key_store import Sessions
from contract.retention import Retention
from runtime.ttl_cache import TtlCache

_COOKIE = "modelgate_session"
PATH = "/ui"
"""Browsers send the cookie to these addresses only, and only pages take it."""
CACHED = 2.0
"""Seconds for which a process caches which key a session stands for."""
_MOST_CACHED = 2_000

_PORT = re.compile(r":([0-9]{1,5})$", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


def new_id() -> str:
    """Return a new id: 256 random bits."""
    return secrets.token_urlsafe(32)


def cookie_of(environ: WSGIEnvironment) -> str:
    """Return the name of the cookie. It has the port that the browser asks for, because browsers send a cookie to all
    ports of its host, where another Modelgate may listen."""
    port = _PORT.search(environ.get("HTTP_HOST", ""))
    return f"{_COOKIE}_{port[1]}" if port else _COOKIE


def id_in(environ: WSGIEnvironment) -> str | None:
    """Return the id in the cookie of a request, or None. A visitor who has not signed in has one, too."""
    if "HTTP_COOKIE" not in environ:
        return None
    # Read as Latin-1: `werkzeug.http.parse_cookie` raises for any cookie of this host that is not UTF-8.
    session = parse_cookie(environ["HTTP_COOKIE"]).get(cookie_of(environ), "")
    return session if _ID.fullmatch(session) else None


def form_token(session: str) -> str:
    """Return the token that the forms of a session carry. Another site can neither read nor guess it."""
    digest = hmac.digest(session.encode(), b"form", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class BrowserSessions:
    """Opens and ends sessions, and finds the key of each. Raises `redis.exceptions.RedisError`."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._known: TtlCache[str, str] = TtlCache(_MOST_CACHED)

    def open(self, fingerprint: str) -> str:
        """Return the id of a new session of the key with this fingerprint."""
        session = new_id()
        self._sessions.open(session, fingerprint, Retention.sessions)
        return session

    def end(self, session: str) -> None:
        """End a session. Other processes still know it for at most `CACHED` seconds."""
        self._known.forget(session)
        self._sessions.end(session)

    def fingerprint(self, environ: WSGIEnvironment) -> str | None:
        """Return the fingerprint of the key that the session of a request stands for; None without a session."""
        session = id_in(environ)
        if session is None:
            return None
        if known := self._known.get(session):
            return known
        fingerprint = self._sessions.find(session)
        if fingerprint is not None:
            self._known.put(session, fingerprint, CACHED)
        return fingerprint
