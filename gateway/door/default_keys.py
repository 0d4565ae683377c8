"""Default keys: ROUTES_FILE names them for old clients, which send none."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from redis.exceptions import RedisError

from broker.keys import Keys
from contract.keys import Key

log = logging.getLogger(__name__)

CACHED = 2.0
"""Seconds for which a process caches a default key: one that expires may open its routes for so long after."""


@dataclass
class _CachedKey:
    """What this process has read last; `until`: when it has to be read again, in monotonic seconds."""

    key: Key | None
    until: float


class DefaultKeys:
    """Reads keys by their names."""

    def __init__(self, keys: Keys, on_used: Callable[[str], object]) -> None:
        """`on_used` gets the fingerprint of a key every few seconds of its use."""
        self._keys = keys
        self._on_used = on_used
        self._known: dict[str, _CachedKey] = {}

    def key(self, name: str) -> Key | None:
        """Return the key with this name; None if there is none, or if it has expired. Raises `RedisError` if Redis has
        to be asked and does not answer."""
        known = self._known.get(name)
        if known is None or known.until <= time.monotonic():
            known = self._known[name] = self._read(name, known)
        return known.key

    def _read(self, name: str, known: _CachedKey | None) -> _CachedKey:
        now = time.monotonic()
        if known is not None:
            known.until = now + CACHED  # other requests need not ask as well
        try:
            issued = self._keys.named(name)
        except RedisError:
            if known is not None:
                known.until = now
            raise
        if issued is None or issued.current.expired:
            if known is None or known.key is not None:
                state = "does not exist" if issued is None else "has expired"
                log.warning("ROUTES_FILE lends the key %r, which %s: callers without a key get 401", name, state)
            return _CachedKey(None, now + CACHED)
        self._on_used(issued.current.fingerprint)
        return _CachedKey(issued.key, now + CACHED)
