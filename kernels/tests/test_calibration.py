"""Kernels of calibrated classifiers."""

from __future__ import annotations

from copy import deepcopy

import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC, LinearSVC

from kernels.tests.compare import Case, assert_same
from kernels.tests.composite_data import BINARY_WORDS, WORDS, X, fitted, linear, tree, y

METHODS = ("sigmoid", "isotonic", "temperature")
CASES = [
    *(
        Case(f"{method} calibration of a tree, {name}", lambda m=method, t=target: fitted(_calibrated(tree(), m), t))
        for method in METHODS
        for name, target in (("words", WORDS), ("booleans", y > 0))
    ),
    *(
        Case(
            f"{method} calibration of decisions, {name}",
            lambda m=method, t=target: fitted(_calibrated(linear(), m), t),
            covers_huge=False,
        )
        for method in METHODS
        for name, target in (("numbers", y * 2 - 1), ("two words", BINARY_WORDS))
    ),
    Case("calibration of own methods", lambda: fitted(_calibrated(SVC()), WORDS), covers_huge=False),
    Case("one calibration", lambda: fitted(CalibratedClassifierCV(tree(), cv=2, ensemble=False), WORDS)),
    Case(
        "calibration of a frozen tree",
        lambda: fitted(CalibratedClassifierCV(FrozenEstimator(tree().fit(X, BINARY_WORDS)), cv=2), BINARY_WORDS),
    ),
    Case(
        "calibration of frozen decisions",
        lambda: fitted(CalibratedClassifierCV(FrozenEstimator(LinearSVC().fit(X, WORDS)), method="isotonic"), WORDS),
        covers_huge=False,
    ),
    Case("isotonic calibration that rounds to more than 1", lambda: (_above_one(), X)),
    Case("isotonic calibration that may have no probable class", lambda: (_without_probable_class(), X)),
    Case(
        "isotonic calibration to one value",
        lambda: fitted(_calibrated(LogisticRegression(C=1e-9), "isotonic"), BINARY_WORDS),
        covers_huge=False,
    ),
]


def _calibrated(classifier: object, method: str = "sigmoid") -> CalibratedClassifierCV:
    return CalibratedClassifierCV(classifier, method=method, cv=3)


def _above_one() -> CalibratedClassifierCV:
    classifier = _calibrated(tree(), "isotonic").fit(X, BINARY_WORDS)
    for part, greatest in zip(classifier.calibrated_classifiers_, (1, 1 + 1e-9, 1 + 1e-3), strict=True):
        part.calibrators[0].y_thresholds_[-1] = greatest
    return deepcopy(classifier)  # a copy interpolates between the new values


def _without_probable_class() -> CalibratedClassifierCV:
    classifier = _calibrated(tree(), "isotonic").fit(X, WORDS)
    for part in classifier.calibrated_classifiers_:
        for calibrator in part.calibrators:
            calibrator.y_thresholds_[calibrator.y_thresholds_ < 0.9] = 0
    return deepcopy(classifier)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_calibrated_classifier_answers_the_same(case: Case) -> None:
    assert_same(case, 60)
