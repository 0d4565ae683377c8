"""Kernels of gradient boosting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn import ensemble
from sklearn.dummy import DummyClassifier, DummyRegressor

from modelgate_kernels.joined_trees import JoinedHistogramTrees, is_small
from modelgate_kernels.kernel import Kernel, NotCovered, number_rows
from modelgate_kernels.leaf_masks import LeafMasks
from modelgate_kernels.sklearn_internals.trees import (
    HistogramTrees,
    add_trees,
    boosting_loss,
    boosting_start,
    can_add_trees,
    can_read_histogram_trees,
    can_start_boosting,
)
from modelgate_kernels.trees import float32_rows


class GradientBoostingKernel(Kernel):
    """`raw` is rows × classes, or × 1 for two classes and for numbers: what `init_` predicts, and the trees' answers
    times the learning rate, added in their order."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        self._loss = boosting_loss(estimator)
        self._start = self._start_of_all()

    def raw(self, matrix: Any) -> Any:
        rows = np.ascontiguousarray(float32_rows(matrix, self._estimator.n_features_in_, nan_allowed=False))
        start = self._start
        total = boosting_start(self._estimator, rows) if start is None else start.repeat(len(rows), axis=0)
        add_trees(self._estimator.estimators_, rows, self._estimator.learning_rate, total)
        return total

    def _start_of_all(self) -> Any:
        """Return what the trees add to for any row: 1 × columns of the answer; None if it depends on the row."""
        init, columns = self._estimator.init_, self._estimator.n_features_in_
        if isinstance(init, str):  # "zero"
            return np.zeros((1, self._estimator.n_trees_per_iteration_))
        is_constant = type(init) is DummyRegressor or (type(init) is DummyClassifier and init.strategy == "prior")
        return boosting_start(self._estimator, np.zeros((1, columns), dtype=np.float32)) if is_constant else None


class GradientBoostingClassifierKernel(GradientBoostingKernel):
    def predict(self, raw: Any) -> Any:
        chosen = raw.argmax(axis=1) if raw.shape[1] > 1 else (raw.ravel() >= 0).astype(np.intp)
        return self._estimator.classes_.take(chosen)

    def predict_proba(self, raw: Any) -> Any:
        return self._loss.predict_proba(self.decision_function(raw))

    def decision_function(self, raw: Any) -> Any:
        return raw if raw.shape[1] > 1 else raw.ravel()


class GradientBoostingRegressorKernel(GradientBoostingKernel):
    def predict(self, raw: Any) -> Any:
        return raw.ravel()


class HistGradientBoostingKernel(Kernel):
    """`raw` is rows × classes, or × 1 for two classes and for numbers: the baseline and the trees' answers, added in
    their order. Infinities and NaN are values like others."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        self._histograms = HistogramTrees(estimator)
        self._joined = JoinedHistogramTrees.of(self._histograms, estimator.n_features_in_)
        self._masks = LeafMasks.of(self._histograms)
        self._encode = self._encoder()
        self.takes_arrays = self._histograms.preprocessor is None or self._encode is not None

    def raw(self, matrix: Any) -> Any:
        matrix = self._rows(matrix)
        if self._masks and self._masks.pays_for(matrix):
            return self._masks.total(matrix)
        if self._joined and is_small(matrix):
            return self._joined.total(matrix)
        histograms = self._histograms
        total = np.zeros((len(matrix), histograms.baseline.shape[1]), order="F")
        total += histograms.baseline
        answers = np.empty(len(matrix))
        for iteration in histograms.trees:
            for column, tree in enumerate(iteration):
                histograms.predict(tree.nodes, tree.raw_left_cat_bitsets, matrix, answers)
                total[:, column] += answers
        return total

    def _rows(self, matrix: Any) -> Any:
        is_array = isinstance(matrix, np.ndarray)
        if self._encode and is_array and matrix.dtype == np.float64:
            return self._encode(number_rows(matrix, self._estimator.n_features_in_, np.float64))
        if self._histograms.preprocessor is not None:
            return self._histograms.preprocessor.transform(matrix)
        return number_rows(matrix, self._estimator.n_features_in_, np.float64)

    def _encoder(self) -> Callable[[Any], Any] | None:
        """Return what encodes categories as the preprocessor does: their columns come first, with the places of the
        categories instead of them, and NaN for unknown ones. None if there are none, or some are no numbers."""
        if self._histograms.preprocessor is None:
            return None
        categories, is_categorical = self._histograms.categories(), self._estimator.is_categorical_
        if any(known.dtype != np.float64 or not len(known) for known in categories):
            return None
        columns, others = np.flatnonzero(is_categorical), np.flatnonzero(~is_categorical)

        def encode(matrix: Any) -> Any:
            values = matrix[:, columns]
            if np.isinf(values).any():
                raise NotCovered
            encoded = np.empty(matrix.shape)
            for column, known in enumerate(categories):
                at = np.minimum(known.searchsorted(values[:, column]), len(known) - 1)
                encoded[:, column] = np.where(known[at] == values[:, column], at, np.nan)
            encoded[:, len(columns) :] = matrix[:, others]
            return encoded

        return encode


class HistGradientBoostingClassifierKernel(HistGradientBoostingKernel):
    def predict(self, raw: Any) -> Any:
        chosen = raw.argmax(axis=1) if raw.shape[1] > 1 else (raw.ravel() > 0).astype(np.intp)
        return self._estimator.classes_.take(chosen)

    def predict_proba(self, raw: Any) -> Any:
        return self._histograms.loss.predict_proba(raw)

    def decision_function(self, raw: Any) -> Any:
        return raw if raw.shape[1] > 1 else raw.ravel()


class HistGradientBoostingRegressorKernel(HistGradientBoostingKernel):
    def predict(self, raw: Any) -> Any:
        return self._histograms.loss.link.inverse(raw.ravel())


def _stages(kernel: Callable[[Any], Kernel]) -> Callable[[Any], Kernel | None]:
    return lambda estimator: kernel(estimator) if can_add_trees() and can_start_boosting() else None


def _histograms(kernel: Callable[[Any], Kernel]) -> Callable[[Any], Kernel | None]:
    return lambda estimator: kernel(estimator) if can_read_histogram_trees() else None


KERNELS: Mapping[type, Callable[[Any], Kernel | None]] = {
    ensemble.GradientBoostingClassifier: _stages(GradientBoostingClassifierKernel),
    ensemble.GradientBoostingRegressor: _stages(GradientBoostingRegressorKernel),
    ensemble.HistGradientBoostingClassifier: _histograms(HistGradientBoostingClassifierKernel),
    ensemble.HistGradientBoostingRegressor: _histograms(HistGradientBoostingRegressorKernel),
}
