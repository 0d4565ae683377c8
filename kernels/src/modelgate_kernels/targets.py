"""Kernels of estimators that turn the answers of another one into predictions of the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from modelgate_kernels.kernel import Delegating, InnerKernels, Kernel, NotCovered, Transform, finite
from modelgate_kernels.sklearn_internals import tuned_positive_class


class TransformedTargetKernel(Delegating):
    def __init__(self, inner: Kernel, inverse: Transform) -> None:
        super().__init__(inner)
        self._inverse = inverse

    def predict(self, raw: Any) -> Any:
        values = self._inverse(self._inner.predict(raw).reshape(-1, 1))
        return values.squeeze(axis=1) if values.ndim == 2 and values.shape[1] == 1 else values


class ThresholdKernel(Delegating):
    """`raw` is that of the classifier's kernel, and what the classifier's `method` answers. A score of at least
    `threshold` means the class at the place `positive`."""

    def __init__(self, inner: Kernel, classes: Any, method: str, threshold: float, positive: int) -> None:
        super().__init__(inner)
        self._method = method
        self._threshold = threshold
        self._positive = positive
        self._classes = classes if positive else classes[::-1]

    def raw(self, matrix: Any) -> Any:
        raw = self._inner.raw(matrix)
        return raw, getattr(self._inner, self._method)(raw)

    def predict(self, raw: Any) -> Any:
        return self._classes[(self._scores(raw[1]) >= self._threshold).astype(int)]

    def _scores(self, answers: Any) -> Any:
        if answers.ndim == 2:
            return answers[:, self._positive]
        return answers if self._positive else -1 * answers

    def predict_proba(self, raw: Any) -> Any:
        return self._answer("predict_proba", raw)

    def decision_function(self, raw: Any) -> Any:
        return self._answer("decision_function", raw)

    def _answer(self, method: str, raw: Any) -> Any:
        inner, answers = raw
        return answers if method == self._method else getattr(self._inner, method)(inner)


def _transformed_target(estimator: Any, inner: InnerKernels) -> Kernel | None:
    transformer = estimator.transformer_
    if getattr(transformer, "n_features_in_", 1) != 1:
        return None
    return TransformedTargetKernel(inner.of_member(estimator.regressor_), _inverse(transformer))


def _inverse(transformer: Any) -> Transform:
    """Return what does the work of `inverse_transform` on a matrix of one column."""
    if type(transformer) is FunctionTransformer and transformer.validate and transformer.inverse_func:
        function, options = transformer.inverse_func, transformer.inv_kw_args or {}
        return lambda values: function(finite(values), **options)
    if type(transformer) is StandardScaler and transformer.with_mean and transformer.with_std:
        mean, scale = transformer.mean_, transformer.scale_

        def unscaled(values: Any) -> Any:
            if values.dtype != np.float64:
                raise NotCovered
            return finite(values) * scale + mean

        return unscaled
    return transformer.inverse_transform  # type: ignore[no-any-return]


def _fixed_threshold(estimator: Any, inner: InnerKernels) -> Kernel | None:
    classifier = getattr(estimator, "estimator_", estimator.estimator)
    threshold = estimator.threshold
    if threshold == "auto":
        threshold = 0.5 if _response_method(estimator, classifier) == "predict_proba" else 0.0
    return _threshold(estimator, classifier, threshold, estimator.pos_label, inner)


def _tuned_threshold(estimator: Any, inner: InnerKernels) -> Kernel | None:
    positive = tuned_positive_class(estimator)
    return _threshold(estimator, estimator.estimator_, estimator.best_threshold_, positive, inner)


def _threshold(estimator: Any, classifier: Any, threshold: float, positive: Any, inner: InnerKernels) -> Kernel | None:
    classes = estimator.classes_
    if len(classes) != 2:
        return None
    index = 1 if positive is None else classes.tolist().index(positive)
    return ThresholdKernel(
        inner.of_member(classifier), classes, _response_method(estimator, classifier), threshold, index
    )


def _response_method(estimator: Any, classifier: Any) -> str:
    if estimator.response_method != "auto":
        return str(estimator.response_method)
    return "predict_proba" if hasattr(classifier, "predict_proba") else "decision_function"


KERNELS: Mapping[type, Callable[[Any, InnerKernels], Kernel | None]] = {
    TransformedTargetRegressor: _transformed_target,
    FixedThresholdClassifier: _fixed_threshold,
    TunedThresholdClassifierCV: _tuned_threshold,
}
