"""How much each model is used, for the template's choice of those to share."""

from __future__ import annotations

import time

from worker.activity import ActivityTable

_HALF_LIFE = 300.0
"""Seconds after which a job counts half."""

_PUBLISHED_EVERY = 2.0
_FORGOTTEN = 0.01


class ModelUse:
    """Counts the jobs of each model that one scorer scores, while not all models fit into memory."""

    def __init__(self, activities: ActivityTable, slot: int) -> None:
        """It continues the counts of its predecessor in `slot`."""
        self._activities = activities
        self._slot = slot
        self._template = activities.slots - 1
        self._jobs: dict[str, float] = activities.use(slot)
        self._published = time.monotonic()

    def record(self, model: str, jobs: int) -> None:
        """Record that `jobs` of the model were scored."""
        if not self._activities.crowded(self._template):
            return
        self._jobs[model] = self._jobs.get(model, 0.0) + jobs
        elapsed = time.monotonic() - self._published
        if elapsed > _PUBLISHED_EVERY:
            self._published += elapsed
            rest = 0.5 ** (elapsed / _HALF_LIFE)
            self._jobs = {model: rest * jobs for model, jobs in self._jobs.items() if rest * jobs > _FORGOTTEN}
            self._activities.set_use(self._slot, self._jobs)
