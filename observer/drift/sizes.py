"""How large a change is, which says more than how sure it is: with many rows, any difference is certain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from observer.drift.bins import ColumnBins, Counts, NumberBins, Numbers


class Sizes(NamedTuple):
    """The sizes of a change, less what chance makes of as few rows where nothing has changed.

    `psi`: the population stability index over all bins. `wasserstein`: the Wasserstein-1 distance of numbers in
    training standard deviations; 0 where there is none, as for words. `nulls`: the change of the nulls' share.
    """

    psi: float
    wasserstein: float
    nulls: float

    def reach(self, part: float = 1.0) -> bool:
        """Return whether one of the sizes reaches this part of its minimum."""
        return any(abs(size) >= part * least for size, least in zip(self, MINIMA, strict=True))


MINIMA = Sizes(psi=0.1, wasserstein=0.1, nulls=0.05)
"""The sizes from which on a change is worth an alarm; one of them suffices.

PSI: 0.1 is the usual limit below which nothing is done (Siddiqi 2006, Credit Risk Scorecards). A mean that moves by
half a standard deviation has 0.24, a spread of 1.5 times 0.25, nulls from 1 to 10 % have 0.22, and a value of 5 % of
the rows that vanishes has over 0.2. Wasserstein: 0.1 of the spread is Evidently's default; it finds a mean that moves
by a fifth of a standard deviation, whose PSI is 0.04. Nulls: from 20 to 30 % is a PSI of 0.05, and a tenth of the rows.
"""


class Quartiles(NamedTuple):
    lower: float
    median: float
    upper: float


def sizes(bins: ColumnBins, stream: Counts) -> Sizes:
    """Return the sizes of the change from the training rows to `stream`, its rows in each bin."""
    training = np.array(bins.training, np.int64)
    if not training.any() or not stream.any():
        return Sizes(0.0, 0.0, 0.0)
    distance = _wasserstein(bins, stream) if isinstance(bins, NumberBins) else 0.0
    nulls = stream[-1] / stream.sum() - training[-1] / training.sum()
    return Sizes(_psi(training, stream), distance, float(nulls))


def _psi(training: Counts, stream: Counts) -> float:
    """Return the population stability index: the sum of (s - t) ln(s / t) over the shares of the bins.

    Half a row is added to each bin of the training, and as many rows as that are in all to the stream, with the shares
    of the training. So an empty bin makes no infinity. Without a change, the index is (1 / rows of the training +
    1 / rows of the stream) times a chi-squared number (Yurdakul 2018, Statistical Properties of Population Stability
    Index), whose mean, the number of bins less 1, is subtracted.
    """
    before = (training + 0.5) / (training.sum() + len(training) / 2)
    after = (stream + before * len(training) / 2) / (stream.sum() + len(training) / 2)
    by_chance = (np.count_nonzero(training + stream) - 1) * _inverse_rows(training, stream)
    return max(0.0, float(((after - before) * np.log(after / before)).sum()) - by_chance)


def quartiles(bins: NumberBins, counts: Counts) -> Quartiles | None:
    """Return the quartiles of the numbers in these counts, or None without numbers.

    Values lie evenly in a bin; those beyond the edges are at the edge. There is no mean: in the outer bins, which reach
    to the extremes, the values do not lie evenly, and a mean would be far off.
    """
    if not bins.edges or not counts[:-1].any():
        return None
    edges, below = _cumulative(bins, counts)
    return Quartiles(*np.interp([0.25, 0.5, 0.75], below, edges).tolist())


def _wasserstein(bins: NumberBins, stream: Counts) -> float:
    """Return the integral of |F - G| in training standard deviations; 0 if either has no numbers.

    F and G are the distribution functions of the numbers, exact at the edges and straight between them; rows beyond the
    edges count as at the edge, so the distance is a lower bound where a unit has changed. The standard deviation is
    that of the same straight F, which is too large as the outer bins reach to the extremes (1.3 for a standard normal
    sample of 5,000): the distance stretches with it. If all training numbers are equal, both are 0.

    Without a change, F - G is about normal with the variance F (1 - F) (1 / rows of F + 1 / rows of G); the integral of
    the mean of its absolute value is subtracted, as the squares of the two add up.
    """
    training = np.array(bins.training, np.int64)
    if not bins.edges or not training[:-1].any() or not stream[:-1].any():
        return 0.0
    edges, before = _cumulative(bins, training)
    _, after = _cumulative(bins, stream)
    spread = _spread(edges, before)
    if spread == 0:
        return 0.0
    low, high = (before - after)[:-1], (before - after)[1:]
    total = np.abs(low) + np.abs(high)
    # The integral of the absolute value of a straight line over a width of 1; it may cross 0 within.
    crossing = (low**2 + high**2) / (2 * np.where(total > 0, total, 1.0))
    area = np.where(low * high < 0, crossing, total / 2)
    deviation = np.sqrt(before * (1 - before) * _inverse_rows(training[:-1], stream[:-1]) * 2 / np.pi)
    widths = np.diff(edges)
    by_chance = ((deviation[1:] + deviation[:-1]) / 2 * widths).sum()
    return float(np.sqrt(max(0.0, (area * widths).sum() ** 2 - by_chance**2)) / spread)


def _cumulative(bins: NumberBins, counts: Counts) -> tuple[Numbers, Numbers]:
    """Return the edges, and the share of the numbers below each; at the last edge, the share up to it."""
    below = np.cumsum(counts[:-1])
    return np.array(bins.edges), below[:-1] / below[-1]


def _spread(edges: Numbers, below: Numbers) -> float:
    shares, middles, widths = np.diff(below), (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    mean = (shares * middles).sum()
    return float(np.sqrt((shares * ((middles - mean) ** 2 + widths**2 / 12)).sum()))


def _inverse_rows(training: Counts, stream: Counts) -> float:
    return float(1 / training.sum() + 1 / stream.sum())
