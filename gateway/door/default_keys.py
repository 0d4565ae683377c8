"""Default keys: ROUTES_FILE names them for old clients, which send none."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from broker.access.key_store import Keys
from contract.work.api_keys import Key
from runtime.ttl_cache import TtlCache

log = logging.getLogger(__name__)

CACHED = 2.0
"""Seconds for which a process caches a default key: one that expires may open its routes for so long after."""
_MOST_CACHED = 1_000


class DefaultKeys:
    """Reads keys by their names."""

    def __init__(self, keys: Keys, on_used: Callable[[str], object]) -> None:
        """`on_used` gets the fingerprint of a key every few seconds of its use."""
        self._keys = keys
        self._on_used = on_used
        self._known: TtlCache[str, Key | None] = TtlCache(_MOST_CACHED, keep_stale=math.inf)
        self._missing: set[str] = set()

    def key(self, name: str) -> Key | None:
        """Return the key with this name; None if there is none, or if it has expired. Raises `RedisError` if Redis has
        to be asked and does not answer."""
        return self._known.refresh(name, lambda: self._read(name), CACHED)

    def _read(self, name: str) -> Key | None:
        issued = self._keys.named(name)
        if issued is None or issued.current.expired:
            if name not in self._missing:
                state = "does not exist" if issued is None else "has expired"
                log.warning("ROUTES_FILE lends the key %r, which %s: callers without a key get 401", name, state)
            self._missing.add(name)
            return None
        self._missing.discard(name)
        self._on_used(issued.current.fingerprint)
        return issued.key
