"""The API keys in Redis, a hash of fingerprint to key as JSON; and the sessions of browsers, each of which stands for
an API key until it ends. The secrets are stored nowhere.

A rotated key can have two entries for a while: one of its new secret, and one of the previous secret, which is marked
as replaced and expires earlier.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from redis import Redis

from broker.link.idempotency import InFlight, made_in
from broker.link.scripts import Call, Connected, Durability, Durable
from broker.records.job_records import dumps
from contract.work.api_keys import EVERY_USER, Key, Scope, entry_of
from contract.work.api_keys import fingerprint as hashed
from contract.work.jobs import timestamp

KEYS = "mg-gateway:keys"
"""The hash of all keys. Only gateways may use Redis keys that begin with `mg-gateway:` (`broker/acl`); otherwise a
recipe in the trainer could make itself an API key."""
REVISION = f"{KEYS}:revision"
USED = f"{KEYS}:used"

MOST = 1000
"""Most keys."""

NOTE_EVERY = 60.0
"""Seconds after which a process reports again that a key was used."""


class TooManyKeys(Exception):
    """The limit is reached; the message says what to do."""


class NameTaken(Exception):
    """Another key has this name; the message says what to do."""


class LastAdmin(Exception):
    """No other key would have the scope `admin`."""


@dataclass(frozen=True)
class Secret:
    """One entry: the fingerprint of a secret, or `entry_of` a person, its key, and when it was last used, in RFC 3339.
    `replaced`: this is the secret before the last rotation, which works until `key.expires_at`."""

    fingerprint: str
    key: Key
    replaced: bool
    last_used_at: str | None

    @property
    def expired(self) -> bool:
        return has_expired(self.key)


@dataclass(frozen=True)
class IssuedKey:
    """A key as admins see it. `previous`: the secret before the last rotation, while it still works."""

    current: Secret
    previous: Secret | None = None

    @property
    def key(self) -> Key:
        return self.current.key

    def to_json(self) -> dict[str, Any]:
        previous = self.previous and {
            "expires_at": self.previous.key.expires_at,
            "last_used_at": self.previous.last_used_at,
        }
        return {**self.key.to_json(), "last_used_at": self.current.last_used_at, "previous_secret": previous}


class Keys(Durable):
    """The keys in Redis. Several admins may change them at the same time. Raises `redis.exceptions.RedisError`.

    A change with the `idempotency` of an earlier request changes nothing, and raises
    `broker.link.idempotency.InFlight`, or `IdempotencyConflict` if that was another request.
    """

    def __init__(self, connection: Redis, durability: Durability | None = None, record_ttl: int = 3600) -> None:
        """`durability` decides when a change counts as written. `record_ttl`: the seconds for which a request is
        remembered, so that it can be repeated."""
        super().__init__(connection, durability)
        self._record_ttl = record_ttl

    def find(self, fingerprint: str) -> Key | None:
        """Return the key with this fingerprint (`contract.work.api_keys.fingerprint`), even an expired one. One round
        trip."""
        entry = _readable(self._redis.hget(KEYS, fingerprint))
        return None if entry is None else entry[0]

    def of_user(self, user: str) -> Key | None:
        """Return the entry of this person, else that for everybody, even an expired one. One round trip."""
        own, everybody = self._redis.hmget(KEYS, entry_of(user), entry_of(EVERY_USER))
        entry = _readable(own or everybody)
        return None if entry is None else entry[0]

    def used_since(self, seconds: float) -> frozenset[str]:
        """Return the fingerprints of the keys that were used since then (s since 1970). One round trip."""
        return frozenset(name.decode() for name, at in self._redis.hgetall(USED).items() if int(at) >= seconds)

    def exist(self) -> bool:
        """Return whether there is any key. One round trip."""
        return bool(self._redis.hlen(KEYS))

    def all(self) -> list[IssuedKey]:
        """Return the keys by name. One round trip."""
        return _issued(self._read()[1])

    def add(self, fingerprint: str, key: Key, idempotency: str = "") -> IssuedKey:
        """Add a key. Raises `NameTaken` and `TooManyKeys`."""

        def change(secrets: Sequence[Secret]) -> Mapping[str, str]:
            keys = {secret.key.id: secret.key for secret in secrets}
            for other in keys.values():
                if other.name == key.name and other.id != key.id:
                    raise NameTaken(
                        f"there is a key {key.name!r} already ({other.id}); rotate or revoke it, or take another name"
                    )
                if key.user and other.user == key.user and other.id != key.id:
                    raise NameTaken(f"{key.user} has the entry {other.name!r} already ({other.id}); revoke it first")
            if len(keys) >= MOST and key.id not in keys:
                raise TooManyKeys(f"there are {MOST} keys already; revoke one first")
            return {fingerprint: _entry(key)}

        self._change(change, key.id, idempotency)
        return IssuedKey(Secret(fingerprint, key, False, None))

    def rotate(
        self, key_id: str, fingerprint: str, overlap: float = 0, expires_at: str | None = None, idempotency: str = ""
    ) -> bool:
        """Replace the secret of a key by the one with this fingerprint, and its expiry unless `expires_at` is None.
        Returns False if the key does not exist. The previous secret works for `overlap` more seconds, any older one
        stops at once."""
        until = timestamp(datetime.fromtimestamp(time.time() + overlap, UTC))
        exists = False

        def change(secrets: Sequence[Secret]) -> Mapping[str, str]:
            nonlocal exists
            key_secrets = [secret for secret in secrets if secret.key.id == key_id]
            exists = bool(key_secrets)
            entries = {}
            for secret in key_secrets:
                if secret.fingerprint == fingerprint:  # already rotated: the reply was lost
                    return {}
                old = replace(secret.key, expires_at=_earlier(secret.key.expires_at, until))
                entries[secret.fingerprint] = _entry(old, replaced=True) if overlap and not secret.replaced else ""
                if not secret.replaced:
                    entries[fingerprint] = _entry(replace(secret.key, expires_at=expires_at or secret.key.expires_at))
            return entries

        self._change(change, key_id, idempotency)
        return exists

    def change(self, key_id: str, changed: Callable[[Key], Key], *, keep_admin: bool) -> bool:
        """Replace a key by what `changed` returns for it, under all its secrets. Returns whether there was one. Raises
        what `changed` raises, and `LastAdmin` with `keep_admin`. What others have changed meanwhile stays, because
        `changed` gets it."""
        existed = False

        def change(secrets: Sequence[Secret]) -> Mapping[str, str]:
            nonlocal existed
            entries, admins = {}, {issued.key.id for issued in _issued(secrets) if _is_admin(issued.key)}
            for secret in secrets:
                if secret.key.id != key_id:
                    continue
                existed, key = True, changed(secret.key)
                if keep_admin and admins == {key_id} and not _is_admin(key):
                    raise LastAdmin
                if secret.replaced:  # it works until the end of the overlap
                    key = replace(key, expires_at=_earlier(key.expires_at, secret.key.expires_at))
                entries[secret.fingerprint] = _entry(key, replaced=secret.replaced)
            return entries

        self._change(change, key_id)
        return existed

    def revoke(self, key_id: str) -> bool:
        """Remove a key with all its secrets. Returns whether there was one."""
        existed = False

        def change(secrets: Sequence[Secret]) -> Mapping[str, str]:
            nonlocal existed
            fingerprints = [secret.fingerprint for secret in secrets if secret.key.id == key_id]
            existed = existed or bool(fingerprints)
            return dict.fromkeys(fingerprints, "")

        self._change(change, key_id)
        return existed

    def get(self, key_id: str) -> IssuedKey | None:
        """Return the key with this id. One round trip."""
        return next((issued for issued in self.all() if issued.key.id == key_id), None)

    def named(self, name: str) -> IssuedKey | None:
        """Return the key with this name. One round trip."""
        return next((issued for issued in self.all() if issued.key.name == name), None)

    def _change(
        self, change: Callable[[Sequence[Secret]], Mapping[str, str]], key_id: str, idempotency: str = ""
    ) -> None:
        """Write the entries that `change` returns, by fingerprint; '' removes one. Also removes replaced secrets that
        have expired. If another admin was faster, `change` is called again."""
        header: list[str | int] = [idempotency, self._record_ttl, key_id]
        while True:
            revision, secrets = self._read()
            over = {secret.fingerprint: "" for secret in secrets if secret.replaced and secret.expired}
            entries = {**over, **change(secrets)}
            if not entries:
                return
            changed = [part for entry in entries.items() for part in entry]
            answer = self._write("change_keys", [revision, *header, *changed])
            if made_in(answer):
                raise InFlight(key_id)
            if answer:
                return

    def _read(self) -> tuple[str, list[Secret]]:
        """Return the revision and all entries. Leaves out unreadable entries, which open nothing."""
        with self._redis.pipeline(transaction=False) as pipeline:
            # The revision comes first: if the entries are newer, Redis refuses the change, and it is tried again.
            revision, entries, used = pipeline.get(REVISION).hgetall(KEYS).hgetall(USED).execute()
        secrets = []
        for name, text in entries.items():
            if entry := _readable(text):
                secrets.append(Secret(name.decode(), *entry, _time(used.get(name))))
        return (revision or b"0").decode(), secrets


class KeyUses:
    """Collects the uses of keys for the outbox. A process reports each key at most once a minute."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock` returns the time in seconds."""
        self._clock = clock
        self._reported: dict[str, float] = {}
        self._noted: dict[str, float] = {}

    def note(self, fingerprint: str) -> None:
        """Note that a valid key with this fingerprint was used."""
        now = self._clock()
        if now - self._reported.get(fingerprint, 0) >= NOTE_EVERY:
            if len(self._reported) > 2 * MOST:  # most are of keys that are gone
                self._reported.clear()
            self._reported[fingerprint] = self._noted[fingerprint] = now

    def __call__(self) -> Sequence[Call]:
        """Return the step that reports what was noted since the last call."""
        noted, self._noted = self._noted, {}
        if not noted:
            return []
        return [Call("note_key_uses", [part for name, at in list(noted.items()) for part in (name, int(at))])]


def has_expired(key: Key) -> bool:
    """Return whether the key has expired."""
    return key.expires_at is not None and datetime.fromisoformat(key.expires_at) <= datetime.now(UTC)


def _is_admin(key: Key) -> bool:
    return Scope.ADMIN in key.scopes and not has_expired(key)


def _earlier(*times: str | None) -> str | None:
    """Return the first of the times in RFC 3339; None if all are never."""
    return min(filter(None, times), default=None)


def _entry(key: Key, *, replaced: bool = False) -> str:
    return dumps({**key.to_json(), "replaced": replaced})


def _readable(text: bytes | None) -> tuple[Key, bool] | None:
    """Return the key in an entry, and whether its secret was replaced. None if the entry cannot be read."""
    try:
        if text is None:
            return None
        data = json.loads(text)
        return Key.from_json(data), bool(data.get("replaced"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _issued(secrets: Sequence[Secret]) -> list[IssuedKey]:
    previous = {secret.key.id: secret for secret in secrets if secret.replaced and not secret.expired}
    current = sorted((secret for secret in secrets if not secret.replaced), key=lambda secret: secret.key.name)
    return [IssuedKey(secret, previous.get(secret.key.id)) for secret in current]


def _time(seconds: bytes | None) -> str | None:
    return None if seconds is None else timestamp(datetime.fromtimestamp(int(seconds), UTC))


SESSION = "mg-gateway:session:"
"""The prefix of the key of a session. The hash of its id follows, so nobody can use a session by reading Redis."""

MOST_SESSIONS = 100
"""The most sessions of an API key. A further one ends the oldest."""


class Sessions(Connected):
    """Opens, finds and ends sessions. Raises `redis.exceptions.RedisError`."""

    def open(self, session: str, fingerprint: str, seconds: int) -> None:
        """Let the session with this id stand for the key with this fingerprint. One round trip."""
        self._scripts.run("open_session", hashed(session), fingerprint, seconds, MOST_SESSIONS)

    def find(self, session: str) -> str | None:
        """Return the fingerprint of the session's key; None if there is no such session. One round trip."""
        fingerprint: bytes | None = self._redis.get(SESSION + hashed(session))
        return None if fingerprint is None else fingerprint.decode()

    def end(self, session: str) -> None:
        """End the session, if there is one. One round trip."""
        self._redis.delete(SESSION + hashed(session))
