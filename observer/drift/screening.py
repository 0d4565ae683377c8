"""Screens all columns and processes of a stream at once for those whose evidence may exceed a threshold.

Few columns of an unchanged stream come near their threshold, and the bound takes a fraction of the time of E.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from observer.drift.bins import Counts, Numbers
from observer.drift.evidence import ColumnEvidence

T = TypeVar("T", np.int64, np.float64)


class Screening:
    """A bound of the evidence of each column. The bins of all columns are side by side, in the order of the columns."""

    def __init__(self, evidence: Sequence[ColumnEvidence]) -> None:
        training = [column.training for column in evidence]
        self.ends = np.cumsum([0, *map(len, training)])
        self._training = np.concatenate(training).astype(np.float64)
        self._rows = np.array([counts.sum() for counts in training], np.float64)
        self._others = np.repeat(self._rows, np.diff(self.ends)) - self._training
        self._regrets = np.array([column.least_regret for column in evidence])
        self._bin_regrets = np.concatenate([column.bin_regrets for column in evidence])
        self._terms = self.of_columns(_n_log_n(self._training)) - _n_log_n(self._rows)
        self._bin_terms = _n_log_n(self._training) + _n_log_n(self._others) - self._of_bins(_n_log_n(self._rows))

    def bound(self, since: Counts) -> Numbers:
        """Return what ln E is at most, of the shape (processes, columns); `since` is (processes, bins of all columns).

        The mixtures of an E are at most the greatest likelihoods. For the training rows that difference is known, and
        the likelihood ratio of merged bins is at most that of all bins.
        """
        stream = since.astype(np.float64)
        rows = stream[:, : self.ends[1]].sum(axis=1, keepdims=True)
        together = rows + self._rows
        of_stream, of_both = _n_log_n(stream), _n_log_n(stream + self._training)
        rows_term, together_term = _n_log_n(rows), _n_log_n(together)
        ratio = self._terms + self.of_columns(of_stream - of_both) - rows_term + together_term
        of_others = _n_log_n(rows - stream) - _n_log_n(rows - stream + self._others)
        bins = self._bin_terms + of_stream - of_both + of_others - rows_term + self._of_bins(together_term)
        of_bins: Numbers = np.maximum.reduceat(bins - self._bin_regrets, self.ends[:-1], axis=-1)
        most: Numbers = np.maximum(of_bins, ratio - self._regrets)
        return most

    def of_columns(self, values: NDArray[T]) -> NDArray[T]:
        """Return the sums over the bins of each column; the last axis has the bins of all columns."""
        sums: NDArray[T] = np.add.reduceat(values, self.ends[:-1], axis=-1)
        return sums

    def _of_bins(self, of_columns: Numbers) -> Numbers:
        """Return the number of its column for each bin; the last axis has the columns."""
        return np.repeat(of_columns, np.diff(self.ends), axis=-1)


def _n_log_n(counts: Numbers) -> Numbers:
    terms: Numbers = counts * np.log(np.maximum(counts, 1.0))
    return terms
