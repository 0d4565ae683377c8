"""Limits invalid keys by address: after some in a minute, further keys from there are refused without a check."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

MOST_FAILURES = 20
"""Invalid keys of one address that a process checks in a minute."""
WINDOW = 60.0
"""Seconds for which an address is counted, from its first invalid key on."""
MOST_ADDRESSES = 10_000
"""Most addresses that are counted. Beyond, the oldest is forgotten."""


@dataclass(slots=True)
class _Count:
    until: float
    failures: int = 0


class FailedAttempts:
    """Counts invalid keys by address, in this process. Threads and greenlets may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[str, _Count] = {}

    def wait(self, address: str) -> float:
        """Return the seconds for which unknown keys from this address are refused; 0 if they are checked."""
        count = self._counts.get(network_of(address))
        return 0.0 if count is None or count.failures < MOST_FAILURES else max(0.0, count.until - self._clock())

    def add(self, address: str) -> None:
        """Count an invalid key."""
        network, now = network_of(address), self._clock()
        with self._lock:
            count = self._counts.pop(network, None)
            if count is None or count.until <= now:
                count = _Count(now + WINDOW)
                if len(self._counts) >= MOST_ADDRESSES:
                    del self._counts[next(iter(self._counts))]
            count.failures += 1
            self._counts[network] = count

    def forget(self) -> None:
        """Forget the addresses whose minute is over. To be called now and then."""
        now = self._clock()
        with self._lock:
            for network in [network for network, count in self._counts.items() if count.until <= now]:
                del self._counts[network]


def network_of(address: str) -> str:
    """Return the part of an address that its client cannot change: of IPv6 the first 64 bits."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
