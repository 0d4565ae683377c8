"""The live parts of pages: callers with the same rights share one for a moment, since many people watch one page.

The more pages are open, the more rarely each of them asks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from contract.work.api_keys import Key, Limits
from runtime.ttl_cache import TtlCache

LIVE_EVERY = "Live-Every"
"""The header of an answer: the seconds after which a live part may ask again."""
SHORTEST, LONGEST = 5.0, 60.0
MOST_PER_SECOND = 1.5
"""The most requests of live parts that a process answers per second on average, however many pages are open. One takes
some milliseconds."""
_WATCHED = 2 * LONGEST
_MOST_PAGES = int(LONGEST * MOST_PER_SECOND)
"""Pages that are counted: with as many, each asks as rarely as it can."""


KEEP = 3.0
"""Seconds that a part is kept: fewer than pass between two requests of a page (`SHORTEST`), so a page never shows
an older state than the one that it has loaded."""
_MOST_PARTS = 64


class RefreshPace:
    """Counts the open pages: those that have asked within the last two minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, str], float] = {}
        self._pruned = clock()

    def note(self, session: str, path: str) -> float:
        """Note that a live part of a page asks, and return the seconds after which it may ask again."""
        now = self._clock()
        if len(self._seen) < _MOST_PAGES or (session, path) in self._seen:
            self._seen[session, path] = now
        if now - self._pruned > SHORTEST:
            self._pruned = now
            self._seen = {page: seen for page, seen in self._seen.items() if now - seen < _WATCHED}
        return min(max(SHORTEST, len(self._seen) / MOST_PER_SECOND), LONGEST)


class LiveParts:
    """Keeps the latest parts of a process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._cache: TtlCache[tuple[str, Key], str] = TtlCache(_MOST_PARTS, clock=clock)

    def get(self, address: str, caller: Key, make: Callable[[], str]) -> str:
        """Return the part at this address (path and query) as `make` returns it for a caller with these rights, at most
        `KEEP` seconds old."""
        return self._cache.fetch((address, _rights(caller)), make, KEEP)


def _rights(caller: Key) -> Key:
    """Return the key without what no page depends on, so that keys which may see the same are equal."""
    return replace(caller, id="", name="", limits=Limits(), created_at="", expires_at=None)
