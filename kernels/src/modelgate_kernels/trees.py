"""Kernels of single trees, and what they share with those of ensembles of trees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor
from sklearn.utils import get_tags

from modelgate_kernels.kernel import Kernel, NotCovered, number_rows


class TreeKernel(Kernel):
    """`raw` is rows × classes (for a regressor × 1): what is in the leaf of each row."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        self._tree = estimator.tree_
        self._allows_nan = allows_nan(estimator)

    def raw(self, matrix: Any) -> Any:
        return self._tree.predict(float32_rows(matrix, self._estimator.n_features_in_, self._allows_nan))


class TreeClassifierKernel(TreeKernel):
    def predict(self, raw: Any) -> Any:
        return self._estimator.classes_.take(raw.argmax(axis=1))

    def predict_proba(self, raw: Any) -> Any:
        return raw


class TreeRegressorKernel(TreeKernel):
    def predict(self, raw: Any) -> Any:
        return raw[:, 0]


def allows_nan(tree: Any) -> bool:
    """Return whether a fitted tree has learned where rows with NaN go."""
    return bool(get_tags(tree).input_tags.allow_nan)


def float32_rows(matrix: Any, columns: int, nan_allowed: bool) -> Any:
    """Return the matrix as trees compare it. Raises `NotCovered` as `number_rows`, and if a number is infinite as
    float32, or NaN where that is not allowed."""
    rows = number_rows(matrix, columns, np.float32)
    if not np.isfinite(rows).all() and (not nan_allowed or np.isinf(rows).any()):
        raise NotCovered
    return rows


def has_nan(matrix: Any) -> bool:
    return bool(np.isnan(matrix).any())


def _classifier(estimator: Any) -> Kernel | None:
    return TreeClassifierKernel(estimator) if estimator.n_outputs_ == 1 else None


def _regressor(estimator: Any) -> Kernel | None:
    return TreeRegressorKernel(estimator) if estimator.n_outputs_ == 1 else None


KERNELS: Mapping[type, Callable[[Any], Kernel | None]] = {
    DecisionTreeClassifier: _classifier,
    ExtraTreeClassifier: _classifier,
    DecisionTreeRegressor: _regressor,
    ExtraTreeRegressor: _regressor,
}
