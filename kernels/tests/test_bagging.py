"""Kernels of bagging and AdaBoost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from modelgate_kernels.table import find_kernel
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor, BaggingClassifier, BaggingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC, LinearSVR
from sklearn.tree import DecisionTreeClassifier

from kernels.tests.compare import Case, assert_same
from kernels.tests.composite_data import BINARY_WORDS, NUMBERS, WORDS, X, fitted, linear, y

SUBSETS = {"n_estimators": 3, "max_features": 0.6, "random_state": 0}
CASES = [
    Case("bagging of trees, words", lambda: fitted(BaggingClassifier(n_estimators=3, random_state=0), WORDS)),
    Case("bagging of columns", lambda: fitted(BaggingClassifier(linear(), **SUBSETS), y > 0)),
    Case(
        "bagging of columns, some twice",
        lambda: fitted(BaggingClassifier(LogisticRegression(), bootstrap_features=True, **SUBSETS), y - 1),
    ),
    Case("bagging of votes", lambda: fitted(BaggingClassifier(LinearSVC(), **SUBSETS), WORDS), covers_huge=False),
    Case(
        "bagging of few rows, where members lack classes",
        lambda: fitted(BaggingClassifier(DecisionTreeClassifier(), 4, max_samples=4, random_state=0), WORDS),
    ),
    Case("bagging of numbers", lambda: fitted(BaggingRegressor(n_estimators=3, random_state=0), NUMBERS)),
    Case(
        "bagging of numbers and columns",
        lambda: fitted(BaggingRegressor(LinearSVR(), **SUBSETS), NUMBERS),
        covers_huge=False,
    ),
    Case("AdaBoost, words", lambda: fitted(AdaBoostClassifier(n_estimators=3, random_state=0), WORDS)),
    Case(
        "AdaBoost of four classes",
        lambda: fitted(AdaBoostClassifier(n_estimators=3, random_state=0), y + 2 * (X[:, 0] > 0) * (y == 2)),
    ),
    Case("AdaBoost, two words", lambda: fitted(AdaBoostClassifier(n_estimators=3, random_state=0), BINARY_WORDS)),
    Case(
        "AdaBoost of linear models, booleans",
        lambda: fitted(AdaBoostClassifier(LogisticRegression(), n_estimators=3, random_state=0), y > 0),
    ),
    Case(
        "AdaBoost with as many votes for as against",
        lambda: (_of_equals(AdaBoostClassifier(n_estimators=4, random_state=0).fit(X, y > 0)), X),
    ),
    Case(
        "AdaBoost of numbers with two medians",
        lambda: (_of_equals(AdaBoostRegressor(n_estimators=4, random_state=0).fit(X, NUMBERS)), X),
    ),
    Case("AdaBoost of numbers", lambda: fitted(AdaBoostRegressor(n_estimators=3, random_state=0), NUMBERS)),
]


def _of_equals(boosting: Any) -> Any:
    boosting.estimator_weights_ = np.ones(len(boosting.estimators_))
    return boosting


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bagging_and_boosting_answer_the_same(case: Case) -> None:
    assert_same(case, 60)


def test_bagging_in_several_threads_has_no_kernel() -> None:
    assert find_kernel(BaggingClassifier(n_estimators=4).fit(X, y).set_params(n_jobs=2)) is None
