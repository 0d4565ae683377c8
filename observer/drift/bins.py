"""The bins of one column: what training rows and served rows are counted by.

Only the training profile decides on the bins, never the served rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from contract.model.manifest import ColumnProfile
from contract.model.signature import Kind
from contract.row import Value
from contract.wording import shown

Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]

FEWEST_ROWS = 20
"""Training rows of a bin. With fewer, the training share of the bin is a guess: at 20 rows, its standard error is 22 %
of the share."""


@dataclass(frozen=True)
class NumberBins:
    """The bins of a column of numbers, or of datetimes as seconds since 1970.

    They are: below the least training value, one between each two `edges`, above the greatest, null. A bin holds its
    lower edge; the last one between edges also holds its upper edge, as numpy.histogram has it. A repeated last edge
    makes a bin of the greatest value alone. Without `edges`, no training row had a value: the bins are any value, and
    null. `training` has the training rows of each bin.

    Values outside of the training range have bins of their own. A few percent of the rows in a wrong unit hardly change
    the share of an outer decile, and are conspicuous where training had no row at all.
    """

    edges: tuple[float, ...]
    training: tuple[int, ...]
    kind: Kind = Kind.NUMBER

    @property
    def labels(self) -> tuple[str, ...]:
        if not self.edges:
            return ("any value", "null")
        edges = [_edge(edge, self.kind) for edge in self.edges]
        between = [low if low == high else f"{low} – {high}" for low, high in pairwise(edges)]
        return (f"< {edges[0]}", *between, f"> {edges[-1]}", "null")

    def count(self, values: Numbers) -> Counts:
        """Return the number of `values` in each bin; NaN is null."""
        present = values[~np.isnan(values)]
        if not self.edges:
            return np.array([present.size, values.size - present.size], np.int64)
        bins = np.searchsorted(self.edges, present, side="right")
        above = len(self.edges)
        bins[present == self.edges[-1]] = above - 1
        counts = np.bincount(bins, minlength=above + 2).astype(np.int64)
        counts[-1] = values.size - present.size
        return counts


@dataclass(frozen=True)
class WordBins:
    """The bins of a column of words, booleans or class labels: one for each of `values`, other values, null.

    `training` has the training rows of each bin.
    """

    values: tuple[Value, ...]
    training: tuple[int, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return (*map(_word, self.values), "other values" if self.values else "any value", "null")

    def count(self, rows_by_value: Mapping[Value, int]) -> Counts:
        """Return the number of rows in each bin from the rows of each value; None is null."""
        counts = [rows_by_value.get(value, 0) for value in self.values]
        nulls = rows_by_value.get(None, 0)
        others = sum(rows_by_value.values()) - sum(counts) - nulls
        return np.array([*counts, others, nulls], np.int64)


ColumnBins = NumberBins | WordBins


def column_bins(profile: ColumnProfile, kind: Kind, most_values: int) -> ColumnBins:
    """Return the bins of a column of this kind; words get at most `most_values` bins for single values.

    Neighbouring bins of numbers are merged, and rare words become other values, until each bin has `FEWEST_ROWS`
    training rows. A profile has too few of them or is empty: all values share one bin.
    """
    if kind not in (Kind.NUMBER, Kind.INTEGER, Kind.DATETIME):
        return _word_bins(profile, most_values)
    if not profile.edges:
        return NumberBins((), (0, profile.nulls), kind)
    edges, counts = _merged(profile.edges, profile.counts)
    return NumberBins(edges, (0, *counts, 0, profile.nulls), kind)


def _word_bins(profile: ColumnProfile, most_values: int) -> WordBins:
    common = [(value, rows) for value, rows in zip(profile.values, profile.counts, strict=True) if rows >= FEWEST_ROWS]
    # The profile has the most frequent values first.
    kept = common[:most_values]
    others = profile.others + sum(profile.counts) - sum(rows for _, rows in kept)
    return WordBins(tuple(value for value, _ in kept), (*(rows for _, rows in kept), others, profile.nulls))


def _merged(edges: tuple[float, ...], counts: tuple[int, ...]) -> tuple[tuple[float, ...], list[int]]:
    """Drop edges between bins until each bin has `FEWEST_ROWS`, from the lowest bin on."""
    kept_edges, kept_counts = [edges[0]], [0]
    for upper, rows in zip(edges[1:], counts, strict=True):
        kept_counts[-1] += rows
        if kept_counts[-1] >= FEWEST_ROWS:
            kept_edges.append(upper)
            kept_counts.append(0)
    rest = kept_counts.pop()
    if not kept_counts:
        return (edges[0], edges[-1]), [rest]
    # The last bin may have too few rows: it joins the one before it.
    kept_counts[-1] += rest
    kept_edges[-1] = edges[-1]
    return tuple(kept_edges), kept_counts


def _edge(edge: float, kind: Kind) -> str:
    if kind is not Kind.DATETIME:
        return f"{edge:.6g}"
    return datetime.fromtimestamp(edge, UTC).isoformat(sep=" ", timespec="minutes").removesuffix("+00:00")


def _word(value: Value) -> str:
    return value if isinstance(value, str) else shown(value)
