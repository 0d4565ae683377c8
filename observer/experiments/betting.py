"""Evidence about the mean of bounded observations, which holds however often one looks.

A gambler bets against the claim that the mean is at most m. Each observation x multiplies the wealth by
1 + bet · (x - m) / (m - least), which is never negative. While the claim holds, no bet gains on average, so the wealth
ever reaches 1 / level with a chance of at most the level (Ville's inequality). So the wealth is the evidence
(Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86, 2024).

The wealth is divided equally between constant bets (`BETS`), the diversified Kelly bet of that paper. One of them is
near the best for any mean and spread, and has a tenth of the wealth. The bets of the paper that adapt lose while they
learn. Constant bets also hold if the mean changes: then the evidence is about the mean of all observations so far,
because the expected factors are at most exp(bet · (mean - m) / (m - least)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

BETS = 0.9 / 2.0 ** np.arange(10)
"""Parts of the largest bet that cannot lose everything."""
_UNTOUCHED = np.zeros(len(BETS))
_LEAST_LIMIT = 1e-4
"""A limit of 0 counts as this: nothing can be bet against what one case disproves."""


def evidence(values: Any, mean: float, least: float, before: Any = _UNTOUCHED) -> tuple[Any, Any]:
    """Return the log of the evidence that the mean of `values` is greater than `mean`, after each of them; and the log
    of the wealth of each bet after the last one, with which the next values go on (`before`).

    No value is below `least`, and `mean` is above it. For evidence that a mean is less, negate all three.
    """
    steps = (np.asarray(values, float) - mean) / (mean - least)
    paths = [wealth + np.cumsum(np.log1p(bet * steps)) for wealth, bet in zip(before, BETS, strict=True)]
    return np.logaddexp.reduce(paths) - np.log(len(BETS)), np.array([path[-1] for path in paths])


class LimitTest(NamedTuple):
    """Evidence that the mean of values from 0 to 1 is above a limit: the log of the wealth of each bet, of the evidence
    `now`, and of the `most` that there ever was."""

    bets: Sequence[float] = tuple(_UNTOUCHED)
    now: float = 0.0
    most: float = 0.0

    def after(self, values: Sequence[float], limit: float) -> LimitTest:
        """Return the test after more values."""
        if not len(values):
            return self
        path, bets = evidence(values, max(limit, _LEAST_LIMIT), 0.0, self.bets)
        return LimitTest(bets.tolist(), float(path[-1]), max(self.most, float(path.max())))


def lower_limit(values: Any, counts: Any, least: float, level: float) -> float:
    """Return the greatest mean with an evidence of 1 / `level` that it is exceeded, of `values` that are there so often
    (`counts`). The true mean is below it with a chance of at most `level`, at whatever time one looks."""
    mean, threshold = float(np.average(values, weights=counts)), -np.log(level)
    lowest = least + 1e-9 * max(1.0, abs(least))
    if mean <= lowest or _evidence(values, counts, lowest, least) <= threshold:
        return least
    # At the mean of the values no bet has gained, whatever they are.
    return _root(lambda m: _evidence(values, counts, m, least) - threshold, lowest, mean)


def more_often(ours: Sequence[int], theirs: Sequence[int], limit: float) -> float:
    """Return the log of the evidence that something happens to us more often than to them, by more than the share
    `limit`. `ours`, `theirs`: how often it did not happen, and how often it did.

    If it happens to them with the share m, and to us with m + limit at most, then the evidence that our share is
    greater than m + limit is a fair game, the evidence that theirs is less than m is another, and so is their mean. m
    is unknown, so the m counts for which there is least: half of what both have where they are equal.
    """

    def exceeds(m: float) -> float:
        return _evidence(np.array([0.0, 1.0]), ours, m + limit, 0.0)

    def is_below(m: float) -> float:
        return _evidence(np.array([0.0, -1.0]), theirs, -m, -1.0)

    def gap(m: float) -> float:
        return exceeds(m) - is_below(m)

    low = 1e-9
    high = max(low, 1 - limit - low)
    # One falls with m, the other rises.
    meet = low if gap(low) <= 0 else high if gap(high) >= 0 else _root(gap, low, high)
    return max(exceeds(meet), is_below(meet)) - float(np.log(2))


def _evidence(values: Any, counts: Any, mean: float, least: float) -> float:
    steps = (values - mean) / (mean - least)
    return float(np.logaddexp.reduce([np.dot(counts, np.log1p(bet * steps)) for bet in BETS]) - np.log(len(BETS)))


def _root(function: Any, low: float, high: float) -> float:
    find: Any = brentq
    return float(find(function, low, high, xtol=1e-9))
