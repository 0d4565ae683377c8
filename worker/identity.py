"""The name of a worker: what comes back under the same name gives back what it held before."""

from __future__ import annotations

import re
import secrets

from broker.supervisor import Leases

_MISSED_RENEWALS = 0.2
"""Whoever did not renew for this part of a lease is dead: renewals come after a tenth."""


class Identity:
    def __init__(self, leases: Leases, wanted: str, lease: float) -> None:
        """`lease` in seconds."""
        self._leases = leases
        self._wanted = re.sub(r"[^A-Za-z0-9_.-]", "_", wanted) or "worker"
        self._longest_left = lease * (1 - _MISSED_RENEWALS)
        self._left: dict[str, float] = {}
        self.name: str | None = None
        """None: it is not settled yet."""

    def claim(self) -> list[str]:
        """To be called again and again until there is a `name`. Returns its former incarnations, to be given back.

        A lease that grows meanwhile means that the name is in use, and this worker takes another. Raises
        `redis.exceptions.RedisError`.
        """
        left = self._leases.remaining(self._wanted)
        if any(seconds > self._left.get(inc, seconds) for inc, seconds in left.items()):
            self.name = f"{self._wanted}.{secrets.token_hex(2)}"
            return []
        if all(seconds <= self._longest_left for seconds in left.values()):
            self.name = self._wanted
            return list(left)
        self._left = left
        return []
