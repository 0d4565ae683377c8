"""Kernels of linear models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn import linear_model
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.svm import LinearSVC, LinearSVR

from modelgate_kernels.kernel import Kernel, KernelOf, finite
from modelgate_kernels.products import product
from modelgate_kernels.sklearn_internals import has_one_label


class LinearKernel(Kernel):
    """`raw` is the product with the coefficients plus the intercept: rows, or rows × outputs."""

    def __init__(self, estimator: Any) -> None:
        self._coefficients = estimator.coef_.T
        self._intercept = estimator.intercept_

    def raw(self, matrix: Any) -> Any:
        return product(finite(matrix, accept_csr=True), self._coefficients) + self._intercept


class GeneralizedLinearKernel(LinearKernel):
    """A linear model with a link, which turns integers into floats first."""

    def __init__(self, estimator: Any, has_log_link: bool) -> None:
        super().__init__(estimator)
        self._has_log_link = has_log_link

    def raw(self, matrix: Any) -> Any:
        if matrix.dtype not in (np.float64, np.float32):
            matrix = finite(matrix, accept_csr=True).astype(np.float64)
        return super().raw(matrix)

    def predict(self, raw: Any) -> Any:
        return np.exp(raw) if self._has_log_link else raw


class LinearOutlierKernel(Kernel):
    """`raw` is the distance from the plane, of rows."""

    def __init__(self, estimator: Any) -> None:
        self._coefficients = estimator.coef_.T
        self._offset = estimator.offset_

    def raw(self, matrix: Any) -> Any:
        return (product(finite(matrix, accept_csr=True), self._coefficients) - self._offset).ravel()

    def predict(self, raw: Any) -> Any:
        return np.where(raw >= 0, np.int32(1), np.int32(-1))

    def decision_function(self, raw: Any) -> Any:
        return raw


class LinearClassifierKernel(LinearKernel):
    """`raw` is the decision: rows, or rows × classes if there are more than two."""

    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        self._classes = estimator.classes_

    def raw(self, matrix: Any) -> Any:
        decision = super().raw(matrix)
        return decision.reshape(-1) if decision.ndim > 1 and decision.shape[1] == 1 else decision

    def predict(self, raw: Any) -> Any:
        return self._classes.take(raw > 0 if raw.ndim == 1 else raw.argmax(axis=1))

    def decision_function(self, raw: Any) -> Any:
        return raw


class SoftmaxKernel(LinearClassifierKernel):
    """Several classes share one distribution, as for a LogisticRegression."""

    def predict_proba(self, raw: Any) -> Any:
        return _of_two(expit(raw)) if raw.ndim == 1 else softmax(raw)


class LogisticOneVsRestKernel(LinearClassifierKernel):
    """Each of several classes has a probability of its own, and these are divided by their sum."""

    def predict_proba(self, raw: Any) -> Any:
        return _of_two(expit(raw)) if raw.ndim == 1 else _normalized(expit(raw))


class ModifiedHuberKernel(LinearClassifierKernel):
    """As the one above, with decisions between -1 and 1 for probabilities between 0 and 1."""

    def predict_proba(self, raw: Any) -> Any:
        shares = np.clip(raw, -1, 1)
        shares += 1.0
        shares /= 2.0
        return _of_two(shares) if raw.ndim == 1 else _normalized(shares)


def softmax(decision: Any) -> Any:
    """Return probabilities: rows × classes."""
    shares = decision - decision.max(axis=1, keepdims=True)
    np.exp(shares, out=shares)
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def _of_two(second: Any) -> Any:
    """Return the probabilities of two classes from those of the second: rows × 2."""
    both = np.empty((len(second), 2), second.dtype)
    np.subtract(1, second, out=both[:, 0])
    both[:, 1] = second
    return both


def _normalized(shares: Any) -> Any:
    """Divide each row by its sum, in place; a row of zeros becomes equal shares."""
    total = shares.sum(axis=1)
    none = total == 0
    if none.any():
        shares[none] = 1
        total[none] = shares.shape[1]
    shares /= total[:, np.newaxis]
    return shares


def _regressor(estimator: Any) -> Kernel | None:
    return LinearKernel(estimator) if type(estimator.coef_) is np.ndarray else None


def _tweedie(estimator: Any) -> Kernel:
    has_log_link = estimator.power > 0 if estimator.link == "auto" else estimator.link == "log"
    return GeneralizedLinearKernel(estimator, has_log_link)


def _log_link(estimator: Any) -> Kernel:
    return GeneralizedLinearKernel(estimator, has_log_link=True)


def _ransac(estimator: Any, kernel_of: KernelOf) -> Kernel | None:
    inner = kernel_of(estimator.estimator_)
    return inner if inner.takes_arrays else None


def _linear_classifier(estimator: Any) -> Kernel | None:
    return _classifier(LinearClassifierKernel, estimator)


def _ridge_classifier(estimator: Any) -> Kernel | None:
    return _linear_classifier(estimator) if has_one_label(estimator) else None


def _softmax(estimator: Any) -> Kernel | None:
    return _classifier(SoftmaxKernel, estimator)


def _sgd_classifier(estimator: Any) -> Kernel | None:
    return _classifier(_OF_LOSS.get(estimator.loss, LinearClassifierKernel), estimator)


def _classifier(kernel: type[LinearClassifierKernel], estimator: Any) -> Kernel | None:
    # Two classes with a decision for each go other ways.
    decisions, classes = 1 if estimator.coef_.ndim == 1 else estimator.coef_.shape[0], len(estimator.classes_)
    return kernel(estimator) if decisions == (1 if classes == 2 else classes) else None


_OF_LOSS: Mapping[str, type[LinearClassifierKernel]] = {
    "log_loss": LogisticOneVsRestKernel,
    "modified_huber": ModifiedHuberKernel,
}

_REGRESSORS = (
    linear_model.ARDRegression,
    linear_model.BayesianRidge,
    linear_model.ElasticNet,
    linear_model.ElasticNetCV,
    linear_model.HuberRegressor,
    linear_model.Lars,
    linear_model.LarsCV,
    linear_model.Lasso,
    linear_model.LassoCV,
    linear_model.LassoLars,
    linear_model.LassoLarsCV,
    linear_model.LassoLarsIC,
    linear_model.LinearRegression,
    LinearSVR,
    linear_model.MultiTaskElasticNet,
    linear_model.MultiTaskElasticNetCV,
    linear_model.MultiTaskLasso,
    linear_model.MultiTaskLassoCV,
    linear_model.OrthogonalMatchingPursuit,
    linear_model.OrthogonalMatchingPursuitCV,
    linear_model.PassiveAggressiveRegressor,
    linear_model.QuantileRegressor,
    linear_model.Ridge,
    linear_model.RidgeCV,
    linear_model.SGDRegressor,
    linear_model.TheilSenRegressor,
)

KERNELS: Mapping[type, Callable[[Any], Kernel | None]] = {
    **dict.fromkeys(_REGRESSORS, _regressor),
    **dict.fromkeys((LinearSVC, linear_model.PassiveAggressiveClassifier, linear_model.Perceptron), _linear_classifier),
    **dict.fromkeys((linear_model.RidgeClassifier, linear_model.RidgeClassifierCV), _ridge_classifier),
    **dict.fromkeys((linear_model.LogisticRegression, linear_model.LogisticRegressionCV), _softmax),
    LinearDiscriminantAnalysis: _softmax,
    **dict.fromkeys((linear_model.PoissonRegressor, linear_model.GammaRegressor), _log_link),
    linear_model.TweedieRegressor: _tweedie,
    linear_model.SGDClassifier: _sgd_classifier,
    linear_model.SGDOneClassSVM: LinearOutlierKernel,
}
ENSEMBLES: Mapping[type, Callable[[Any, KernelOf], Kernel | None]] = {linear_model.RANSACRegressor: _ransac}
