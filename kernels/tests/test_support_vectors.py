"""Kernels of support vector machines."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from modelgate_kernels.kernel import NotCovered
from modelgate_kernels.sklearn_internals import support_vectors as internals
from modelgate_kernels.table import find_kernel
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from kernels.tests.compare import Case, assert_same, assert_same_for_own_rows

pytestmark = pytest.mark.filterwarnings("ignore")

X, y = make_classification(80, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=1)
WORDS = np.array(["no", "perhaps", "yes"])[y]
AMOUNTS = X[:, 0] + y


def fitted(machine: Any, target: Any, matrix: Any) -> tuple[Any, Any]:
    return machine.fit(matrix, target), matrix


def case(machine: Any, target: Any, matrix: Any = X, what: str = "") -> Case:
    return Case(f"{machine!r}{', ' if what else ''}{what}", partial(fitted, machine, target, matrix))


def tied() -> tuple[Any, Any]:
    """Return a machine whose decisions are all 0."""
    machine = SVC().fit(X, WORDS)
    machine._dual_coef_ = np.zeros_like(machine._dual_coef_)
    machine._intercept_ = np.zeros_like(machine._intercept_)
    return machine, X


EACH_WAY = [
    case(SVC(), WORDS),
    case(SVC(), y > 0),
    case(SVC(break_ties=True), np.arange(80) % 6),
    case(SVC(probability=True, random_state=0), WORDS),
    Case("a tie", tied),
    case(SVR(), AMOUNTS),
    case(OneClassSVM(), None),
]
EACH_KIND = [
    case(SVC(decision_function_shape="ovo"), WORDS),
    case(SVC(kernel="poly", degree=2, coef0=1, gamma="auto"), WORDS),
    case(SVC(kernel="linear"), y > 0, X.astype(np.float32), "float32"),
    case(SVC(kernel="sigmoid"), np.arange(80) % 12, what="12 classes"),
    case(SVC(), WORDS, (X * 10).astype(np.int64), "whole numbers"),
    case(NuSVC(nu=0.2, probability=True, random_state=0), y > 0),
    case(NuSVC(nu=0.2), WORDS),
    case(SVR(kernel="linear"), AMOUNTS, np.asfortranarray(X)),
    case(NuSVR(), AMOUNTS),
]
CASES = EACH_WAY + EACH_KIND


@pytest.mark.parametrize("case", EACH_WAY, ids=str)
def test_a_machine_answers_the_same(case: Case) -> None:
    assert_same(case, 60)


@pytest.mark.parametrize("case", EACH_KIND, ids=str)
def test_every_kind_of_machine_answers_the_same_for_its_own_rows(case: Case) -> None:
    assert_same_for_own_rows(case)


@pytest.mark.parametrize(
    "machine",
    [
        SVC(kernel=lambda a, b: a @ b.T).fit(X, y),
        SVC(kernel="precomputed").fit(X @ X.T, y),
        SVC().fit(sparse.csr_matrix(X), y),
        SVC(break_ties=True, decision_function_shape="ovo").fit(X, y),
    ],
    ids=["callable", "precomputed", "sparse", "ties of pairs"],
)
def test_an_unusual_machine_answers_itself(machine: Any) -> None:
    assert find_kernel(machine) is None


def test_a_machine_that_lacks_support_vectors_answers_itself() -> None:
    machine = SVC().fit(X, y)
    machine.support_vectors_ = machine.support_vectors_[:-1]
    assert find_kernel(machine) is None


def test_a_row_of_another_width_never_reaches_libsvm() -> None:
    kernel = find_kernel(SVR().fit(X, AMOUNTS))
    assert kernel is not None
    with pytest.raises(NotCovered):
        kernel.raw(X[:, 1:])


def test_a_machine_answers_itself_under_a_scikit_learn_without_these_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelgate_kernels.support_vectors.can_ask_libsvm", lambda: False)
    assert find_kernel(SVR().fit(X, AMOUNTS)) is None
    assert internals.can_ask_libsvm()
