"""Kernels of transformers that reduce the number of columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from modelgate_kernels.table import find_transform
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectFromModel, SelectKBest, VarianceThreshold, chi2

from kernels.tests.compare import Case, assert_same

X, y = make_classification(300, 8, n_informative=4, n_classes=3, random_state=1)
X[:, 3] = 1.0
FOREST = RandomForestClassifier(5, random_state=0)
COUNTS = sparse.csr_matrix(np.maximum(X, 0).round())


def fitted(transformer: Any, matrix: Any = X) -> tuple[Any, Any]:
    return transformer.fit(matrix, y), matrix


CASES = [
    Case("best columns", lambda: fitted(SelectKBest(k=3))),
    Case("best columns, sparse", lambda: fitted(SelectKBest(chi2, k=3), COUNTS)),
    Case("columns that vary", lambda: fitted(VarianceThreshold())),
    Case(
        "columns of a forest",
        lambda: fitted(SelectFromModel(FOREST), X.astype(np.float32)),
    ),
    Case("main components", lambda: fitted(PCA(3))),
    Case("main components of 32 bits", lambda: fitted(PCA(3, svd_solver="full"), X.astype(np.float32))),
    Case("main components, scaled", lambda: fitted(PCA(whiten=True, svd_solver="full"))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_transformer_to_fewer_columns_answers_the_same(case: Case) -> None:
    assert_same(case, 50)


def test_a_selector_of_no_columns_has_no_kernel() -> None:
    selector = SelectKBest(k=0).fit(X, y)
    assert find_transform(selector) is None
