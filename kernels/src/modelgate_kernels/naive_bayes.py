"""Kernels of naive Bayes classifiers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB

from modelgate_kernels.kernel import Kernel, NotCovered, finite
from modelgate_kernels.products import product


class NaiveBayesKernel(Kernel):
    """`raw` is rows × classes: the logarithm of the joint probability of a row and a class."""

    def __init__(self, estimator: Any) -> None:
        self._classes = estimator.classes_

    def predict(self, raw: Any) -> Any:
        return self._classes.take(raw.argmax(axis=1))

    def predict_proba(self, raw: Any) -> Any:
        return np.exp(raw - _log_sum(raw))


class GaussianKernel(NaiveBayesKernel):
    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        self._means, self._variances = estimator.theta_, estimator.var_
        self._priors = [np.log(prior) for prior in estimator.class_prior_]
        self._norms = [-0.5 * np.sum(np.log(2.0 * np.pi * variances)) for variances in estimator.var_]

    def raw(self, matrix: Any) -> Any:
        finite(matrix)
        parts = zip(self._priors, self._norms, self._means, self._variances, strict=True)
        return np.stack(
            [
                prior + (norm - 0.5 * np.sum((matrix - means) ** 2 / variances, axis=1))
                for prior, norm, means, variances in parts
            ]
        ).T


class MultinomialKernel(NaiveBayesKernel):
    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        self._coefficients = estimator.feature_log_prob_.T
        self._priors = estimator.class_log_prior_

    def raw(self, matrix: Any) -> Any:
        return product(finite(matrix, accept_csr=True), self._coefficients) + self._priors


class ComplementKernel(NaiveBayesKernel):
    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        self._coefficients = estimator.feature_log_prob_.T

    def raw(self, matrix: Any) -> Any:
        return product(finite(matrix, accept_csr=True), self._coefficients)


class BernoulliKernel(NaiveBayesKernel):
    """Each column is present where it is above `binarize`. Keeps coefficients that the estimator computes again for
    each of its answers."""

    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        absent = np.log(1 - np.exp(estimator.feature_log_prob_))
        self._threshold = estimator.binarize
        self._coefficients = (estimator.feature_log_prob_ - absent).T
        self._priors = estimator.class_log_prior_ + absent.sum(axis=1)

    def raw(self, matrix: Any) -> Any:
        finite(matrix, accept_csr=True)
        joint = product(matrix if self._threshold is None else self._present(matrix), self._coefficients)
        joint += self._priors
        return joint

    def _present(self, matrix: Any) -> Any:
        if type(matrix) is np.ndarray:
            return (matrix > self._threshold).astype(matrix.dtype)
        present = matrix.copy()
        present.data = (matrix.data > self._threshold).astype(matrix.dtype)
        present.eliminate_zeros()
        return present


class CategoricalKernel(NaiveBayesKernel):
    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        self._columns = [logarithms.T for logarithms in estimator.feature_log_prob_]
        self._priors = estimator.class_log_prior_

    def raw(self, matrix: Any) -> Any:
        categories = finite(matrix).astype(np.int64)
        if categories.shape[1] != len(self._columns) or (categories < 0).any():
            raise NotCovered
        joint = np.zeros((len(matrix), len(self._classes)))
        for column, logarithms in enumerate(self._columns):
            joint += logarithms[categories[:, column]]
        return joint + self._priors


def _log_sum(joint: Any) -> Any:
    """Return the logarithm of the sum of the probabilities of each row, rows × 1, as scikit-learn's `_logsumexp`
    computes it: without those of the greatest, which are added last."""
    greatest = joint.max(axis=1, keepdims=True)
    is_greatest = joint == greatest
    others = joint.copy(order="K")
    others[is_greatest] = -np.inf
    count = is_greatest.astype(joint.dtype).sum(axis=1, keepdims=True)
    total = np.exp(others - np.where(np.isfinite(greatest), greatest, 0)).sum(axis=1, keepdims=True)
    total = np.where(total == 0, total, total / count)
    return np.log1p(total) + np.log(count) + greatest


def _complement(estimator: Any) -> Kernel:
    return ComplementKernel(estimator) if len(estimator.classes_) > 1 else MultinomialKernel(estimator)


KERNELS: Mapping[type, Callable[[Any], Kernel | None]] = {
    GaussianNB: GaussianKernel,
    MultinomialNB: MultinomialKernel,
    ComplementNB: _complement,
    BernoulliNB: BernoulliKernel,
    CategoricalNB: CategoricalKernel,
}
