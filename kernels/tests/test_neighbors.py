"""Kernels of nearest neighbours."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from modelgate_kernels.table import find_kernel
from sklearn.datasets import make_classification
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from kernels.tests.compare import Case, assert_same, assert_same_for_own_rows

X, y = make_classification(120, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=1)
X = X.round(1)
WORDS = np.array(["no", "perhaps", "yes"])[y]
AMOUNTS = X[:, 0] + y
SEVERAL = np.column_stack([AMOUNTS, X[:, 1]])


def fitted(estimator: Any, target: Any, matrix: Any) -> tuple[Any, Any]:
    return estimator.fit(matrix, target), matrix


def case(estimator: Any, target: Any, matrix: Any = X, what: str = "") -> Case:
    huge = estimator.weights == "uniform"
    return Case(f"{estimator!r}{', ' if what else ''}{what}", partial(fitted, estimator, target, matrix), huge)


EACH_WAY = [
    case(KNeighborsClassifier(), WORDS),
    case(KNeighborsClassifier(4, weights="distance"), WORDS),
    case(KNeighborsRegressor(), AMOUNTS),
    case(KNeighborsRegressor(weights="distance"), SEVERAL),
]
EACH_KIND = [
    case(KNeighborsClassifier(4), y > 0),
    case(KNeighborsClassifier(algorithm="brute"), WORDS),
    case(KNeighborsClassifier(algorithm="brute", metric="manhattan"), y > 0, np.asfortranarray(X)),
    case(KNeighborsClassifier(algorithm="ball_tree", metric="manhattan"), np.arange(120) % 12),
    case(KNeighborsClassifier(), WORDS, np.repeat(X, 3, axis=1), "15 columns"),
    case(KNeighborsClassifier(), WORDS, np.repeat(X, 5, axis=1), "25 columns"),
    case(KNeighborsClassifier(p=3), WORDS, X.astype(np.float32), "float32"),
    case(KNeighborsClassifier(metric="cosine"), WORDS),
    case(KNeighborsClassifier(weights="distance"), WORDS, (X * 10).astype(np.int64), "whole numbers"),
    case(KNeighborsRegressor(1), y),
    case(KNeighborsRegressor(), SEVERAL),
    case(KNeighborsRegressor(weights="distance"), AMOUNTS),
]
CASES = EACH_WAY + EACH_KIND


@pytest.mark.parametrize("case", EACH_WAY, ids=str)
def test_neighbors_answer_the_same(case: Case) -> None:
    assert_same(case, 40)


@pytest.mark.parametrize("case", EACH_KIND, ids=str)
def test_every_kind_of_neighbors_answers_the_same_for_its_own_rows(case: Case) -> None:
    assert_same_for_own_rows(case)


def test_unusual_neighbors_answer_themselves() -> None:
    def weigh(distances: Any) -> Any:
        return np.exp(-distances)

    assert find_kernel(KNeighborsClassifier(weights=weigh).fit(X, y)) is None
    assert find_kernel(KNeighborsClassifier().fit(X, np.column_stack([y, y]))) is None
    assert find_kernel(KNeighborsRegressor(algorithm="brute").fit(X, AMOUNTS)) is None
    assert find_kernel(KNeighborsRegressor(metric=lambda a, b: abs(a - b).sum()).fit(X, AMOUNTS)) is None
