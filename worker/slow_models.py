"""One scorer takes no slow models, so they cannot occupy every scorer; the supervisor knows which (`Leases.spare`)."""

from __future__ import annotations

from collections.abc import Callable, Collection

from scoring.pace import Pace
from worker.activity import ActivityTable


class SlowModels:
    """Tells the supervisor what this scorer has found slow, and returns what it must not take."""

    def __init__(self, activities: ActivityTable, slot: int, pace: Pace, served: Callable[[], Collection[str]]) -> None:
        """`slot` is this scorer's; `served` returns the models that the worker serves."""
        self._activities = activities
        self._slot = slot
        self._pace = pace
        self._served = served
        self._written = pace.slow = activities.slow_models(slot)
        self._listed: frozenset[str] = frozenset()
        self._skipped: frozenset[str] = frozenset()

    def skipped(self) -> frozenset[str]:
        """Return the models that this scorer must not take; none if all served models are slow."""
        if self._pace.slow != self._written:
            self._written = self._pace.slow
            self._activities.set_slow_models(self._slot, self._written)
        listed = self._activities.skipped(self._slot)
        if listed != self._listed:
            self._listed = listed
            self._skipped = listed if set(self._served()) - listed else frozenset()
        return self._skipped
