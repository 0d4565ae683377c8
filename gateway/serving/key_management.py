"""Makes, lists, changes, rotates and revokes API keys, for HTTP and the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from broker.access.key_store import IssuedKey, Keys, LastAdmin, NameTaken, TooManyKeys, has_expired
from contract.model.repository import Repository
from contract.wording import Suggestions
from contract.work.api_keys import ADMIN, Key, Scope, entry_of, fingerprint, new_token
from gateway.problems import Problem, ProblemCode
from gateway.problems.problem import did_you_mean
from gateway.serving.marker import Marker

SOON = timedelta(days=14)
"""How long before its end the expiry of a key is announced."""


_NO_ADMIN = "no key opens everything; one for yourself does: python -m gateway key add --name me --scopes admin"


@dataclass(frozen=True)
class KeyAdmin:
    """The operations of admins on keys. `admin_key`: whether there is an ADMIN_KEY. Raises `Problem` and
    `redis.exceptions.RedisError`."""

    keys: Keys
    marker: Marker
    repository: Repository
    admin_key: bool

    def all(self) -> list[IssuedKey]:
        """Return the keys by name."""
        return self.keys.all()

    def found(self, key_id: str) -> IssuedKey | None:
        return self.keys.get(key_id)

    def get(self, key_id: str) -> IssuedKey:
        issued = self.keys.get(key_id)
        if issued is None:
            raise _unknown(key_id)
        return issued

    def named(self, name: str) -> IssuedKey:
        """Return the key with this name or id."""
        for issued in self.keys.all():
            if name in (issued.key.name, issued.key.id):
                return issued
        raise _unknown(name)

    def make(self, key: Key, idempotency: str = "") -> tuple[IssuedKey, str | None]:
        """Add `key`, and return it with its secret; the entry of a person has none. From the first key on, no request
        passes without one. Raises `InFlight` and `IdempotencyConflict` as `Keys` does."""
        self.keys.exist()  # raises without Redis: no key can be made then, so there must be no marker either
        self._close()
        token = None if key.user else new_token()
        try:
            issued = self.keys.add(fingerprint(token) if token else entry_of(key.user or ""), key, idempotency)
        except NameTaken as error:
            raise Problem(ProblemCode.NAME_TAKEN, str(error)) from error
        except TooManyKeys as error:
            raise Problem(ProblemCode.TOO_MANY_KEYS, str(error)) from error
        return issued, token

    def warnings(self, keys: Iterable[Key]) -> list[list[str]]:
        """Return for each key a sentence for each of its models that does not exist (it may come later, so a key can
        name it), one if it shares the jobs of ADMIN_KEY, and one if nobody is an admin."""
        suggestions, names = Suggestions(), self.repository.names()

        @cache
        def warning(name: str) -> str:
            if name in names or self.repository.versions(name):
                return ""
            return f"there is no model {name!r} yet{did_you_mean(name, names, suggestions)}"

        shared = f"its owner is {ADMIN.owner!r}, so it reads, cancels and deletes what ADMIN_KEY has made"
        locked = [] if self._has_admin() else [_NO_ADMIN]
        return [
            [
                *filter(None, map(warning, sorted(key.models or ()))),
                *([shared] if key.owner == ADMIN.owner else []),
                *locked,
            ]
            for key in keys
        ]

    def _has_admin(self) -> bool:
        return self.admin_key or any(Scope.ADMIN in issued.key.scopes for issued in self.keys.all())

    def rotate(
        self, key_id: str, overlap: float = 0, expires_at: str | None = None, idempotency: str = ""
    ) -> tuple[IssuedKey, str]:
        """Give a key a new secret, and return both. The previous secret works for `overlap` more seconds. `expires_at`:
        a new expiry; None keeps the old one. Nothing else of the key changes. Raises `InFlight` and
        `IdempotencyConflict`."""
        key = self.get(key_id).key
        if key.user:
            detail = (
                f"{key.name!r} is the entry of {key.user}, who signs in at your proxy, so it has no secret to rotate"
            )
            raise Problem(ProblemCode.INVALID_KEY_REQUEST, detail)
        key = replace(key, expires_at=expires_at or key.expires_at)
        if has_expired(key):
            detail = f"the key {key.name!r} has expired ({key.expires_at}); give expires as well, such as 90d"
            raise Problem(ProblemCode.KEY_EXPIRED, detail)
        token = new_token()
        if not self.keys.rotate(key_id, fingerprint(token), overlap, expires_at, idempotency):
            raise _unknown(key_id)
        return self.get(key_id), token

    def change(self, key_id: str, changed: Callable[[Key], Key]) -> IssuedKey:
        """Replace a key by what `changed` returns for it, and return it. Its secrets stay. The last key with the scope
        `admin` keeps it, unless there is an ADMIN_KEY."""
        try:
            if not self.keys.change(key_id, changed, keep_admin=not self.admin_key):
                raise _unknown(key_id)
        except LastAdmin as error:
            detail = "no other key has the scope admin; give it to another one first, or set ADMIN_KEY"
            raise Problem(ProblemCode.LAST_ADMIN, detail) from error
        return self.get(key_id)

    def revoke(self, key_id: str) -> None:
        """Remove a key. Processes refuse it within seconds, once they have read their keys from Redis again."""
        if not self.keys.revoke(key_id):
            raise _unknown(key_id)

    def _close(self) -> None:
        try:
            self.marker.make()
        except OSError as error:
            detail = (
                f"the gateway cannot write {self.marker.path} ({error.strerror}), which keeps it closed if"
                " Redis loses the keys, so it makes no key; make STATE_DIR writable for the gateway"
            )
            raise Problem(ProblemCode.NO_MARKER, detail) from error


def expiring(issued: Sequence[IssuedKey]) -> list[Key]:
    """Return the keys that expire within `SOON`, the first one first."""
    keys = [key.key for key in issued if not key.current.expired and expires_soon(key.key)]
    return sorted(keys, key=lambda key: key.expires_at or "")


def expires_soon(key: Key) -> bool:
    """Return whether the key expires within `SOON`, or has expired."""
    return key.expires_at is not None and datetime.fromisoformat(key.expires_at) - datetime.now(UTC) < SOON


def _unknown(name: str) -> Problem:
    return Problem(ProblemCode.UNKNOWN_KEY, f"there is no key {name[:64]!r}; list the keys to see their names and ids")
