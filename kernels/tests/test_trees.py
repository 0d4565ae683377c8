"""Kernels of single trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from modelgate_kernels.table import find_kernel
from sklearn.datasets import make_classification
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from kernels.tests.compare import Case, assert_same

X, y = make_classification(400, 6, n_informative=4, n_classes=3, random_state=1)
X[:, 3] = X[:, 3].round(1)
WORDS = np.array(["no", "perhaps", "yes"])[y]
AMOUNT = X[:, 0] * y
GAPS = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
SINGLE = X.astype(np.float32)


def fitted(estimator: Any, target: Any, rows: Any = X) -> tuple[Any, Any]:
    return estimator.fit(rows, target), rows


CASES = [
    Case("tree", lambda: fitted(DecisionTreeClassifier(random_state=0), WORDS)),
    Case("tree with NaN", lambda: fitted(DecisionTreeClassifier(random_state=0), y > 0, GAPS)),
    Case("tree of float32", lambda: fitted(DecisionTreeClassifier(max_depth=3, random_state=0), WORDS, SINGLE)),
    Case("extra tree", lambda: fitted(ExtraTreeClassifier(max_depth=5, random_state=0), WORDS)),
    Case("extra tree that refuses NaN", lambda: fitted(ExtraTreeClassifier(splitter="best", random_state=0), WORDS)),
    Case("tree of numbers", lambda: fitted(DecisionTreeRegressor(random_state=0), AMOUNT)),
    Case("tree of numbers with NaN", lambda: fitted(DecisionTreeRegressor(max_depth=6, random_state=0), AMOUNT, GAPS)),
    Case("extra tree of numbers", lambda: fitted(ExtraTreeRegressor(random_state=0), AMOUNT, GAPS)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_tree_answers_the_same(case: Case) -> None:
    assert_same(case, 200)


@pytest.mark.parametrize("kind", [DecisionTreeClassifier, DecisionTreeRegressor])
def test_a_tree_of_several_outputs_has_no_kernel(kind: Any) -> None:
    assert find_kernel(kind().fit(X, np.column_stack([y, y > 0]))) is None
