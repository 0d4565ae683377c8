"""A model that not all scorers share has a home: the scorer that holds it takes its jobs first."""

from __future__ import annotations

from collections.abc import Mapping

from broker.records.lease_groups import place_of
from worker.activity import ActivityTable
from worker.model_cache import ModelCache

_STUCK = 1.0
"""Seconds of one activity after which a scorer is no longer a home, so that others take its jobs."""

_NONE: Mapping[str, str] = {}


class ModelAffinity:
    """Tells the other scorers of a worker which models this one holds, and finds those that others hold."""

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
