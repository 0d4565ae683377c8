"""Kernels of linear models."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from modelgate_kernels.table import find_kernel
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    GammaRegressor,
    HuberRegressor,
    Lars,
    LarsCV,
    Lasso,
    LassoCV,
    LassoLars,
    LassoLarsCV,
    LassoLarsIC,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    MultiTaskElasticNet,
    MultiTaskElasticNetCV,
    MultiTaskLasso,
    MultiTaskLassoCV,
    OrthogonalMatchingPursuit,
    OrthogonalMatchingPursuitCV,
    PassiveAggressiveClassifier,
    PassiveAggressiveRegressor,
    Perceptron,
    PoissonRegressor,
    QuantileRegressor,
    RANSACRegressor,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
    SGDOneClassSVM,
    SGDRegressor,
    TheilSenRegressor,
    TweedieRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC, LinearSVR

from kernels.tests.compare import Case, assert_same, assert_same_for_own_rows

pytestmark = pytest.mark.filterwarnings("ignore")

X, y = make_classification(200, 11, n_informative=6, n_classes=3, random_state=1)
WORDS = np.array(["no", "perhaps", "yes"])[y]
SINGLE, WHOLE = X.astype(np.float32), (X * 10).astype(np.int64)
AMOUNTS = np.abs(X[:, 0] * 3 + y) + 0.1
SEVERAL = np.column_stack([AMOUNTS, X[:, 1] - y])
DRAW = np.random.default_rng(0)
COUNTS = sparse.random(300, 40_000, 0.0005, "csr", random_state=0)
COUNTS.data = DRAW.integers(1, 5, COUNTS.nnz)
FEW = sparse.random(200, 60, 0.1, "csr", random_state=0)
TOPICS = np.array(["art", "law", "sea"])[DRAW.integers(3, size=300)]
LOSSES = (
    "hinge",
    "log_loss",
    "modified_huber",
    "squared_hinge",
    "perceptron",
    "squared_error",
    "huber",
    "epsilon_insensitive",
    "squared_epsilon_insensitive",
)


def fitted(estimator: Any, target: Any, matrix: Any = X) -> tuple[Any, Any]:
    return estimator.fit(matrix, target), matrix


def case(estimator: Any, target: Any, matrix: Any = X, what: str = "") -> Case:
    return Case(f"{estimator!r}{', ' if what else ''}{what}", partial(fitted, estimator, target, matrix))


def sparsified(classifier: Any, target: Any, matrix: Any) -> tuple[Any, Any]:
    return classifier.fit(matrix, target).sparsify(), matrix


def of_an_old_release() -> tuple[Any, Any]:
    """Return a classifier with the attributes of one that scikit-learn 1.4 fitted one-versus-rest."""
    classifier = LogisticRegression(max_iter=5).fit(X, y)
    vars(classifier).update(multi_class="ovr", n_iter_=np.array([5, 5, 5], dtype=np.int32))
    return classifier, X


def tied(target: Any) -> tuple[Any, Any]:
    """Return a classifier whose decision is 0 for each row, so that all classes tie."""
    classifier = LogisticRegression(max_iter=5).fit(X, target)
    classifier.coef_[:], classifier.intercept_[:] = 0, 0
    return classifier, X


def undecided() -> tuple[Any, Any]:
    """Return a detector of outliers whose score is 0 for each row, which is just no outlier."""
    detector = SGDOneClassSVM(random_state=0).fit(X)
    detector.coef_[:], detector.offset_[:] = 0, 0
    return detector, X


EACH_WAY = [
    case(LogisticRegression(max_iter=5), y > 0),
    case(LogisticRegression(max_iter=5), WORDS, np.asfortranarray(X), "words"),
    case(LogisticRegression(max_iter=5), WORDS, SINGLE, "float32"),
    case(LogisticRegression(max_iter=5), np.arange(200) % 12, WHOLE, "12 classes, whole numbers"),
    case(LogisticRegression(max_iter=2), TOPICS, COUNTS, "sparse, many columns"),
    Case("a tie of two classes", partial(tied, y > 0)),
    Case("a tie of three classes", partial(tied, y)),
    Case("sparse coefficients", partial(sparsified, LogisticRegression(C=0.1, l1_ratio=1, solver="saga"), WORDS, X)),
    case(make_pipeline(StandardScaler(), LogisticRegression(max_iter=5)), WORDS),
    case(SGDClassifier("log_loss", random_state=0), WORDS),
    case(SGDClassifier("modified_huber", random_state=0), WORDS),
    case(SGDClassifier("modified_huber", random_state=0), y > 0, SINGLE, "float32"),
    case(SGDOneClassSVM(random_state=0), None),
    Case("an undecided detector of outliers", undecided),
    case(RidgeClassifier(), y > 0),
    case(Ridge(), AMOUNTS),
    case(Ridge(), SEVERAL, FEW, "sparse, two outputs"),
    case(PoissonRegressor(max_iter=5), AMOUNTS),
    case(PoissonRegressor(max_iter=5), AMOUNTS, WHOLE, "whole numbers"),
    case(TweedieRegressor(max_iter=5, power=1.5, link="identity"), AMOUNTS),
]
EACH_KIND = [
    case(LogisticRegression(max_iter=5), np.where(y > 0, 2.0, -1.0), what="floats"),
    case(LogisticRegression(max_iter=5), np.where(y > 0, 7, -3), what="integers"),
    case(LogisticRegression(max_iter=5), WORDS.astype(object), what="objects"),
    case(LogisticRegression(max_iter=5, fit_intercept=False), WORDS),
    case(LogisticRegression(max_iter=5), y > 0, X[:, :1], "one column"),
    case(LogisticRegression(max_iter=5), y > 0, SINGLE, "two classes of float32"),
    case(LogisticRegression(max_iter=5), y > 0, FEW, "sparse"),
    Case("an old logistic regression", of_an_old_release),
    Case("sparse coefficients and rows", partial(sparsified, LogisticRegression(max_iter=5), WORDS, FEW)),
    Case("sparse coefficients, two classes", partial(sparsified, SGDClassifier(random_state=0), y > 0, X)),
    case(LogisticRegressionCV(Cs=2, cv=2, max_iter=5, l1_ratios=(0,), use_legacy_attributes=False), WORDS),
    case(LinearDiscriminantAnalysis(), WORDS),
    case(LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"), y > 0),
    *(case(SGDClassifier(loss, random_state=0), WORDS) for loss in LOSSES),
    case(SGDClassifier("log_loss", random_state=0), y > 0),
    case(SGDClassifier("modified_huber", random_state=0), y > 0),
    case(SGDClassifier("modified_huber", random_state=0, average=True), TOPICS, COUNTS, "sparse, many columns"),
    case(LinearSVC(), WORDS),
    case(LinearSVC(multi_class="crammer_singer"), y > 0),
    case(Perceptron(), WORDS),
    Case("passive-aggressive classifier", lambda: fitted(PassiveAggressiveClassifier(), y > 0)),
    case(RidgeClassifier(), WORDS),
    case(RidgeClassifier(), y > 0, FEW, "sparse"),
    case(RidgeClassifierCV(), y > 0),
    case(ARDRegression(), AMOUNTS),
    case(BayesianRidge(), AMOUNTS),
    case(ElasticNet(0.1), AMOUNTS),
    case(ElasticNetCV(cv=2), AMOUNTS),
    case(GammaRegressor(max_iter=5), AMOUNTS),
    case(HuberRegressor(max_iter=5), AMOUNTS),
    case(Lars(), AMOUNTS),
    case(Lars(), SEVERAL, what="two outputs"),
    case(LarsCV(cv=2), AMOUNTS),
    case(Lasso(0.1), AMOUNTS),
    case(Lasso(0.1), SEVERAL, what="two outputs"),
    case(Lasso(0.01), AMOUNTS, FEW, "sparse"),
    case(LassoCV(cv=2), AMOUNTS),
    case(LassoLars(0.1), AMOUNTS),
    case(LassoLarsCV(cv=2), AMOUNTS),
    case(LassoLarsIC(), AMOUNTS),
    case(LinearRegression(), AMOUNTS),
    case(LinearRegression(), AMOUNTS[:, np.newaxis], what="one output in a column"),
    case(LinearRegression(), SEVERAL, what="two outputs"),
    case(LinearRegression(fit_intercept=False, positive=True), AMOUNTS),
    case(LinearSVR(), AMOUNTS),
    case(MultiTaskElasticNet(0.1), SEVERAL),
    case(MultiTaskElasticNetCV(cv=2), SEVERAL),
    case(MultiTaskLasso(0.1), SEVERAL),
    case(MultiTaskLassoCV(cv=2), SEVERAL),
    case(OrthogonalMatchingPursuit(), AMOUNTS),
    case(OrthogonalMatchingPursuit(), SEVERAL, what="two outputs"),
    case(OrthogonalMatchingPursuitCV(cv=2), AMOUNTS),
    Case("passive-aggressive regressor", lambda: fitted(PassiveAggressiveRegressor(), AMOUNTS)),
    case(PoissonRegressor(max_iter=5), AMOUNTS, SINGLE, "float32"),
    case(PoissonRegressor(max_iter=5), AMOUNTS, FEW.astype(np.int64), "sparse counts"),
    case(QuantileRegressor(), AMOUNTS),
    case(RANSACRegressor(random_state=0), AMOUNTS),
    case(RANSACRegressor(random_state=0), SEVERAL, what="two outputs"),
    case(Ridge(), AMOUNTS, SINGLE, "float32"),
    case(Ridge(), AMOUNTS, WHOLE, "whole numbers"),
    case(Ridge(), AMOUNTS, FEW, "sparse"),
    case(Ridge(), SEVERAL, what="two outputs"),
    case(RidgeCV(), AMOUNTS),
    case(RidgeCV(), SEVERAL, what="two outputs"),
    case(SGDOneClassSVM(random_state=0), None, FEW, "sparse"),
    case(SGDRegressor(random_state=0), AMOUNTS),
    case(SGDRegressor(random_state=0), AMOUNTS, FEW, "sparse"),
    case(TheilSenRegressor(max_subpopulation=100, random_state=0), AMOUNTS),
    case(TweedieRegressor(max_iter=5, power=0), AMOUNTS),
    case(TweedieRegressor(max_iter=5, power=0, link="log"), AMOUNTS),
    case(TweedieRegressor(max_iter=5, power=1.5), AMOUNTS),
]
CASES = EACH_WAY + EACH_KIND


@pytest.mark.parametrize("case", EACH_WAY, ids=str)
def test_a_linear_model_answers_the_same(case: Case) -> None:
    assert_same(case, 60)


@pytest.mark.parametrize("case", EACH_KIND, ids=str)
def test_every_kind_of_linear_model_answers_the_same_for_its_own_rows(case: Case) -> None:
    assert_same_for_own_rows(case)


def test_a_classifier_of_several_labels_a_row_answers_itself() -> None:
    for labels in (2, 3):
        assert find_kernel(RidgeClassifier().fit(X, y[:, np.newaxis] > np.arange(labels))) is None


def test_regression_with_sparse_coefficients_answers_itself() -> None:
    assert find_kernel(SGDRegressor().fit(X, AMOUNTS).sparsify()) is None


def test_ransac_of_an_estimator_without_a_kernel_answers_itself() -> None:
    class Unknown(Ridge):
        pass

    assert find_kernel(RANSACRegressor(Unknown(), min_samples=20).fit(X, AMOUNTS)) is None
