"""Kernels of unions of transformers."""

from __future__ import annotations

from typing import Any

import pytest
from modelgate_kernels.table import find_transform
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, MaxAbsScaler, StandardScaler

from kernels.tests.compare import Case, assert_same

X, y = make_classification(100, 6, n_informative=4, random_state=1)
COUNTS = sparse.csr_matrix((abs(X) * 3).astype(int).astype(float))


def fitted(members: list[tuple[str, Any]], matrix: Any = X, **options: Any) -> tuple[Any, Any]:
    return FeatureUnion(members, **options).fit(matrix, y), matrix


def several() -> list[tuple[str, Any]]:
    return [("scaled", StandardScaler()), ("none", "drop"), ("same", "passthrough"), ("main", PCA(2))]


CASES = [
    Case("several members", lambda: fitted(several())),
    Case("members with weights", lambda: fitted(several(), transformer_weights={"scaled": 2.0, "same": 0.1})),
    Case("an identity", lambda: fitted([("same", FunctionTransformer()), ("scaled", MaxAbsScaler())])),
    Case("sparse members", lambda: fitted([("best", SelectKBest(chi2, k=3)), ("scaled", MaxAbsScaler())], COUNTS)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_union_answers_the_same(case: Case) -> None:
    assert_same(case, 50)


def test_a_union_with_a_member_without_kernel_has_none() -> None:
    bins = make_pipeline(KBinsDiscretizer(2, quantile_method="averaged_inverted_cdf"))
    assert find_transform(FeatureUnion([("scaled", StandardScaler()), ("bins", bins)]).fit(X)) is None
