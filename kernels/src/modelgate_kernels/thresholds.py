"""Rows at the thresholds of trees, where a rounding error takes the other branch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from modelgate_kernels.splits import Tree, trees_of

_ROWS = 128
_SEED = 0
_AROUND = 6
"""The values at a threshold: itself and its neighbours as float64, and as float32, which most trees compare."""


def threshold_rows(estimator: Any, count: int | None = _ROWS) -> Any | None:
    """Return a matrix of which each row reaches a split of a tree with a value at the split's threshold, or next to it:
    `count` rows for random splits, or rows for all splits and all such values if it is None. The other values of a row
    are at the thresholds of their columns. None for an estimator without trees."""
    draw = np.random.default_rng(_SEED)
    trees = [tree for tree in trees_of(estimator) if tree.splits.size]
    if not trees:
        return None
    if count is not None and len(trees) > count:
        trees = [trees[index] for index in draw.choice(len(trees), count, replace=False)]
    reached = list(chain.from_iterable(_reached(tree, draw, count and -(-count // len(trees))) for tree in trees))
    reached = reached if count is None else reached[:count]
    chosen = np.tile(np.arange(_AROUND), len(reached)) if count is None else draw.integers(_AROUND, size=len(reached))
    rows_per_split = len(chosen) // len(reached)
    matrix = _at_any_threshold(trees, len(chosen), estimator.n_features_in_, draw)
    for index, (column, threshold, path) in enumerate(reached):
        rows = slice(index * rows_per_split, (index + 1) * rows_per_split)
        for other, value in path.items():
            matrix[rows, other] = value
        matrix[rows, column] = _around(threshold)[chosen[rows]]
    return matrix


def _reached(tree: Tree, draw: Any, count: int | None) -> Iterator[tuple[int, float, Mapping[int, float]]]:
    """Yield for each split, or for `count` random ones, its column and threshold, and values of columns with which a
    row gets there."""
    parents = np.full(len(tree.columns), -1)
    parents[tree.left[tree.splits]] = parents[tree.right[tree.splits]] = tree.splits
    for split in tree.splits if count is None else draw.permutation(tree.splits)[:count]:
        above: dict[int, float] = {}
        below: dict[int, float] = {}
        node = split
        while (parent := parents[node]) >= 0:
            column, threshold = int(tree.columns[parent]), float(tree.thresholds[parent])
            if tree.left[parent] == node:
                below[column] = min(below.get(column, np.inf), threshold)
            else:
                above[column] = max(above.get(column, -np.inf), threshold)
            node = parent
        path = {column: _between(above.get(column), below.get(column)) for column in above.keys() | below.keys()}
        yield int(tree.columns[split]), tree.thresholds[split], path


def _between(above: float | None, below: float | None) -> float:
    if above is None or below is None:
        return below - abs(below) - 1 if below is not None else (above or 0.0) + abs(above or 0.0) + 1
    return (above + below) / 2


def _at_any_threshold(trees: Sequence[Tree], rows: int, width: int, draw: Any) -> Any:
    """Return a matrix in which each value is at a threshold of its column; zeros in columns without one."""
    matrix = np.zeros((rows, width))
    columns = np.concatenate([tree.columns[tree.splits] for tree in trees])
    thresholds = np.concatenate([tree.thresholds[tree.splits] for tree in trees])
    for column in np.unique(columns):
        at = draw.choice(thresholds[columns == column], rows)
        matrix[:, column] = np.choose(draw.integers(_AROUND, size=rows), _around(at))
    return matrix


def _around(threshold: Any) -> Any:
    """Return the values at thresholds: 6 for each."""
    single = np.asarray(threshold, dtype=np.float32)
    return np.array(
        [
            threshold,
            np.nextafter(threshold, np.inf),
            np.nextafter(threshold, -np.inf),
            single,
            np.nextafter(single, np.float32(np.inf)),
            np.nextafter(single, np.float32(-np.inf)),
        ],
        dtype=np.float64,
    )
