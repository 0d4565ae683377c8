"""Kernels of scalers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from modelgate_kernels.kernel import NotCovered
from modelgate_kernels.table import find_transform
from scipy import sparse
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from kernels.tests.compare import Case, assert_same

X = np.random.default_rng(1).normal(size=(300, 5)) * [1, 10, 1e-3, 1e6, 0] + [0, 3, 1, -1e6, 7]
GAPS = np.where(np.random.default_rng(2).random(X.shape) < 0.1, np.nan, X)
FEW = sparse.csr_matrix(np.where(np.random.default_rng(3).random(X.shape) < 0.7, 0, X))


def fitted(transformer: Any, matrix: Any = GAPS) -> tuple[Any, Any]:
    return transformer.fit(matrix), matrix


CASES = [
    Case("standard", lambda: fitted(StandardScaler())),
    Case("standard without mean", lambda: fitted(StandardScaler(with_mean=False))),
    Case("standard without scale", lambda: fitted(StandardScaler(with_std=False))),
    Case("standard of 32 bits", lambda: fitted(StandardScaler(), GAPS.astype(np.float32))),
    Case("standard of whole numbers", lambda: fitted(StandardScaler(), X.astype(np.int64))),
    Case("standard, sparse", lambda: fitted(StandardScaler(with_mean=False), FEW)),
    Case("min and max", lambda: fitted(MinMaxScaler((-1, 2)))),
    Case("min and max, clipped", lambda: fitted(MinMaxScaler(clip=True))),
    Case("min and max of 32 bits, clipped", lambda: fitted(MinMaxScaler(clip=True), GAPS.astype(np.float32))),
    Case("greatest", lambda: fitted(MaxAbsScaler())),
    Case("greatest, clipped", lambda: fitted(MaxAbsScaler(clip=True))),
    Case("greatest, sparse", lambda: fitted(MaxAbsScaler(clip=True), FEW)),
    Case("greatest of 32 bits", lambda: fitted(MaxAbsScaler(), GAPS.astype(np.float32))),
    Case("robust", lambda: fitted(RobustScaler())),
    Case("robust of 32 bits", lambda: fitted(RobustScaler(quantile_range=(5, 95)), GAPS.astype(np.float32))),
    Case("robust, sparse", lambda: fitted(RobustScaler(with_centering=False), FEW)),
    Case("robust without scale", lambda: fitted(RobustScaler(with_scaling=False))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_scaler_answers_the_same(case: Case) -> None:
    assert_same(case, 200)


@pytest.mark.parametrize(
    "matrix", [FEW.tocsc(), FEW * np.inf, FEW.astype(np.int64), X[0], X.tolist(), X.astype(object)]
)
def test_a_scaler_leaves_other_matrices_and_infinities_to_scikit_learn(matrix: Any) -> None:
    transform = find_transform(MaxAbsScaler().fit(X))
    assert transform
    with pytest.raises(NotCovered), np.errstate(invalid="ignore"):
        transform(matrix)
