"""All trees of an ensemble joined into one, for small batches.

To ask a tree costs 2 µs, however few rows it gets: most of the time of a small batch. One call asks all of them if they
are one tree: each row is repeated for every tree, with the number of the tree as its last column, and splits on that
column lead to the tree's root. The copy of the nodes is limited to `_MOST_BYTES` (docs/adr/0038).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelgate_kernels.sklearn_internals.trees import HistogramTrees, can_join_trees, nodes_of, tree_of

_MOST_BYTES = 2**21
"""The most bytes of nodes that are copied for an ensemble. Larger ones ask each tree."""
_MOST_NUMBERS, _ROW = 2400, 20
"""The most numbers of a batch that are repeated for every tree, where each row counts for so many more. A larger batch
takes longer than to ask each tree."""
_NODE_BYTES = 64
_WHOLE_NODE = np.dtype((np.void, _NODE_BYTES))
"""Nodes are copied as a whole: field by field takes ten times as long."""
_LEAF = -1


class JoinedForest:
    """The trees of a forest as one tree, without leaves that are equal. `answers` has what each tree answers at each of
    its nodes: nodes × answers of float64."""

    def __init__(self, trees: Sequence[Any], columns: int, answers: Sequence[Any]) -> None:
        nodes_by_tree = [nodes_of(tree) for tree in trees]
        counts = [len(nodes) for nodes in nodes_by_tree]
        starts = np.cumsum([0, *counts[:-1]])
        nodes = np.concatenate([nodes.view(_WHOLE_NODE) for nodes in nodes_by_tree]).view(nodes_by_tree[0].dtype)
        splits = nodes["left_child"] != _LEAF
        self._answers, leaf = _distinct(np.concatenate(answers)[~splits])
        first_split, split_nodes = len(trees) - 1, nodes.view(_WHOLE_NODE)[splits].view(nodes.dtype)
        self._first_leaf = first_split + len(split_nodes)
        places = np.empty(len(nodes), dtype=np.intp)
        places[splits] = np.arange(first_split, self._first_leaf)
        places[~splits] = self._first_leaf + leaf
        start = np.repeat(starts, counts)[splits]
        joined = np.zeros(self._first_leaf + len(self._answers), dtype=nodes.dtype)
        ways = splits_to(places[starts].tolist())
        joined["feature"][:first_split] = columns
        joined["left_child"][:first_split], joined["right_child"][:first_split] = ways[:, 0], ways[:, 1]
        joined["threshold"][:first_split] = ways[:, 2]
        joined.view(_WHOLE_NODE)[first_split : self._first_leaf] = split_nodes.view(_WHOLE_NODE)
        joined["left_child"][first_split : self._first_leaf] = places[split_nodes["left_child"] + start]
        joined["right_child"][first_split : self._first_leaf] = places[split_nodes["right_child"] + start]
        joined["left_child"][self._first_leaf :] = _LEAF
        self._tree = tree_of(joined, columns + 1)
        self._numbers = np.arange(len(trees), dtype=np.float32)

    def total(self, matrix: Any) -> Any:
        """Return the sum of the trees' answers, in their order: rows × answers. `matrix` is float32."""
        leaves = self._tree.apply(repeated(matrix, self._numbers)) - self._first_leaf
        answers = self._answers.take(leaves, axis=0).reshape(len(self._numbers), len(matrix), -1)
        return np.add.accumulate(answers, axis=0)[-1]


class JoinedHistogramTrees:
    """The trees of a HistGradientBoosting as one: as much memory as their nodes take."""

    def __init__(self, histograms: HistogramTrees, columns: int) -> None:
        trees = [tree for iteration in histograms.trees for tree in iteration]
        first = len(trees) - 1
        starts = np.cumsum([first, *(len(tree.nodes) for tree in trees)]).tolist()
        categories = [tree.raw_left_cat_bitsets for tree in trees]
        first_categories = np.cumsum([0, *map(len, categories)]).tolist()
        ways = splits_to(starts[:-1])
        self._nodes = np.zeros(starts[-1], dtype=trees[0].nodes.dtype)
        self._nodes["feature_idx"][:first] = columns
        self._nodes["left"][:first], self._nodes["right"][:first], self._nodes["num_threshold"][:first] = ways.T
        for tree, start, end, first_category in zip(trees, starts, starts[1:], first_categories, strict=False):
            tree_nodes = self._nodes[start:end]
            tree_nodes[...] = tree.nodes
            tree_nodes["left"] += start
            tree_nodes["right"] += start
            tree_nodes["bitset_idx"] += first_category
        self._categories = np.concatenate(categories)
        self._histograms = histograms
        self._numbers = np.arange(len(trees), dtype=np.float64)
        self._start = histograms.baseline.reshape(-1, 1)

    @classmethod
    def of(cls, histograms: HistogramTrees, columns: int) -> JoinedHistogramTrees | None:
        """Join the trees, unless they are too large."""
        size = sum(tree.nodes.nbytes for iteration in histograms.trees for tree in iteration)
        return cls(histograms, columns) if size <= _MOST_BYTES else None

    def total(self, matrix: Any) -> Any:
        """Return the sum of the baseline and the trees' answers, in their order: rows × columns of the answer, which
        is in Fortran order, as the estimator's own. `matrix` is float64."""
        answers = np.empty(len(self._numbers) * len(matrix))
        self._histograms.predict(self._nodes, self._categories, repeated(matrix, self._numbers), answers)
        stages = answers.reshape(-1, len(self._start), len(matrix))
        stages[0] += self._start
        return np.add.accumulate(stages, axis=0)[-1].T


def can_join(trees: Sequence[Any]) -> bool:
    """Return whether the trees of a forest may be joined. About a half of their nodes are splits, which are copied."""
    return can_join_trees() and sum(tree.node_count for tree in trees) // 2 * _NODE_BYTES <= _MOST_BYTES


def is_small(matrix: Any) -> bool:
    """Return whether joined trees answer a batch faster than each tree."""
    rows, columns = matrix.shape
    return bool(rows * (columns + _ROW) <= _MOST_NUMBERS)


def repeated(matrix: Any, numbers: Any) -> Any:
    """Return the rows for each tree, with its number as the last column: all rows for the first tree come first."""
    rows, columns = matrix.shape
    whole = np.empty((len(numbers), rows, columns + 1), dtype=matrix.dtype)
    whole[:, :, :-1] = matrix
    whole[:, :, -1] = numbers[:, np.newaxis]
    return whole.reshape(-1, columns + 1)


def splits_to(roots: Sequence[int]) -> Any:
    """Return the splits that lead to the root of each tree by its number: splits × (place of the node to the left, to
    the right, threshold). The first one is the root of all, and their places are their numbers."""
    splits = np.empty((len(roots) - 1, 3))
    free = iter(range(len(splits)))

    def split(first: int, end: int) -> int:
        if end - first == 1:
            return roots[first]
        index, middle = next(free), (first + end) // 2
        splits[index] = split(first, middle), split(middle, end), middle - 0.5
        return index

    split(0, len(roots))
    return splits


def _distinct(values: Any) -> tuple[Any, Any]:
    """Return distinct rows, and for each row its place among them."""
    keys = values @ np.linspace(1, np.e, values.shape[1])  # sorting one number is ten times as fast as sorting rows
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    distinct = values[first]
    return (distinct, index) if np.array_equal(distinct[index], values) else (values, np.arange(len(values)))
