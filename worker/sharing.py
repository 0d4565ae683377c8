"""Chooses the models that all scorers of a worker share, when not all fit into its memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

SHARE = 0.5
"""The part of the memory that shared models may take if not all fit; the scorers divide the rest between them."""

_LEAST_GAIN = 0.1
"""The part of all jobs that a new choice must gain."""

_LEAST_USE = 100.0
"""Fewest jobs, after decay, for a new choice."""

_PAUSE, _LONGEST_PAUSE = 20.0, 600.0
"""Seconds between two changes, at first and in the long run: a change replaces all scorers, and each has to load its
own models again."""

_REVIEW_INTERVAL = 10.0
"""Seconds between two comparisons with the use, once the choice may change."""

_SHARED_BONUS = 1.5
"""The factor by which the use of a model counts more if it is shared already."""


class Sharing:
    """The choice: all models if they fit, otherwise those that are used most. It changes rarely."""

    def __init__(self, budget: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`budget` in bytes; `clock` returns seconds."""
        self._budget = budget
        self._clock = clock
        self._chosen: frozenset[str] | None = None
        self._pause = _PAUSE
        self._next = 0.0

    @property
    def crowded(self) -> bool:
        """Whether not all models fit."""
        return self._chosen is not None

    @property
    def chosen(self) -> Collection[str]:
        """The models to share while not all fit."""
        return self._chosen or ()

    def choose(
        self, sizes: Mapping[str, int], shared: Collection[str], use: Callable[[], Mapping[str, float]]
    ) -> Collection[str]:
        """Return the models to share, of those in `sizes`, which has the bytes of each. `shared` are those that are
        shared now; `use` returns the jobs of each lately."""
        if sum(sizes.values()) <= self._budget:
            self._chosen = None
            return sizes
        now = self._clock()
        if self._chosen is None:
            # Their use is not known yet. Loading more models now would only delay the first requests.
            self._chosen = frozenset(shared)
            self._chosen = self._most_used(sizes, {})
            self._next = now + self._pause
        elif now >= self._next:
            self._reconsider(sizes, use())
        return [model for model in sizes if model in self._chosen]

    def _reconsider(self, sizes: Mapping[str, int], use: Mapping[str, float]) -> None:
        assert self._chosen is not None  # noqa: S101
        best = self._most_used(sizes, use)
        total = sum(use.values())
        gain = sum(use.get(model, 0.0) for model in best) - sum(use.get(model, 0.0) for model in self._chosen)
        self._next = self._clock() + _REVIEW_INTERVAL
        if total >= _LEAST_USE and gain > _LEAST_GAIN * total:
            self._chosen = best
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            self._next = self._clock() + self._pause

    def _most_used(self, sizes: Mapping[str, int], use: Mapping[str, float]) -> frozenset[str]:
        before = self._chosen or ()

        def order(model: str) -> tuple[float, str]:
            return -use.get(model, 0.0) * (_SHARED_BONUS if model in before else 1.0), model

        chosen, room = [], SHARE * self._budget
        for model in sorted((model for model in sizes if model in use or model in before), key=order):
            if sizes[model] <= room:
                chosen.append(model)
                room -= sizes[model]
        return frozenset(chosen)
