"""Each gateway says every few seconds that it is alive, so that the others know when one is gone."""

from __future__ import annotations

import time
from collections.abc import Sequence

from broker.scripts import Call

GATEWAYS = "mg:gateways"
"""The key of the gateways, by the time of their last report (ms)."""

_EVERY = 3.0


class Presence:
    """A source of the outbox of each process of a gateway."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._due = 0.0

    def steps(self) -> Sequence[Call]:
        now = time.monotonic()
        if now < self._due:
            return ()
        self._due = now + _EVERY
        return [Call("report_gateway", [self._gateway])]
