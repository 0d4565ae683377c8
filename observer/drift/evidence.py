"""Evidence that the rows of a stream do not come from the distribution of the training rows.

It may be looked at as often as one likes: see `ColumnEvidence` and `log_start_weights` for what is promised and why.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp, xlogy

from observer.drift.bins import ColumnBins, Counts, NumberBins, Numbers

BLOCK = 50
"""Fewest rows of a block. A process starts with each block, and evidence is looked at when a block is complete."""

DENSE_AGE = 128
"""The age in blocks from which on few processes stay alive: changes that are found so late are small ones."""

_WEIGHT_SUM = 2.10975
"""The sum of 1 / (j ln² j) over j = 2, 3, …, rounded up (https://oeis.org/A115563)."""


def log_start_weights(starts: Counts) -> Numbers:
    """Return the logarithms of the shares of the error level that processes get by the number of their block, from 0.

    The k-th block gets 1 / (2.11 (k + 2) ln² (k + 2)). The shares of all blocks that will ever be sum to less than 1,
    so the chance that any of the processes ever passes its threshold is at most the level (union bound), whichever of
    them are dropped. 1 / (k (k + 1)) would sum to 1, too, but demand 4 nats more of the 10,000th process.
    """
    number = starts.astype(np.float64) + 2
    weights: Numbers = -np.log(_WEIGHT_SUM * number) - 2 * np.log(np.log(number))
    return weights


def surviving(starts: Counts, block: int) -> NDArray[np.bool_]:
    """Return which of the processes that began with the blocks `starts` stay alive in the block numbered `block`.

    All of the last 8 blocks stay, then 4 for each doubling of the age up to `DENSE_AGE`, then 1, and block 0: about 40
    after 100 million rows. So at most a quarter of the rows of some process are older than a recent change, and at most
    half are older than any. Only the numbers of blocks decide, never the rows in them; and a start that is
    dropped at one age would be dropped at any later one, so it does not matter how often this is asked.
    """
    ages = block - starts
    doublings = np.frexp(np.maximum(ages, 1))[1] - 1
    steps = 1 << np.where(ages < DENSE_AGE, np.maximum(doublings - 2, 0), doublings)
    survive: NDArray[np.bool_] = starts % steps == 0
    return survive


class ColumnEvidence:
    """The evidence of one column: the mean of that of several views, each of which merges the bins in its own way.

    A view with few bins pays less for not knowing their shares, and finds the change that it is made for after fewer
    rows; the view with all bins finds what the others miss. The views are: all bins; each bin against the others (nulls
    appear, a value vanishes, a unit is wrong); and for numbers without nulls the lower and the upper half, the middle
    between two tails of 30 % (the mean moves), and of 10 % (the spread changes).

    The mean of E's is again such an E: for the true shares each is at most a martingale of mean 1 in the same rows.
    """

    def __init__(self, bins: ColumnBins) -> None:
        self.training = np.array(bins.training, np.int64)
        values = self.training[:-1]
        self._merges = [np.eye(len(self.training), dtype=np.int64)]
        if isinstance(bins, NumberBins) and bins.edges and values.any():
            self._merges += [_merge(values, tails) for tails in (0.5, 0.3, 0.1)]

    @property
    def least_regret(self) -> float:
        """The least regret of the training rows in the views that merge bins: the loss of the mixture."""
        return min(float(_regret(self._merged(self.training, merge))) for merge in self._merges)

    @property
    def bin_regrets(self) -> Numbers:
        """The regret of the training rows in the views of each bin against the others."""
        return _regret(_against_others(self.training))

    def log_e(self, stream: Counts) -> Numbers:
        """Return ln E of each process; `stream` has their counts, of the shape (processes, bins)."""
        of_views = [
            log_evidence(self._merged(self.training, merge), self._merged(stream, merge))[:, None]
            for merge in self._merges
        ]
        of_views.append(log_evidence(_against_others(self.training), _against_others(stream)))
        together = np.concatenate(of_views, axis=1)
        mean: Numbers = logsumexp(together, axis=1) - np.log(together.shape[1])
        return mean

    @staticmethod
    def _merged(counts: Counts, merge: Counts) -> Counts:
        """Return the counts of merged bins; a merge of numbers leaves out the bin of nulls, which is the last."""
        merged: Counts = counts[..., : len(merge)] @ merge
        return merged


def _against_others(counts: Counts) -> Counts:
    """Return the counts of each bin and of all others as the last axis."""
    return np.stack([counts, counts.sum(axis=-1, keepdims=True) - counts], axis=-1)


def _merge(training: Counts, tails: float) -> Counts:
    """Return the matrix that merges bins of numbers into two tails with about this share of the rows, and a middle."""
    below = np.cumsum(training)[:-1] / training.sum()
    cuts = {int(np.abs(below - share).argmin()) + 1 for share in (tails, 1 - tails)}
    groups = np.searchsorted(sorted(cuts), np.arange(len(training)), side="right")
    return np.eye(len(cuts) + 1, dtype=np.int64)[groups]


def log_evidence(training: Counts, stream: Counts) -> Numbers:
    """Return ln E of the counts in bins, the last axis of both.

    E = m(T) m(S) / max_p P_p(T, S) by universal inference (Wasserman, Ramdas & Balakrishnan 2020, PNAS 117:16880):
    T are the training rows, S those of the stream, P_p(T, S) is their likelihood if both have the shares p, and m is
    the Dirichlet(½) mixture of such likelihoods. For the true p, the maximum is at least P_p(T, S). So E is at most
    m(T) m(S) / P_p(T, S), which is a martingale in the rows of S and has the mean 1 over those of T. Therefore
    P(E ever >= 1/a) <= a (Ville).

    The edges of bins of numbers are values of training rows, so T is not a multinomial sample. If the column has a
    density, T is fixed, and the shares p are Dirichlet with the number of gaps between order statistics in each bin:
    about that of its training rows, and 1 beyond the least and the greatest. Then m(S) / DM_T(S) is a martingale of
    mean 1, with the Dirichlet-multinomial likelihood. E is less by the factor m(T) DM_T(S) / max_p P_p(T, S), which is
    below 1 in every view, and below 1/20 for all bins, if there are two bins or more between the edges (tests draw such
    streams). So quantiles as edges make false alarms rarer. For numbers with ties, where T is neither fixed nor
    multinomial, there are only simulations (bench/alarms.py).
    """
    return _log_mixture(training) + _log_mixture(stream) - _log_likelihood(training + stream)


def _log_likelihood(counts: Counts) -> Numbers:
    """Return the greatest log-likelihood of a sequence of rows with these counts, over all shares of the bins."""
    rows = counts.sum(axis=-1)
    total: Numbers = xlogy(counts, counts).sum(axis=-1) - xlogy(rows, rows)
    return total


def _log_mixture(counts: Counts) -> Numbers:
    """Return the log of the Dirichlet(½) mixture of the likelihoods of a sequence (Krichevsky & Trofimov 1981)."""
    bins = counts.shape[-1]
    inside = (gammaln(counts + 0.5) - gammaln(0.5)).sum(axis=-1)
    total: Numbers = inside + gammaln(bins / 2) - gammaln(counts.sum(axis=-1) + bins / 2)
    return total


def _regret(counts: Counts) -> Numbers:
    return _log_likelihood(counts) - _log_mixture(counts)
