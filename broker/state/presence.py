"""Gateways and senders of webhooks say every few seconds that they are alive, so that it is known when one is gone.
Gateways and workers report their processes that are stuck, and supervisors the models whose rows have timed out: these
count as slow for a while, and rows with a second time-out are refused (SUBMIT).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from broker.link.scripts import Call

GATEWAYS = "mg:gateways"
"""The key of the gateways, by the time of their last report (ms)."""

SENDERS = "mg-events:alive"
"""The same for the processes that send webhooks."""

STUCK = "mg:stuck"
"""The key of the processes that make no progress, by the time of their last report (ms)."""

_EVERY = 3.0

_STUCK_FOR = 5.0
"""Seconds that a report of a stuck process holds."""


class Presence:
    """A source of the outbox of a process that says that `name` is alive. `key` is `GATEWAYS` or `SENDERS`."""

    def __init__(self, key: str, name: str) -> None:
        self._key, self._name = key, name
        self._due = 0.0

    def steps(self) -> Sequence[Call]:
        now = time.monotonic()
        if now < self._due:
            return ()
        self._due = now + _EVERY
        return [Call("report_alive", [self._key, self._name])]


class StuckProcesses:
    """A source of the outbox of a gateway process or a supervisor."""

    def __init__(self, find: Callable[[], Sequence[str]]) -> None:
        """`find` names the processes that make no progress."""
        self._find = find

    def steps(self) -> Sequence[Call]:
        stuck = self._find()
        return [Call("report_stuck", stuck)] if stuck else ()


def stuck_at(reports: Any, now: float) -> list[str]:
    """Return the processes that are stuck at `now`, in seconds. `reports` are the entries of `STUCK`. A worker
    may have made the key something else: an error is none."""
    if not isinstance(reports, list):
        return []
    return sorted(process.decode(errors="replace") for process, at in reports if now - at / 1000 <= _STUCK_FOR)


TIMEOUT_COUNTS = 600.0
"""Seconds for which a time-out is remembered."""

TIMEOUTS = "mg:timeouts"
"""The key of the models, each with the time until which its last time-out counts (ms)."""


def timed_out(members: Any, now: float) -> list[str]:
    """Return the models in the members of `TIMEOUTS` with their scores, at `now` in seconds. A worker may have made the
    key something else: an error is none."""
    if not isinstance(members, list):
        return []
    return sorted(model.decode(errors="replace") for model, until in members if until > now * 1000)
