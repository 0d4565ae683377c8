"""Kernels of multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.neural_network import MLPClassifier, MLPRegressor

from modelgate_kernels.kernel import Kernel, finite
from modelgate_kernels.products import product
from modelgate_kernels.sklearn_internals import has_one_label


class PerceptronKernel(Kernel):
    """`raw` is the output of the last layer: rows × outputs."""

    def __init__(self, network: Any) -> None:
        hidden, output = _ACTIVATIONS[network.activation], _ACTIVATIONS[network.out_activation_]
        activations = [hidden] * (len(network.coefs_) - 1) + [output]
        self._layers = [*zip(network.coefs_, network.intercepts_, activations, strict=True)]

    def raw(self, matrix: Any) -> Any:
        layer = finite(matrix, accept_csr=True)
        for coefficients, intercepts, activate in self._layers:
            layer = product(layer, coefficients)
            layer += intercepts
            activate(layer)
        return layer


class PerceptronRegressorKernel(PerceptronKernel):
    def predict(self, raw: Any) -> Any:
        return raw.ravel() if raw.shape[1] == 1 else raw


class PerceptronClassifierKernel(PerceptronKernel):
    def __init__(self, network: Any) -> None:
        super().__init__(network)
        self._classes = network.classes_

    def predict(self, raw: Any) -> Any:
        return self._classes.take(raw[:, 0] > 0.5 if raw.shape[1] == 1 else raw.argmax(axis=1))

    def predict_proba(self, raw: Any) -> Any:
        if raw.shape[1] > 1:
            return raw
        both = np.empty((2, len(raw)), raw.dtype)
        np.subtract(1, raw[:, 0], out=both[0])
        both[1] = raw[:, 0]
        return both.T


def _identity(layer: Any) -> None:
    """Leave the layer as it is."""


def _relu(layer: Any) -> None:
    np.maximum(layer, 0, out=layer)


def _tanh(layer: Any) -> None:
    np.tanh(layer, out=layer)


def _logistic(layer: Any) -> None:
    expit(layer, out=layer)


def _exp(layer: Any) -> None:
    np.exp(layer, out=layer)


def _softmax(layer: Any) -> None:
    np.exp(layer - layer.max(axis=1, keepdims=True), out=layer)
    layer /= layer.sum(axis=1, keepdims=True)


_ACTIVATIONS: Mapping[str, Callable[[Any], None]] = {
    "identity": _identity,
    "relu": _relu,
    "tanh": _tanh,
    "logistic": _logistic,
    "exp": _exp,
    "softmax": _softmax,
}
"""What changes a layer in place."""


def _classifier(network: Any) -> Kernel | None:
    # One class alone and several labels a row go other ways.
    classes = len(network.classes_)
    is_usual = has_one_label(network) and network.n_outputs_ == (1 if classes == 2 else classes) and classes > 1
    return PerceptronClassifierKernel(network) if is_usual else None


KERNELS: Mapping[type, Callable[[Any], Kernel | None]] = {
    MLPClassifier: _classifier,
    MLPRegressor: PerceptronRegressorKernel,
}
