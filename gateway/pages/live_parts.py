"""The live parts of pages, which callers with the same rights share for a moment, since many people watch one page."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from contract.work.api_keys import Key, Limits
from runtime.ttl_cache import TtlCache

KEEP = 3.0
"""Seconds that a part is kept: fewer than pass between two requests of a page (`pace.SHORTEST`), so a page never shows
an older state than the one that it has loaded."""
_MOST = 64


class LiveParts:
    """Keeps the latest parts of a process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._cache: TtlCache[tuple[str, Key], str] = TtlCache(_MOST, clock=clock)

    def get(self, address: str, caller: Key, make: Callable[[], str]) -> str:
        """Return the part at this address (path and query) as `make` returns it for a caller with these rights, at most
        `KEEP` seconds old."""
        return self._cache.fetch((address, _rights(caller)), make, KEEP)


def _rights(caller: Key) -> Key:
    """Return the key without what no page depends on, so that keys which may see the same are equal."""
    return replace(caller, id="", name="", limits=Limits(), created_at="", expires_at=None)
