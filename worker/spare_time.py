"""Says whether anybody else needs the processors of the machine.

The kernel's own priorities hold within a container alone: among containers the weight of each counts first, and a limit
of a container is used up by its least important process, too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

EVERY = 0.2
"""Seconds of which it looks at the last ones."""

_LEAST = 0.15
"""The part of all processor time that nobody else must have used."""


class SpareTime:
    """Compares two looks at the system's own counts. Where there are none, there is always time to spare."""

    def __init__(
        self,
        stat: Path = Path("/proc/stat"),
        cgroup: Path = Path("/sys/fs/cgroup/cpu.stat"),
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.process_time,
    ) -> None:
        """`used` returns the seconds that this process has used."""
        self._stat, self._cgroup = stat, cgroup
        self._clock, self._used = clock, used
        self._looked_at = clock()
        self._last = self._look()
        self._spare = True

    @property
    def there_is(self) -> bool:
        """Whether at least 15 % of the last moment's processor time was unused, or used by this process, and this
        container was not stopped by its limit."""
        if self._clock() - self._looked_at >= EVERY:
            self._looked_at = self._clock()
            (free, total, throttled), last = self._look(), self._last
            self._last = free, total, throttled
            self._spare = free - last[0] >= _LEAST * (total - last[1]) and throttled == last[2]
        return self._spare

    def _look(self) -> tuple[float, float, str]:
        """Return how many ticks of the clock the processors have been free for this process, and how many there were;
        and what says how often the container was stopped."""
        ticks = [int(count) for count in _read(self._stat).partition("\n")[0].split()[1:9]]
        own = self._used() * os.sysconf("SC_CLK_TCK")
        return sum(ticks[3:5]) + own, sum(ticks), _read(self._cgroup).partition("nr_throttled ")[2].partition("\n")[0]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
