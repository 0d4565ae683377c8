"""Finds out who makes a request: checks its key, or that it needs none."""

from __future__ import annotations

import hmac
import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, NoReturn
from wsgiref.types import WSGIEnvironment

from redis.exceptions import RedisError

from broker.access.key_store import MOST, Keys
from contract.wording import shown
from contract.work.api_keys import ADMIN, EVERY_USER, EVERYBODY, NOBODY, TOKEN, USER, Key, entry_of, fingerprint
from gateway.door import proxies
from gateway.door.attempts import FailedAttempts
from gateway.door.closed import ClosedState
from gateway.door.sessions import BrowserSessions, id_in
from gateway.http.exchange import current
from gateway.http.rules import Level, Route
from gateway.problems import Problem, ProblemCode
from runtime.ttl_cache import TtlCache

log = logging.getLogger(__name__)

CACHED = 2.0
"""Seconds for which a process caches a key. A revoked key is refused after at most twice that time: while one request
asks Redis again, the others still use the cached key."""

RECENT_USE = 86_400.0
"""Seconds after its last use for which a key still works from an address with too many failed attempts: clients behind
one proxy or NAT share an address."""

_MOST_DEFAULT = 1_000
"""Default keys that a process caches."""

REMEMBERED = 1024
"""Pairs of headers whose key a process remembers, as it remembers the lines of heads."""


class DefaultKeys:
    """Reads the keys that ROUTES_FILE names for old clients, which send none. One that expires may open its routes for
    `CACHED` seconds more."""

    def __init__(self, keys: Keys, on_used: Callable[[str], object]) -> None:
        """`on_used` gets the fingerprint of a key every few seconds of its use."""
        self._keys = keys
        self._on_used = on_used
        self._known: TtlCache[str, Key | None] = TtlCache(_MOST_DEFAULT, keep_stale=math.inf)
        self._missing: set[str] = set()

    def key(self, name: str) -> Key | None:
        """Return the key with this name; None if there is none, or if it has expired. Raises `RedisError` if Redis has
        to be asked and does not answer."""
        return self._known.refresh(name, lambda: self._read(name), CACHED)

    def _read(self, name: str) -> Key | None:
        issued = self._keys.named(name)
        if issued is None or issued.current.expired or issued.key.user:
            if name not in self._missing:
                state = "does not exist" if issued is None else "is of a person" if issued.key.user else "has expired"
                log.warning("ROUTES_FILE lends the key %r, which %s: callers without a key get 401", name, state)
            self._missing.add(name)
            return None
        self._missing.discard(name)
        self._on_used(issued.current.fingerprint)
        return issued.key


class _KnownKey(NamedTuple):
    """A key that this process has read. `expires`: in seconds since 1970."""

    key: Key
    expires: float


class KeyCheck:
    """Checks the keys of requests."""

    def __init__(
        self,
        keys: Keys,
        closed: ClosedState,
        admin_key: str,
        attempts: FailedAttempts,
        on_used: Callable[[str], object],
        sessions: BrowserSessions,
    ) -> None:
        """`on_used` gets the fingerprint of a key every few seconds of its use."""
        self._keys = keys
        self._closed = closed
        self._admin = fingerprint(admin_key) if admin_key else None
        self._attempts = attempts
        self._on_used = on_used
        self._sessions = sessions
        self._known: TtlCache[str, _KnownKey] = TtlCache(2 * MOST, keep_stale=math.inf)  # some are rotated or expired
        self._recent: TtlCache[str, frozenset[str]] = TtlCache(1)
        self._default_keys = DefaultKeys(keys, on_used)

    def caller(self, environ: WSGIEnvironment, route: Route) -> Key:
        """Return the key of a request to this route, else the default key of the route, or `EVERYBODY` while requests
        need none.

        Raises `Problem`: 401 without a valid key, 429 after too many invalid ones, 400 with two. Raises `RedisError` if
        Redis has to be asked and does not answer.
        """
        if route.level is Level.OPEN:
            return self._visitor(environ)
        if not self._closed.is_closed():
            return EVERYBODY
        if route.page:
            return self.signed_in(environ)
        token, digest = _sent_in(environ)
        if not token:
            return self._default_of(route) or _refuse_without_key(environ)
        return self._check(environ["REMOTE_ADDR"], token, digest, route.without_redis)

    def signed_in(self, environ: WSGIEnvironment) -> Key:
        """Return the key that the session of a browser stands for, as it is now, else the rights of the person whom a
        trusted proxy has signed in. Raises `Problem` (401) without one, 403 for a person without rights, and
        `RedisError`."""
        digest, user = self._sessions.fingerprint(environ), environ.get(proxies.USER)
        # After a link on another site, browsers hold the cookie back, which may be that of a key.
        if user is not None and environ.get("HTTP_SEC_FETCH_SITE") == "cross-site" and id_in(environ) is None:
            user = None
        try:
            if digest is None:
                raise _unauthorized("signed_out", "you are not signed in, or your session has ended; sign in again")
            return self._of_session(digest)
        except Problem:
            if user is None:
                raise
        return self._person(user)

    def _of_session(self, digest: str) -> Key:
        def read() -> _KnownKey:
            key = ADMIN if self._is_admin(digest) else self._keys.find(digest)
            if key is None:
                raise _unauthorized("signed_out", "the key of your session was revoked; sign in with another one")
            return self._used(digest, key)

        return _unexpired(self._known.refresh(digest, read, CACHED))

    def _person(self, user: str) -> Key:
        """Return the rights of a person, under their own name. Raises `Problem` (403) without any."""
        current().caller = replace(NOBODY, name=user)  # for the audit log

        def read() -> _KnownKey:
            key = self._keys.of_user(user) if USER.fullmatch(user) else None
            if key is None:
                raise _unknown_user(user, "has no entry here; ask an admin to make one on the page Keys")
            owner = user if key.user == EVERY_USER else key.owner
            return self._used(entry_of(key.user or user), replace(key, name=user, owner=owner))

        known = self._known.refresh(entry_of(user), read, CACHED)
        if known.expires <= time.time():
            raise _unknown_user(
                user, f"may no longer use Modelgate ({known.key.expires_at}); ask an admin to extend it"
            )
        return known.key

    def _default_of(self, route: Route) -> Key | None:
        return None if route.key is None else self._default_keys.key(route.key)

    def _visitor(self, environ: WSGIEnvironment) -> Key:
        """Return who makes a request that passes anyway: nobody without a valid key. An invalid one counts as a guess
        here, too: the answer may tell whether it is valid."""
        if self._closed.is_open:
            return EVERYBODY
        if "HTTP_AUTHORIZATION" not in environ and "HTTP_X_API_KEY" not in environ:
            return NOBODY
        try:
            token, digest = _sent_in(environ)
            return self._check(environ["REMOTE_ADDR"], token, digest) if token else _refuse_without_key(environ)
        except Problem as error:
            current().ignored_key = error.code
        except RedisError:
            pass  # such a route answers without Redis
        return NOBODY

    def check(self, address: str, token: str) -> Key:
        """Return the key with this secret, which a client of this address sends. Raises as `caller`."""
        return self._check(address, token, fingerprint(token))

    def _check(self, address: str, token: str, digest: str, without_redis: bool = False) -> Key:
        return _unexpired(self._known.get(digest) or self._refresh(address, token, digest, without_redis))

    def _refresh(self, address: str, token: str, digest: str, without_redis: bool) -> _KnownKey:
        """Return the key as it is now; `without_redis`: or else as it was when it was read last."""
        if (wait := self._attempts.wait(address)) and not self._in_use(digest):
            raise _too_many(wait)
        try:
            return self._known.refresh(digest, lambda: self._read(address, token, digest), CACHED)
        except RedisError:
            known = self._known.get(digest, stale=math.inf)
            if known is None or not without_redis:
                raise
            return known

    def _in_use(self, digest: str) -> bool:
        """Return whether the key has answered within `RECENT_USE`, at any gateway. Further guesses cost Redis nothing:
        all keys in use are read together, once in `CACHED` seconds."""
        if self._known.get(digest, stale=RECENT_USE):
            return True
        return digest in self._recent.fetch("", lambda: self._keys.used_since(time.time() - RECENT_USE), CACHED)

    def _read(self, address: str, token: str, digest: str) -> _KnownKey:
        if self._is_admin(digest):
            return self._used(digest, ADMIN)
        key = self._keys.find(digest) if TOKEN.fullmatch(token) else None
        if key is None:
            self._attempts.add(address)
            raise _unauthorized("invalid_key", "there is no such key, or it was revoked")
        return self._used(digest, key)

    def _is_admin(self, digest: str) -> bool:
        return self._admin is not None and hmac.compare_digest(digest, self._admin)

    def _used(self, digest: str, key: Key) -> _KnownKey:
        expires = math.inf if key.expires_at is None else datetime.fromisoformat(key.expires_at).timestamp()
        if key is not ADMIN and expires > time.time():
            self._on_used(digest)
        return _KnownKey(key, expires)


def _unexpired(known: _KnownKey) -> Key:
    if known.expires <= time.time():
        current().on_key = known.key.id
        raise _unauthorized("expired_key", f"the key {known.key.name!r} has expired ({known.key.expires_at})")
    return known.key


def _sent_in(environ: WSGIEnvironment) -> tuple[str, str]:
    """Return the key in the headers and its fingerprint; '' and any text without one. Raises `Problem` if there are
    two keys."""
    return _in_headers(environ.get("HTTP_AUTHORIZATION", ""), environ.get("HTTP_X_API_KEY", ""))


@lru_cache(REMEMBERED)
def _in_headers(authorization: str, api_key: str) -> tuple[str, str]:
    """As `_sent_in`, from Authorization and X-API-Key. Clients repeat their headers."""
    scheme, _, bearer = authorization.partition(" ")
    bearer, token = bearer.strip() if scheme.lower() == "bearer" else "", api_key.strip()
    if bearer and token and bearer != token:
        raise Problem(
            ProblemCode.MALFORMED_REQUEST, "Authorization and X-API-Key have different keys; send one of them"
        )
    sent = bearer or token
    return sent, fingerprint(sent)


def _refuse_without_key(environ: WSGIEnvironment) -> NoReturn:
    what = "Authorization has no Bearer key" if environ.get("HTTP_AUTHORIZATION") else "the request has no key"
    raise _unauthorized("missing_key", f"{what}; send Authorization: Bearer mg_…, or X-API-Key: mg_…")


def _unauthorized(code: str, detail: str) -> Problem:
    return Problem(code, detail, headers={"WWW-Authenticate": 'Bearer realm="modelgate"'})


def _unknown_user(user: str, why: str) -> Problem:
    return Problem(ProblemCode.UNKNOWN_USER, f"your proxy signs you in as {shown(user)}, who {why}, or use a key")


def _too_many(wait: float) -> Problem:
    seconds = math.ceil(wait)
    detail = f"too many invalid keys came from this address; try again in {seconds} s"
    return Problem(ProblemCode.TOO_MANY_ATTEMPTS, detail, headers={"Retry-After": str(seconds)})
