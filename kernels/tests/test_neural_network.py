"""Kernels of multi-layer perceptrons."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from modelgate_kernels.table import find_kernel
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kernels.tests.compare import Case, assert_same

pytestmark = pytest.mark.filterwarnings("ignore")

X, y = make_classification(200, 11, n_informative=6, n_classes=3, random_state=1)
WORDS = np.array(["no", "perhaps", "yes"])[y]
AMOUNTS = np.abs(X[:, 0]) + y
SEVERAL = np.column_stack([AMOUNTS, X[:, 1]])
TEXTS = sparse.random(200, 60, 0.1, "csr", random_state=0)


def fitted(network: Any, target: Any, matrix: Any) -> tuple[Any, Any]:
    return network.fit(matrix, target), matrix


def case(kind: type, target: Any, matrix: Any = X, what: str = "", **parameters: Any) -> Case:
    network = kind(**{"hidden_layer_sizes": (20,), "max_iter": 5, "random_state": 0, **parameters})
    return Case(f"{network!r}{', ' if what else ''}{what}", partial(fitted, network, target, matrix))


def scaled() -> tuple[Any, Any]:
    return make_pipeline(StandardScaler(), MLPClassifier((10, 5), max_iter=5, random_state=0)).fit(X, WORDS), X


def tied() -> tuple[Any, Any]:
    """Return a network whose output is the same for both classes."""
    network = MLPClassifier((5,), max_iter=1, random_state=0).fit(X, y > 0)
    network.coefs_[-1][:], network.intercepts_[-1][:] = 0, 0
    return network, X


CASES = [
    *(case(MLPClassifier, WORDS, activation=name) for name in ("identity", "logistic", "tanh", "relu")),
    case(MLPClassifier, y > 0, hidden_layer_sizes=(30, 20, 10)),
    case(MLPClassifier, np.arange(200) % 12, hidden_layer_sizes=(7,)),
    case(MLPClassifier, WORDS, X.astype(np.float32), "float32"),
    case(MLPClassifier, y > 0, X.astype(np.float32), "two classes of float32"),
    case(MLPClassifier, np.where(y > 0, 2.0, -1.0), (X * 10).astype(np.int64), "whole numbers"),
    case(MLPClassifier, WORDS, TEXTS, "sparse"),
    Case("scaled", scaled),
    Case("a tie", tied),
    case(MLPRegressor, AMOUNTS),
    case(MLPRegressor, AMOUNTS, loss="poisson"),
    case(MLPRegressor, SEVERAL, np.asfortranarray(X), "two outputs", activation="tanh"),
    case(MLPRegressor, AMOUNTS, X.astype(np.float32), "float32"),
    case(MLPRegressor, AMOUNTS, TEXTS, "sparse"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_network_answers_the_same(case: Case) -> None:
    assert_same(case, 60)


def test_a_network_of_several_labels_a_row_answers_itself() -> None:
    for labels in (2, 3):
        network = MLPClassifier((5,), max_iter=1).fit(X, y[:, np.newaxis] > np.arange(labels))
        assert find_kernel(network) is None


def test_a_network_of_one_class_answers_itself() -> None:
    assert find_kernel(MLPClassifier((5,), max_iter=1).fit(X, np.zeros(200))) is None
