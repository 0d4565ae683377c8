"""One scorer never takes slow models, so they cannot occupy every scorer."""

from __future__ import annotations

from collections.abc import Callable, Collection

from worker.activity import ActivityTable
from worker.pace import Pace

_NONE: frozenset[str] = frozenset()


class SlowModels:
    """Shares what one scorer has found slow with all scorers of its worker.

    The scorer in the first slot skips slow models, unless all served models are slow. It is always the first slot, so
    scorers need not agree on one.
    """

    def __init__(
        self, activities: ActivityTable, slot: int, scorers: int, pace: Pace, served: Callable[[], Collection[str]]
    ) -> None:
        """`slot` is this scorer's of `scorers`; `served` returns the models that the worker serves."""
        self._activities = activities
        self._slot = slot
        self._scorers = scorers
        self._pace = pace
        self._served = served
        self._written = pace.slow = activities.slow_models(slot)
        self._seen: set[str] = set()
        self._skipped: frozenset[str] = _NONE

    def skipped(self) -> frozenset[str]:
        """Return the models that this scorer must not take."""
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
