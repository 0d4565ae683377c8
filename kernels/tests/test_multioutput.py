"""Kernels of estimators that ask another one for each output, and of those that select columns for another one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_selection import RFE, RFECV
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.neighbors import KNeighborsRegressor

from kernels.tests.compare import Case, assert_same
from kernels.tests.composite_data import NUMBERS, WORDS, X, fitted, linear, tree, tree_of_numbers, y

SEVERAL_WORDS = np.column_stack([WORDS, np.where(X[:, 0] > 0, "left", "right")])
SEVERAL_NUMBERS = np.column_stack([NUMBERS, X[:, 0] * y, NUMBERS * 3])
SEVERAL_LABELS = (SEVERAL_NUMBERS.mean(axis=0) < SEVERAL_NUMBERS) * 1

CASES = [
    Case("several outputs of words", lambda: fitted(MultiOutputClassifier(tree()), SEVERAL_WORDS)),
    Case("several outputs of numbers", lambda: fitted(MultiOutputRegressor(tree_of_numbers()), SEVERAL_NUMBERS)),
    Case("a chain of numbers", lambda: fitted(RegressorChain(Ridge(), order=[2, 0, 1]), SEVERAL_NUMBERS)),
    Case(
        "a chain of own methods",
        lambda: fitted(RegressorChain(KNeighborsRegressor(), order="random", random_state=0), SEVERAL_NUMBERS),
        covers_huge=False,
    ),
    Case(
        "a chain of labels",
        lambda: fitted(ClassifierChain(LogisticRegression(), order=[1, 2, 0]), SEVERAL_LABELS),
    ),
    Case(
        "a chain of labels that hands on probabilities",
        lambda: fitted(ClassifierChain(tree(), chain_method="predict_proba"), SEVERAL_LABELS),
    ),
    Case("selected columns", lambda: fitted(RFE(linear(), n_features_to_select=3), WORDS)),
    Case("selected columns for a tree", lambda: fitted(RFECV(tree(), cv=2), y > 0)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_several_outputs_and_selected_columns_are_the_same(case: Case) -> None:
    assert_same(case, 60)
