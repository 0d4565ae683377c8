"""Kernels of forests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn import ensemble

from modelgate_kernels.joined_trees import JoinedForest, can_join, is_small
from modelgate_kernels.kernel import Kernel, number_rows
from modelgate_kernels.sklearn_internals.trees import (
    add_trees,
    can_add_trees,
    can_check_forest_rows,
    forest_rows,
    isolation_depths,
    isolation_mean,
)
from modelgate_kernels.threads import in_threads
from modelgate_kernels.trees import allows_nan, float32_rows, has_nan

MANY = 512
"""Rows from which on it pays to put similar ones next to each other: the processor then foresees most branches."""


class ForestKernel(Kernel):
    """`raw` is rows × classes (for a regressor × 1): the sum of the trees' answers, in their order, over their number.

    A forest's own methods do the same, but make each tree a task and check the matrix again for each: 3.0 ms for 100
    trees and one row, instead of 0.3.
    """

    def __init__(self, forest: Any) -> None:
        self._forest = forest
        self._trees = [tree.tree_ for tree in forest.estimators_]
        self._width = getattr(forest, "n_classes_", 1)
        self._allows_nan = allows_nan(forest.estimators_[0])

    def raw(self, matrix: Any) -> Any:
        if isinstance(matrix, np.ndarray):
            matrix = float32_rows(matrix, self._forest.n_features_in_, self._allows_nan)
        else:
            matrix = forest_rows(self._forest, matrix)
        total = self._add_up_many(matrix) if matrix.shape[0] >= MANY else self.add_up(matrix)
        total /= len(self._trees)
        return total

    def _add_up_many(self, matrix: Any) -> Any:
        """Add up the rows by the leaf of the first tree, so that most take the branches of the row before."""
        order = self._trees[0].apply(matrix).argsort(kind="stable")
        total = np.empty((matrix.shape[0], self._width))
        total[order] = in_threads(self.add_up, matrix[order])
        return total

    def add_up(self, matrix: Any) -> Any:
        """Return the sum of the trees' answers, in their order. `matrix` is float32."""
        total = np.zeros((matrix.shape[0], self._width))
        for tree in self._trees:
            total += tree.predict(matrix)
        return total


class ForestClassifierKernel(ForestKernel):
    """A small batch gets its answers from all trees at once, if they are not too large."""

    def __init__(self, forest: Any) -> None:
        super().__init__(forest)
        self._joined = (
            JoinedForest(self._trees, forest.n_features_in_, [tree.value[:, 0] for tree in self._trees])
            if can_join(self._trees)
            else None
        )

    def add_up(self, matrix: Any) -> Any:
        if self._joined and isinstance(matrix, np.ndarray) and is_small(matrix):
            return self._joined.total(matrix)
        return super().add_up(matrix)

    def predict(self, raw: Any) -> Any:
        return self._forest.classes_.take(raw.argmax(axis=1))

    def predict_proba(self, raw: Any) -> Any:
        return raw


class ForestRegressorKernel(ForestKernel):
    """The trees of regressors have one number a leaf, as those of GradientBoosting, and are added as fast as those."""

    def __init__(self, forest: Any) -> None:
        super().__init__(forest)
        self._stages = np.empty((len(forest.estimators_), 1), dtype=object)
        self._stages[:, 0] = forest.estimators_

    def add_up(self, matrix: Any) -> Any:
        if not can_add_trees() or not isinstance(matrix, np.ndarray) or has_nan(matrix):
            return super().add_up(matrix)
        total = np.zeros((len(matrix), 1))
        add_trees(self._stages, np.ascontiguousarray(matrix), 1.0, total)
        return total

    def predict(self, raw: Any) -> Any:
        return raw[:, 0]


class IsolationForestKernel(Kernel):
    """`raw` is what `decision_function` returns: the mean depth of a row's leaves as a score between -1 and 0, less the
    offset. NaN and infinities are values like others."""

    def __init__(self, forest: Any) -> None:
        self._forest = forest
        self._trees = [tree.tree_ for tree in forest.estimators_]
        self._depths = isolation_depths(forest)
        self._denominator = len(self._trees) * isolation_mean(forest)
        self._joined = (
            JoinedForest(
                self._trees,
                forest.n_features_in_,
                [(depths + below - 1.0).reshape(-1, 1) for depths, below in self._depths],
            )
            if can_join(self._trees)
            else None
        )

    def raw(self, matrix: Any) -> Any:
        matrix = number_rows(matrix, self._forest.n_features_in_, np.float32)
        depths, denominator = self._total(matrix), self._denominator
        scores = 2 ** -np.divide(depths, denominator, out=np.ones_like(depths), where=denominator != 0)
        return -scores - self._forest.offset_

    def _total(self, matrix: Any) -> Any:
        if self._joined and is_small(matrix):
            return self._joined.total(matrix)[:, 0]
        total = np.zeros(len(matrix))
        for tree, (depths, below) in zip(self._trees, self._depths, strict=True):
            leaves = tree.apply(matrix)
            total += depths[leaves] + below[leaves] - 1.0
        return total

    def predict(self, raw: Any) -> Any:
        return np.where(raw < 0, -1, 1)

    def decision_function(self, raw: Any) -> Any:
        return raw


def _classifier(forest: Any) -> Kernel | None:
    return ForestClassifierKernel(forest) if _has_one_output(forest) else None


def _regressor(forest: Any) -> Kernel | None:
    return ForestRegressorKernel(forest) if _has_one_output(forest) else None


def _has_one_output(forest: Any) -> bool:
    return can_check_forest_rows() and forest.n_outputs_ == 1


def _isolation_forest(forest: Any) -> Kernel | None:
    """Return no kernel if the trees see some of the columns only."""
    sees_all = all(len(columns) == forest.n_features_in_ for columns in forest.estimators_features_)
    return IsolationForestKernel(forest) if sees_all else None


KERNELS: Mapping[type, Callable[[Any], Kernel | None]] = {
    ensemble.RandomForestClassifier: _classifier,
    ensemble.ExtraTreesClassifier: _classifier,
    ensemble.RandomForestRegressor: _regressor,
    ensemble.ExtraTreesRegressor: _regressor,
    ensemble.IsolationForest: _isolation_forest,
}
