"""Kernels of quadratic discriminant analysis; the linear one is among the linear models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

from modelgate_kernels.kernel import Kernel, NotCovered, finite


class QuadraticKernel(Kernel):
    """`raw` is rows × classes: the logarithm of the posterior probability, up to a constant of the row."""

    def __init__(self, estimator: Any) -> None:
        self._classes = estimator.classes_
        self._parts = [*zip(estimator.means_, estimator.rotations_, estimator.scalings_, strict=True)]
        self._norms = np.asarray([np.sum(np.log(scaling)) for scaling in estimator.scalings_])
        self._priors = np.log(estimator.priors_)

    def raw(self, matrix: Any) -> Any:
        if matrix.shape[1] != self._parts[0][0].shape[0]:
            raise NotCovered
        finite(matrix)
        norms = [
            np.sum(np.dot(matrix - mean, rotation * scaling ** (-0.5)) ** 2, axis=1)
            for mean, rotation, scaling in self._parts
        ]
        return -0.5 * (np.array(norms).T + self._norms) + self._priors

    def predict(self, raw: Any) -> Any:
        return self._classes.take(raw.argmax(axis=1))

    def predict_proba(self, raw: Any) -> Any:
        logarithms = raw - raw.max(axis=1)[:, np.newaxis]
        return np.exp(logarithms - np.log(np.exp(logarithms).sum(axis=1)[:, np.newaxis]))

    def decision_function(self, raw: Any) -> Any:
        return raw[:, 1] - raw[:, 0] if len(self._classes) == 2 else raw


KERNELS: Mapping[type, Callable[[Any], Kernel | None]] = {QuadraticDiscriminantAnalysis: QuadraticKernel}
