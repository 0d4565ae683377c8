"""What the scorers of a worker tell each other, their supervisor and their template of models: which they hold, which
are slow, and how much each is used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from broker.records.lease_groups import place_of
from scoring.pace import Pace
from worker.activity import ActivityTable
from worker.model_cache import ModelCache

_STUCK = 1.0
"""Seconds of one activity after which a scorer is no longer a home, so that others take its jobs."""

_NONE: Mapping[str, str] = {}


class ModelAffinity:
    """Tells the other scorers of a worker which models this one holds, and finds those that others hold.

    A model that not all scorers share has a home: the scorer that holds it takes its jobs first.
    """

    def __init__(self, activities: ActivityTable, slot: int, scorers: int, inc: str) -> None:
        """`slot` is this scorer's of `scorers`, `inc` its incarnation."""
        self._activities = activities
        self._slot = slot
        self._places = {other: f"{place_of(place_of(inc))}-{other}" for other in range(scorers) if other != slot}
        self._told = -1
        self._seen: object = None
        self._homes = _NONE

    def tell(self, cache: ModelCache) -> None:
        """Tell the others which models are only in `cache`."""
        if cache.revision != self._told:
            self._told = cache.revision
            self._activities.set_held(self._slot, dict.fromkeys(name for name, _ in cache.own), cache.size)

    def elsewhere(self) -> set[str]:
        """Return the models that another scorer holds and does not share."""
        return set().union(*map(self._activities.held, self._places))

    def find(self, cache: ModelCache) -> Mapping[str, str]:
        """Return the models that have their home in another scorer, each with its name (`place_of`)."""
        read = self._activities
        seen = [cache.revision]
        for slot in self._places:
            size = read.held_size(slot)
            seen += (read.held_revision(slot), size > 0 and read.busy_for(slot) < _STUCK)
        if seen != self._seen:
            self._seen = seen
            self._homes = self._find(cache) if any(seen[2::2]) else _NONE
        return self._homes

    def _find(self, cache: ModelCache) -> Mapping[str, str]:
        here = {name for name, _ in cache.own}
        return {
            model: slot_name
            for slot, slot_name in self._places.items()
            if self._activities.busy_for(slot) < _STUCK
            # One scorer never takes slow models, although it may hold some.
            for model in self._activities.held(slot) - here - self._activities.skipped(slot)
            if not cache.shares(model)
        }


class SlowModels:
    """Tells the supervisor what this scorer has found slow, and returns what it must not take.

    One scorer takes no slow models, so they cannot occupy every scorer; the supervisor knows which (`Leases.spare`).
    """

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


_HALF_LIFE = 300.0
"""Seconds after which a job counts half."""

_PUBLISHED_EVERY = 2.0
_FORGOTTEN = 0.01


class ModelUse:
    """Counts the jobs of each model that one scorer scores, while not all models fit into memory: the template chooses
    by them which to share."""

    def __init__(self, activities: ActivityTable, slot: int) -> None:
        """It continues the counts of its predecessor in `slot`."""
        self._activities = activities
        self._slot = slot
        self._template = activities.template
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
