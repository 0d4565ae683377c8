"""The leaves of all trees of an ensemble, looked up instead of walked to.

A split rules out the leaves to its left for a row that goes right. A row reaches the first leaf, from the left, that no
split rules out. Which leaves a column rules out is the same for all its values between two thresholds, so it is kept
for each tree and each such range, a bit for each leaf: a batch looks up the bits of its values, and a few operations
answer all trees (docs/adr/0038). Columns of few ranges, such as those of a one-hot encoding, are looked up together.

Source: Lucchese et al., "QuickScorer: a fast algorithm to rank documents with additive ensembles of regression trees",
SIGIR 2015. It visits the splits that rule leaves out one by one, instead of looking up what they do together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelgate_kernels.sklearn_internals.trees import HistogramTrees

_MOST_BYTES = 2**23
"""The most bytes of masks that are kept for an ensemble."""
_BYTES_TOGETHER = 2**17
"""The most bytes of masks of columns that are looked up together: they stay in the processor's cache."""
_MASKS = tuple(map(np.dtype, ("u1", "u2", "u4", "u8")))
"""The types of masks, for trees of at most 8, 16, 32 and 64 leaves."""
_COLUMNS_OF_A_SPLIT = 2
"""The most columns for each split of the average tree. With more, it takes longer than to ask each tree."""
_FEWEST_ROWS, _COLUMNS_OF_A_ROW = 5, 8
"""A batch pays if it has at least so many rows, and one more for each so many columns."""
_AT_ONCE = 262_144
"""Bytes of the trees' answers to the rows that are looked up at once: they stay in the processor's cache."""
_FEWEST_AT_ONCE = 3
"""Rows that are looked up at once at least. With two, one of three rows would be alone: NumPy adds the answers to a
single row in another order."""


_Group = dict[int, Any]
"""Columns that are looked up together, with their edges: where a range of values ends and the next one begins."""


class LeafMasks:
    """The trees of a HistGradientBoosting, for batches of more than a few rows."""

    def __init__(self, histograms: HistogramTrees, trees: _Trees, groups: Sequence[_Group]) -> None:
        self._ranges = _Ranges(groups)
        self._masks = [_masks_together(group, trees) for group in groups]
        self._first_leaf = trees.first_leaf[:, np.newaxis]
        self._answers = trees.answers
        self._start = histograms.baseline.ravel()[:, np.newaxis]
        self._rows = max(_FEWEST_AT_ONCE, _AT_ONCE // (self._answers.itemsize * len(self._first_leaf)))

    @classmethod
    def of(cls, histograms: HistogramTrees) -> LeafMasks | None:
        """Return None if it does not pay for these trees, or takes too much memory."""
        trees = _Trees(histograms)
        if trees.mask is None or not 0 < len(trees.columns) <= _COLUMNS_OF_A_SPLIT * trees.mean_splits:
            return None
        bytes_of_a_range = len(trees.first_leaf) * trees.mask.itemsize
        edges = {column: trees.edges(column, histograms) for column in trees.columns}
        groups = _grouped(edges, bytes_of_a_range)
        size = sum(map(_ranges_together, groups)) * bytes_of_a_range
        return cls(histograms, trees, groups) if size <= _MOST_BYTES else None

    def pays_for(self, matrix: Any) -> bool:
        """Return whether this batch has enough rows."""
        return len(matrix) >= _FEWEST_ROWS + len(self._masks) // _COLUMNS_OF_A_ROW

    def total(self, matrix: Any) -> Any:
        """Return the sum of the baseline and the trees' answers, in their order: rows × columns of the answer, which
        is in Fortran order, as the estimator's own. `matrix` is float64, and has more than one row."""
        total = np.empty((len(self._start), len(matrix)))
        end = 0
        for rows in np.array_split(matrix, -(-len(matrix) // self._rows)):
            start, end = end, end + len(rows)
            total[:, start:end] = self._total(rows)
        return total.T

    def _total(self, rows: Any) -> Any:
        first, *others = zip(self._masks, self._ranges.of(rows), strict=True)
        left = first[0].take(first[1], axis=0)
        taken = np.empty_like(left)
        for masks, ranges in others:
            left &= masks.take(ranges, axis=0, out=taken, mode="clip")  # the other modes copy what they write to `out`
        leaves_before = np.bitwise_count(~left & (left - 1))
        answers = self._answers.take(np.ascontiguousarray(leaves_before.T) + self._first_leaf)
        stages = answers.reshape(len(answers) // len(self._start), len(self._start), len(rows))
        stages[0] += self._start
        return np.add.reduce(stages)  # one after the other, as long as there is more than one row


def _grouped(edges: Mapping[int, Any], bytes_of_a_range: int) -> list[_Group]:
    """Return the columns in groups, those with the most edges first. The combinations of a group's ranges take at most
    `_BYTES_TOGETHER`, or the group is a single column."""
    groups: list[_Group] = []
    for column, thresholds in sorted(edges.items(), key=lambda item: -len(item[1])):
        if groups and _ranges_together(groups[-1]) * _ranges(thresholds) * bytes_of_a_range <= _BYTES_TOGETHER:
            groups[-1][column] = thresholds
        else:
            groups.append({column: thresholds})
    return groups


def _ranges(edges: Any) -> int:
    """Return the number of a column's ranges: one below each edge, one above all of them, and one for NaN."""
    return len(edges) + 2


def _ranges_together(group: _Group) -> int:
    return math.prod(map(_ranges, group.values()))


def _masks_together(group: _Group, trees: _Trees) -> Any:
    """Return what each combination of the columns' ranges leaves over: combinations × trees. The last column's range
    changes first."""
    first, *others = (trees.masks(column, edges) for column, edges in group.items())
    for masks in others:
        first = np.concatenate(first[:, np.newaxis] & masks)
    return first


class _Ranges:
    """The ranges to which the values of some columns belong: how many edges are below them. For NaN, it is as many as
    the column has, and one more.

    `searchsorted` does the same, but the processor cannot foresee its branches: it takes twice as long.
    """

    def __init__(self, groups: Sequence[_Group]) -> None:
        edges = {column: thresholds for group in groups for column, thresholds in group.items()}
        sizes = np.array([2 ** len(thresholds).bit_length() for thresholds in edges.values()])
        self._columns = [*edges]
        halves = [sizes[0] >> half for half in range(1, int(sizes[0]).bit_length())]
        self._steps = [(step, np.count_nonzero(sizes > step)) for step in halves]
        self._start = (np.cumsum(sizes) - sizes)[:, np.newaxis]
        self._edges = np.full(sizes.sum(), np.inf)
        for start, thresholds in zip(self._start[:, 0], edges.values(), strict=True):
            self._edges[start : start + len(thresholds)] = thresholds
        self._of_nan = np.array([len(thresholds) + 1 for thresholds in edges.values()])
        counts = [[*map(_ranges, group.values())] for group in groups]
        factors = [math.prod(ranges[index + 1 :]) for ranges in counts for index in range(len(ranges))]
        self._factors = np.array(factors)[:, np.newaxis]
        self._first = np.cumsum([0, *map(len, counts[:-1])])

    def of(self, rows: Any) -> Any:
        """Return groups × rows: the place of each row's combination of ranges."""
        values = np.ascontiguousarray(rows.T[self._columns])
        position = np.repeat(self._start, len(rows), axis=1)
        for step, columns in self._steps:  # the columns with the most edges come first
            searched = position[:columns]
            searched += step * (self._edges.take(searched + (step - 1)) < values[:columns])
        position -= self._start
        is_nan = np.isnan(values)
        if is_nan.any():
            column, row = is_nan.nonzero()
            position[column, row] = self._of_nan[column]
        if len(self._first) == len(position):
            return position
        position *= self._factors
        return np.add.reduceat(position, self._first)


class _Trees:
    """All trees of an ensemble: their splits, and the places of their leaves, counted from the left."""

    def __init__(self, histograms: HistogramTrees) -> None:
        trees = [tree for iteration in histograms.trees for tree in iteration]
        counts = [len(tree.nodes) for tree in trees]
        roots = np.cumsum([0, *counts[:-1]])
        nodes = np.concatenate([tree.nodes for tree in trees])
        is_leaf = nodes["is_leaf"].astype(bool)
        splits = np.flatnonzero(~is_leaf)
        tree = np.repeat(np.arange(len(trees)), counts)
        left, right = nodes["left"] + roots[tree], nodes["right"] + roots[tree]
        leaves, leaf = _leaves(roots, is_leaf, left, right)
        self.first_leaf = np.cumsum(leaves[roots]) - leaves[roots]
        self.answers = np.empty(np.count_nonzero(is_leaf))
        self.answers[(self.first_leaf[tree] + leaf)[is_leaf]] = nodes["value"][is_leaf]
        self.mask = next((mask for mask in _MASKS if leaves[roots].max() <= 8 * mask.itemsize), None)
        self.mean_splits = len(splits) / len(trees)
        self._splits, self._tree = nodes[splits], tree[splits]
        self.columns = np.unique(self._splits["feature_idx"]).tolist()
        ruled_out = ((1 << leaves[left[splits]].astype("u8")) - 1) << leaf[splits].astype("u8")
        self._left_over = ~ruled_out
        sets = [tree.raw_left_cat_bitsets for tree in trees]
        self._left_categories = np.unpackbits(np.concatenate(sets).view("u1"), axis=1, bitorder="little").astype(bool)
        self._categories = self._splits["bitset_idx"] + np.cumsum([0, *map(len, sets)])[self._tree]

    def edges(self, column: int, histograms: HistogramTrees) -> Any:
        """Return where a range of the column's values ends and the next one begins, in their order. A value at an edge
        belongs to the range below it. Each category is a range of its own; those that are unknown have become NaN."""
        splits = self._splits[self._splits["feature_idx"] == column]
        if _is_categorical(splits):
            return np.arange(np.flatnonzero(histograms.known_categories(column)).max() + 1.0)
        return np.unique(splits["num_threshold"])

    def masks(self, column: int, edges: Any) -> Any:
        """Return the leaves that each range of the column's values leaves over in each tree, as bits: ranges × trees.
        After the ranges of the edges come one for all larger values and one for NaN."""
        of_column = self._splits["feature_idx"] == column
        splits, tree, left_over = self._splits[of_column], self._tree[of_column], self._left_over[of_column]
        masks = np.full((len(edges) + 2, len(self.first_leaf)), np.iinfo(self.mask).max, dtype=self.mask)
        nan_goes_right = splits["missing_go_to_left"] == 0
        np.bitwise_and.at(masks[-1], tree[nan_goes_right], left_over[nan_goes_right])
        flat = masks.ravel()  # `at` takes ten times as long with two indices
        if _is_categorical(splits):
            split, category = (~self._left_categories[self._categories[of_column], : len(edges)]).nonzero()
            np.bitwise_and.at(flat, category * masks.shape[1] + tree[split], left_over[split])
        else:
            above = edges.searchsorted(splits["num_threshold"]) + 1
            np.bitwise_and.at(flat, above * masks.shape[1] + tree, left_over)
            np.bitwise_and.accumulate(masks[:-1], out=masks[:-1])
        return masks


def _is_categorical(splits: Any) -> bool:
    return bool(splits["is_categorical"][0])


def _leaves(roots: Any, is_leaf: Any, left: Any, right: Any) -> tuple[Any, Any]:
    """Return for each node how many leaves are below it (1 for a leaf), and how many of its tree are to its left."""
    levels = [roots[~is_leaf[roots]]]
    while len(levels[-1]):
        below = np.concatenate([left[levels[-1]], right[levels[-1]]])
        levels.append(below[~is_leaf[below]])
    leaves, leaf = np.ones(len(is_leaf), dtype=np.intp), np.zeros(len(is_leaf), dtype=np.intp)
    for level in levels[::-1]:
        leaves[level] = leaves[left[level]] + leaves[right[level]]
    for level in levels:
        leaf[left[level]] = leaf[level]
        leaf[right[level]] = leaf[level] + leaves[left[level]]
    return leaves, leaf
