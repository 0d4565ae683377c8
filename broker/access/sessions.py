"""The sessions of browsers in Redis: each stands for an API key, by its fingerprint, until it ends."""

from __future__ import annotations

import hashlib
from typing import Any

from redis import Redis

from broker.link.scripts import Scripts

SESSION = "mg-gateway:session:"
"""The prefix of the key of a session. The hash of its id follows, so nobody can use a session by reading Redis."""
SESSIONS = "mg-gateway:sessions:"
"""The prefix of the key of the list with the sessions of an API key."""

MOST = 100
"""The most sessions of an API key. A further one ends the oldest."""


class Sessions:
    """Opens, finds and ends sessions. Raises `redis.exceptions.RedisError`."""

    def __init__(self, connection: Redis) -> None:
        self._redis: Any = connection
        self._scripts = Scripts(connection)

    def open(self, session: str, fingerprint: str, seconds: int) -> None:
        """Let the session with this id stand for the key with this fingerprint. One round trip."""
        self._scripts.run("open_session", _hashed(session), fingerprint, seconds, MOST)

    def find(self, session: str) -> str | None:
        """Return the fingerprint of the session's key; None if there is no such session. One round trip."""
        fingerprint: bytes | None = self._redis.get(SESSION + _hashed(session))
        return None if fingerprint is None else fingerprint.decode()

    def end(self, session: str) -> None:
        """End the session, if there is one. One round trip."""
        self._redis.delete(SESSION + _hashed(session))


def _hashed(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()
