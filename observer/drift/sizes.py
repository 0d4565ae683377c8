"""How large a change is, which says more than how sure it is: with many rows, any difference is certain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from observer.drift.bins import ColumnBins, Counts, NumberBins, Numbers

MINIMA = {"psi": 0.1, "wasserstein": 0.1, "nulls": 0.05}
"""The sizes from which on a change is worth an alarm; one of them suffices.

PSI: 0.1 is the usual limit below which nothing is done (Siddiqi 2006, Credit Risk Scorecards). A mean that moves by
half a standard deviation has 0.24, a spread of 1.5 times 0.25, nulls from 1 to 10 % have 0.22, and a value of 5 % of
the rows that vanishes has over 0.2. Wasserstein: 0.1 of the spread is Evidently's default; it finds a mean that moves
by a fifth of a standard deviation, whose PSI is 0.04. Nulls: from 20 to 30 % is a PSI of 0.05, and a tenth of the rows.
"""


class Sizes(NamedTuple):
    """The sizes of a change. `psi`: the population stability index over all bins. `wasserstein`: the Wasserstein-1
    distance of numbers in training standard deviations, None for words. `nulls`: the change of the nulls' share."""

    psi: float
    wasserstein: float | None
    nulls: float

    def reach(self, part: float = 1.0) -> bool:
        """Return whether one of the sizes reaches this part of its minimum."""
        sizes = {**self._asdict(), "nulls": abs(self.nulls), "wasserstein": self.wasserstein or 0.0}
        return any(sizes[name] >= part * least for name, least in MINIMA.items())


class Quartiles(NamedTuple):
    lower: float
    median: float
    upper: float


def sizes(bins: ColumnBins, stream: Counts) -> Sizes:
    """Return the sizes of the change from the training rows to `stream`, its rows in each bin."""
    training = np.array(bins.training, np.int64)
    distance = _wasserstein(bins, stream) if isinstance(bins, NumberBins) else None
    nulls = _share(int(stream[-1]), int(stream.sum())) - _share(int(training[-1]), int(training.sum()))
    return Sizes(psi(training, stream), distance, nulls)


def psi(training: Counts, stream: Counts) -> float:
    """Return the population stability index: the sum of (s - t) ln(s / t) over the shares of the bins.

    Half a row is added to each bin of the training, and as many rows as that are in all to the stream, with the shares
    of the training. So an empty bin makes no infinity, and few rows make no change.
    """
    before = (training + 0.5) / (training.sum() + len(training) / 2)
    after = (stream + before * len(training) / 2) / (stream.sum() + len(training) / 2)
    return float(((after - before) * np.log(after / before)).sum())


def quartiles(bins: NumberBins, counts: Counts) -> Quartiles | None:
    """Return the quartiles of the numbers in these counts, or None without numbers.

    Values lie evenly in a bin; those beyond the edges are at the edge. There is no mean: in the outer bins, which reach
    to the extremes, the values do not lie evenly, and a mean would be far off.
    """
    if not bins.edges or not counts[:-1].any():
        return None
    edges, below = _cumulative(bins, counts)
    return Quartiles(*np.interp([0.25, 0.5, 0.75], below, edges).tolist())


def _wasserstein(bins: NumberBins, stream: Counts) -> float | None:
    """Return the integral of |F - G| in training standard deviations; None if either has no numbers.

    F and G are the distribution functions of the numbers, exact at the edges and straight between them; rows beyond the
    edges count as at the edge, so the distance is a lower bound where a unit has changed. The standard deviation is
    that of the same straight F, which is too large as the outer bins reach to the extremes (1.3 for a standard normal
    sample of 5,000): the distance stretches with it. If all training numbers are equal, it is 0, and the distance None.
    """
    training = np.array(bins.training, np.int64)
    if not bins.edges or not training[:-1].any() or not stream[:-1].any():
        return None
    edges, before = _cumulative(bins, training)
    _, after = _cumulative(bins, stream)
    spread = _spread(edges, before)
    if spread == 0:
        return None
    low, high = (before - after)[:-1], (before - after)[1:]
    total = np.abs(low) + np.abs(high)
    # The integral of the absolute value of a straight line over a width of 1; it may cross 0 within.
    crossing = (low**2 + high**2) / (2 * np.where(total > 0, total, 1.0))
    area = np.where(low * high < 0, crossing, total / 2)
    return float((area * np.diff(edges)).sum() / spread)


def _cumulative(bins: NumberBins, counts: Counts) -> tuple[Numbers, Numbers]:
    """Return the edges, and the share of the numbers below each; at the last edge, the share up to it."""
    below = np.cumsum(counts[:-1])
    return np.array(bins.edges), below[:-1] / below[-1]


def _spread(edges: Numbers, below: Numbers) -> float:
    shares, middles, widths = np.diff(below), (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    mean = (shares * middles).sum()
    return float(np.sqrt((shares * ((middles - mean) ** 2 + widths**2 / 12)).sum()))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
