"""Kernels of quadratic discriminants, clusterings, and estimators with a member for each output."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from modelgate_kernels.table import find_kernel
from scipy import sparse
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.datasets import make_classification
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import NearestCentroid
from sklearn.svm import LinearSVC

from kernels.tests.compare import Case, assert_same

pytestmark = pytest.mark.filterwarnings("ignore")

X, y = make_classification(120, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=1)
WORDS = np.array(["no", "perhaps", "yes"])[y]
SEVERAL = np.column_stack([X[:, 0] + y, X[:, 1]])
SINGLE, WHOLE = X.astype(np.float32), (X * 10).astype(np.int64)


def fitted(estimator: Any, target: Any, matrix: Any) -> tuple[Any, Any]:
    return estimator.fit(matrix, target), matrix


def case(estimator: Any, target: Any, matrix: Any = X, what: str = "") -> Case:
    return Case(f"{estimator!r}{', ' if what else ''}{what}", partial(fitted, estimator, target, matrix))


CASES = [
    case(QuadraticDiscriminantAnalysis(), WORDS),
    case(QuadraticDiscriminantAnalysis(reg_param=0.1), y > 0, SINGLE, "float32"),
    case(QuadraticDiscriminantAnalysis(priors=[0.9, 0.1]), y > 0, WHOLE, "whole numbers"),
    case(KMeans(4, n_init=1, random_state=0), None),
    case(KMeans(3, n_init=1, random_state=0), None, sparse.random(120, 60, 0.1, "csr", random_state=0), "sparse"),
    case(MiniBatchKMeans(30, n_init=1, random_state=0), None, SINGLE, "float32"),
    case(MultiOutputRegressor(Ridge()), SEVERAL),
    case(MultiOutputClassifier(GaussianNB()), np.column_stack([y > 0, y])),
    case(MultiOutputClassifier(LinearSVC()), np.column_stack([WORDS, WORDS[::-1]])),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_answers_the_same(case: Case) -> None:
    assert_same(case, 60)


def test_a_clustering_answers_itself_under_a_scikit_learn_without_these_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelgate_kernels.clusters.can_find_nearest", lambda: False)
    assert find_kernel(KMeans(2, n_init=1).fit(X)) is None


def test_a_kind_without_a_kernel_answers_itself() -> None:
    assert find_kernel(NearestCentroid().fit(X, y)) is None
