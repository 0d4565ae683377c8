"""Makes one sequence of differences of the losses of two versions: the candidate's less the current one's.

An outcome may be of many rows, all with the same id. These are one observation, their mean. Outcomes of one id that
come one after the other are several, though they are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

_SECOND = 1_000_000
_MIX = np.uint64(0x9E3779B97F4A7C15)
"""2**64 divided by the golden ratio: multiples of it spread neighbours (Knuth)."""


@dataclass(frozen=True)
class Losses:
    """The losses of a version, one a row, NaN where there is none to compare; and when their outcomes were `received`,
    in microseconds since 1970, which tells them apart."""

    values: Any
    received: Any

    def of_outcomes(self) -> Losses:
        """Return the mean loss of each outcome that has one."""
        kept = ~np.isnan(self.values)
        received, of_row = np.unique(self.received[kept], return_inverse=True)
        means = np.bincount(of_row, self.values[kept], len(received)) / np.bincount(of_row, minlength=len(received))
        return Losses(means, received)


@dataclass(frozen=True)
class Pairs:
    """The losses of both versions, pair by pair. `received`: when the pair was complete. `outcomes`: how many there
    were then, of either version. No loss is greater than `largest`."""

    baseline: Any
    candidate: Any
    received: Any
    outcomes: Any
    largest: float

    def __len__(self) -> int:
        return len(self.received)

    @property
    def differences(self) -> Any:
        return self.candidate - self.baseline

    def first(self, pairs: int) -> Pairs:
        parts = ("baseline", "candidate", "received", "outcomes")
        return replace(self, **{part: getattr(self, part)[:pairs] for part in parts})


def of_same_rows(baseline: Losses, candidate: Losses, largest: float) -> Pairs:
    """Return the pairs of a shadow: both versions have answered the same rows, in the same order."""
    lacking = np.isnan(baseline.values) | np.isnan(candidate.values)
    theirs, ours = (replace(one, values=np.where(lacking, np.nan, one.values)) for one in (baseline, candidate))
    theirs, ours = theirs.of_outcomes(), ours.of_outcomes()
    order = _order(ours.received)
    outcomes = np.arange(1, len(order) + 1)
    return Pairs(theirs.values[order], ours.values[order], ours.received[order], outcomes, largest)


def of_other_rows(baseline: Losses, candidate: Losses, largest: float) -> Pairs:
    """Return the pairs of a canary, whose versions have answered different rows.

    A block of outcomes ends as soon as it has some of both versions, and its pair is the mean losses of each. So an
    outcome of the rarer version meets the mean of the others that came since the one before; the last block waits until
    it is complete. A hash has drawn whose an outcome is, and that alone ends a block. Neither knows of losses, so the
    expected difference of a pair is that of the versions, whatever the share is and however it changes. As only
    neighbours are compared, it does not matter that rows become harder in the course of time.
    """
    theirs, ours = baseline.of_outcomes(), candidate.of_outcomes()
    received = np.concatenate([theirs.received, ours.received])
    order = _order(received)
    received, values = received[order], np.concatenate([theirs.values, ours.values])[order]
    is_ours = order >= len(theirs.values)
    ends = _block_ends(is_ours)
    starts = np.append(0, ends)

    def means(mine: Any) -> Any:
        """Return the mean of each block."""
        sums, counts = (np.append(0, np.cumsum(column))[starts] for column in (np.where(mine, values, 0), mine))
        return np.diff(sums) / np.diff(counts)

    return Pairs(means(~is_ours), means(is_ours), received[ends - 1], ends, largest)


def _order(received: Any) -> Any:
    """Return the order in which outcomes came. Those of one second are mixed: a file may be sorted by version."""
    return np.lexsort((received.astype(np.uint64) * _MIX, received // _SECOND))


def _block_ends(is_ours: Any) -> Any:
    """Return the number of outcomes until each block is complete."""
    ends, first = [], None
    for place, mine in enumerate(is_ours.tolist(), 1):
        if first is None:
            first = mine
        elif mine != first:
            ends.append(place)
            first = None
    return np.array(ends, dtype=np.int64)
