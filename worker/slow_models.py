"""Models of which one row takes long are left to the others by one scorer of a worker, so that they never have all."""

from __future__ import annotations

from collections.abc import Callable, Collection

from worker.activity import ActivityTable
from worker.pace import Pace

_NONE: frozenset[str] = frozenset()


class SlowModels:
    """What one scorer knows of slow models, and what all scorers of its worker know together.

    The scorer in the first slot leaves slow models alone, unless all that are served are slow. Always the same one:
    then nobody has to agree with anybody.
    """

    def __init__(
        self, activities: ActivityTable, slot: int, scorers: int, pace: Pace, served: Callable[[], Collection[str]]
    ) -> None:
        self._activities = activities
        self._slot = slot
        self._scorers = scorers
        self._pace = pace
        self._served = served
        self._written = pace.slow = activities.slow_models(slot)
        self._seen: set[str] = set()
        self._skipped: frozenset[str] = _NONE

    def skipped(self) -> frozenset[str]:
        """The models that this scorer does not take."""
        if self._pace.slow != self._written:
            self._written = self._pace.slow
            self._activities.set_slow_models(self._slot, self._written)
        if self._slot or self._scorers == 1:
            return _NONE
        slow = set().union(*map(self._activities.slow_models, range(self._scorers)))
        if slow != self._seen:
            self._seen = slow
            self._skipped = frozenset(slow) if set(self._served()) - slow else _NONE
        return self._skipped
