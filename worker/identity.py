"""The name of a worker: a worker that restarts under its name gives back the jobs that it held before."""

from __future__ import annotations

import re
import secrets

from broker.sides.supervisor import Leases

_MISSED_RENEWALS = 0.2
"""Part of a lease after which a worker that has not renewed is dead. Workers renew after a tenth."""


class Identity:
    """Claims the name of a worker, or a variation of it while another worker uses it."""

    def __init__(self, leases: Leases, wanted: str, lease: float) -> None:
        """`wanted` is the preferred name, `lease` in seconds."""
        self._leases = leases
        self._wanted = re.sub(r"[^A-Za-z0-9_.-]", "_", wanted) or "worker"
        self._longest_left = lease * (1 - _MISSED_RENEWALS)
        self._left: dict[str, float] = {}
        self.name: str | None = None
        """The claimed name; None until `claim` has succeeded."""

    def claim(self) -> list[str]:
        """Try to claim the name. Call it again until there is a `name`. Returns its former incarnations, whose jobs
        have to be given back.

        A lease that is renewed between two calls means that another worker uses the name, so this one takes a
        variation. Raises `redis.exceptions.RedisError`.
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
