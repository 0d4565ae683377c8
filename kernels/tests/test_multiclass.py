"""Kernels of classifiers of several classes that ask a classifier of two."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from modelgate_kernels.table import find_kernel
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from kernels.tests.compare import Case, assert_same, assert_same_for_own_rows

pytestmark = pytest.mark.filterwarnings("ignore")

X, y = make_classification(120, 11, n_informative=6, n_classes=3, random_state=1)
WORDS = np.array(["no", "perhaps", "yes"])[y]
FOUR = np.where(X[:, 0] > 1, 7, y)
TEXTS = sparse.random(120, 60, 0.1, "csr", random_state=0)


def fitted(classifier: Any, target: Any, matrix: Any) -> tuple[Any, Any]:
    return classifier.fit(matrix, target), matrix


def case(classifier: Any, target: Any, matrix: Any = X, what: str = "") -> Case:
    return Case(f"{classifier!r}{', ' if what else ''}{what}", partial(fitted, classifier, target, matrix))


def tied(kind: type) -> tuple[Any, Any]:
    """Return a classifier with equal scores for all classes."""
    classifier = kind(LogisticRegression(max_iter=5)).fit(X, WORDS)
    for member in classifier.estimators_:
        member.coef_[:], member.intercept_[:] = 0, 0
    return classifier, X


KINDS = (OneVsRestClassifier, OneVsOneClassifier)
EACH_WAY = [
    *(case(kind(inner), WORDS) for inner in (LinearSVC(), Ridge()) for kind in KINDS),
    case(OneVsRestClassifier(GaussianNB()), WORDS),
    *(case(kind(GaussianNB()), y > 0, what="two") for kind in KINDS),
    *(Case(f"a tie, {kind.__name__}", partial(tied, kind)) for kind in KINDS),
]
INNER = (
    SGDClassifier("log_loss", random_state=0),
    make_pipeline(StandardScaler(), LogisticRegression(max_iter=5)),
    RandomForestClassifier(3, random_state=0),
    SVC(),
)
EACH_KIND = [
    *(case(kind(inner), WORDS) for inner in INNER for kind in KINDS),
    *(case(kind(LinearSVC()), y > 0, what="two") for kind in KINDS),
    *(case(kind(LogisticRegression(max_iter=5)), FOUR, X.astype(np.float32), "float32") for kind in KINDS),
    *(case(kind(LogisticRegression(max_iter=5)), WORDS, TEXTS, "sparse") for kind in KINDS),
    case(OneVsOneClassifier(GaussianNB()), WORDS),
]
CASES = EACH_WAY + EACH_KIND


@pytest.mark.parametrize("case", EACH_WAY, ids=str)
def test_a_classifier_of_several_classes_answers_the_same(case: Case) -> None:
    assert_same(case, 40)


@pytest.mark.parametrize("case", EACH_KIND, ids=str)
def test_any_estimator_within_answers_the_same_for_its_own_rows(case: Case) -> None:
    assert_same_for_own_rows(case)


def test_several_labels_a_row_and_one_class_are_answered_by_the_classifier_itself() -> None:
    for target in (y[:, np.newaxis] > np.arange(2), np.zeros(120)):
        assert find_kernel(OneVsRestClassifier(Ridge()).fit(X, target)) is None


def test_a_class_for_all_rows_or_none_is_answered_the_same() -> None:
    classifier = OneVsRestClassifier(LogisticRegression(max_iter=5)).fit(X, WORDS)
    constant = (
        OneVsRestClassifier(LogisticRegression(max_iter=5)).fit(X, np.column_stack([y > -1, y > 0])).estimators_[0]
    )
    classifier.estimators_[0] = constant
    assert_same_for_own_rows(Case("a class of all rows", lambda: (classifier, X)))
