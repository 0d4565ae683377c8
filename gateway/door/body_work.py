"""What bodies cost a process, by caller: bytes of large ones in work, and a debt for those that were refused.

A caller is a key or, for requests without one, an address.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from contract.settings import MB
from gateway.problems import Problem, ProblemCode

MOST_BODIES = 8
"""Largest bodies that a caller may have in work at once."""
KB_PER_SECOND = 1000
"""Rate at which a caller pays for refused bodies, if its key has no `rows_per_second`."""
CREDIT = 30.0
"""Seconds that a caller may owe before its bodies are refused unread."""
MOST_CALLERS = 10_000
"""Callers that are remembered. Beyond, the oldest is forgotten."""


@dataclass(slots=True)
class _Caller:
    """`held`: bytes of its large bodies in work. `paid`: when it will have paid for its refused ones."""

    held: int = 0
    paid: float = 0.0
    turn: threading.Lock = field(default_factory=threading.Lock)


class BodyWork:
    """Limits what the bodies of each caller take. Threads and greenlets may share it."""

    def __init__(self, largest: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`largest`: bytes of the largest body. `clock` returns seconds."""
        self._most = MOST_BODIES * largest
        self._clock = clock
        self._lock = threading.Lock()
        self._callers: dict[str, _Caller] = {}

    def check(self, caller: str) -> None:
        """Raise `Problem` (429) if the caller owes too much."""
        known = self._callers.get(caller)
        if known and (wait := known.paid - self._clock() - CREDIT) > 0:
            detail = f"too many of your bodies were refused; correct them, and try again in {wait:.0f} s"
            raise Problem(ProblemCode.RATE_LIMIT, detail, retry_after=int(wait) + 1, limit="refused_bodies")

    def hold(self, caller: str, size: int) -> threading.Lock:
        """Count a body as in work, and return the lock for its turn. Raises `Problem` (429) for too many bytes."""
        with self._lock:
            known = self._of(caller)
            if known.held + size > self._most:
                detail = f"your requests in work have more than {self._most // MB} MB; wait for some of their answers"
                raise Problem(ProblemCode.RATE_LIMIT, detail, retry_after=1, limit="bodies_in_work")
            known.held += size
            return known.turn

    def release(self, caller: str, size: int) -> None:
        """Count a body as done."""
        with self._lock:
            known = self._of(caller)
            known.held = max(0, known.held - size)
            if not known.held and known.paid <= self._clock():
                del self._callers[caller]

    def charge(self, caller: str, size: int, rows_per_second: int | None) -> None:
        """Let the caller owe the time of a refused body: that of a row for each KB."""
        with self._lock:
            known = self._of(caller)
            known.paid = max(known.paid, self._clock()) + size / 1024 / (rows_per_second or KB_PER_SECOND)

    def _of(self, caller: str) -> _Caller:
        if caller not in self._callers and len(self._callers) >= MOST_CALLERS:
            del self._callers[next(iter(self._callers))]
        return self._callers.setdefault(caller, _Caller())
