"""How often the live parts of pages ask: the more pages are open, the more rarely each of them asks."""

from __future__ import annotations

import time
from collections.abc import Callable

HEADER = "Live-Every"
"""The header of an answer: the seconds after which a live part may ask again."""
SHORTEST, LONGEST = 5.0, 60.0
MOST_PER_SECOND = 1.5
"""The most requests of live parts that a process answers per second on average, however many pages are open. One takes
some milliseconds."""
_WATCHED = 2 * LONGEST
_MOST = int(LONGEST * MOST_PER_SECOND)
"""Pages that are counted: with as many, each asks as rarely as it can."""


class RefreshPace:
    """Counts the open pages: those that have asked within the last two minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, str], float] = {}
        self._pruned = clock()

    def note(self, session: str, path: str) -> float:
        """Note that a live part of a page asks, and return the seconds after which it may ask again."""
        now = self._clock()
        if len(self._seen) < _MOST or (session, path) in self._seen:
            self._seen[session, path] = now
        if now - self._pruned > SHORTEST:
            self._pruned = now
            self._seen = {page: seen for page, seen in self._seen.items() if now - seen < _WATCHED}
        return min(max(SHORTEST, len(self._seen) / MOST_PER_SECOND), LONGEST)
