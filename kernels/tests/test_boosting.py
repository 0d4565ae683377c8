"""Kernels of gradient boosting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB

from kernels.tests.compare import Case, assert_same

RANDOM = np.random.default_rng(0)
X, y = make_classification(400, 6, n_informative=4, n_classes=3, random_state=1)
X[:, 3] = X[:, 3].round(1)
GAPS = np.where(RANDOM.random(X.shape) < 0.1, np.nan, X)
CATEGORIES = np.column_stack([X[:, :4], RANDOM.integers(0, 12, (400, 2)) * 3.0])
MISSING_CATEGORIES = np.where(RANDOM.random(X.shape) < 0.1, np.nan, CATEGORIES)
WORDS = np.array(["no", "perhaps", "yes"])[y]
AMOUNT = X[:, 0] * y + RANDOM.normal(size=400)
EVEN = np.arange(400) % 2
RARE = np.column_stack(
    [X[:, :4], RANDOM.integers(0, 3, 400), np.where(RANDOM.random(400) < 0.9, 1.0, np.arange(400) / 4)]
)
WIDE = RANDOM.normal(size=(400, 70))
INDICATORS = np.column_stack([X[:, :3], RANDOM.integers(0, 2, (400, 6)) * 1.0, RANDOM.integers(0, 3, (400, 3)) * 1.0])
FEW: dict[str, Any] = {"max_iter": 6, "random_state": 0}
SMALL: dict[str, Any] = {"min_samples_leaf": 1}
EARLY: dict[str, Any] = {"early_stopping": True, "validation_fraction": 0.3}


def fitted(estimator: Any, target: Any, rows: Any = X) -> tuple[Any, Any]:
    return estimator.fit(rows, target), rows


def classifier(**parameters: Any) -> Any:
    return HistGradientBoostingClassifier(**{**FEW, **parameters})


def regressor(**parameters: Any) -> Any:
    return HistGradientBoostingRegressor(**{**FEW, **parameters})


def stages(**parameters: Any) -> Any:
    return GradientBoostingClassifier(**{"n_estimators": 6, "random_state": 0, **parameters})


def stages_of_numbers(**parameters: Any) -> Any:
    return GradientBoostingRegressor(**{"n_estimators": 6, "random_state": 0, **parameters})


CASES = [
    Case("stages, two classes", lambda: fitted(stages(), y > 0)),
    Case("stages, three classes", lambda: fitted(stages(), WORDS)),
    Case("stages of an exponential loss", lambda: fitted(stages(loss="exponential"), y > 0)),
    Case("stages from zero", lambda: fitted(stages(init="zero"), WORDS)),
    Case("stages from another estimator", lambda: fitted(stages(init=GaussianNB()), WORDS)),
    Case("undecided stages", lambda: fitted(stages(init="zero"), EVEN, np.ones_like(X))),
    Case("stages of float32", lambda: fitted(stages(), y > 0, X.astype(np.float32))),
    Case("stages of numbers", lambda: fitted(stages_of_numbers(), AMOUNT)),
    Case("stages of a Huber loss", lambda: fitted(stages_of_numbers(loss="huber"), AMOUNT)),
    Case("stages of a quantile", lambda: fitted(stages_of_numbers(loss="quantile"), AMOUNT)),
    Case("stages of absolute errors", lambda: fitted(stages_of_numbers(loss="absolute_error", init="zero"), AMOUNT)),
    Case("stages from a line", lambda: fitted(stages_of_numbers(init=LinearRegression()), AMOUNT)),
    Case("histograms, two classes", lambda: fitted(classifier(), y > 0)),
    Case("histograms, three classes", lambda: fitted(classifier(), WORDS)),
    Case("histograms, ten classes", lambda: fitted(classifier(max_iter=3), np.digitize(AMOUNT, [*range(-4, 5)]))),
    Case("histograms with NaN", lambda: fitted(classifier(), y > 0, GAPS)),
    Case("histograms with categories", lambda: fitted(classifier(categorical_features=[4, 5]), WORDS, CATEGORIES)),
    Case(
        "histograms with missing categories",
        lambda: fitted(classifier(categorical_features=[5]), y > 0, MISSING_CATEGORIES),
    ),
    Case("histograms of stumps", lambda: fitted(classifier(max_leaf_nodes=2, max_iter=40), y > 0, GAPS)),
    Case("histograms of eight leaves", lambda: fitted(classifier(max_leaf_nodes=8), WORDS)),
    Case("histograms of nine leaves", lambda: fitted(classifier(max_leaf_nodes=9), WORDS)),
    Case("histograms of 17 leaves", lambda: fitted(classifier(**SMALL, max_leaf_nodes=17), WORDS, GAPS)),
    Case("histograms of 33 leaves", lambda: fitted(classifier(**SMALL, max_leaf_nodes=33), y > 0, GAPS)),
    Case("histograms of 64 leaves", lambda: fitted(regressor(**SMALL, max_leaf_nodes=64), AMOUNT)),
    Case("histograms of 65 leaves", lambda: fitted(regressor(**SMALL, max_leaf_nodes=65), AMOUNT)),
    Case("histograms of many trees", lambda: fitted(regressor(max_iter=400), AMOUNT)),
    Case("histograms of many columns", lambda: fitted(regressor(max_leaf_nodes=4), AMOUNT, WIDE)),
    Case(
        "histograms with categories that no tree knows",
        lambda: fitted(classifier(categorical_features=[4, 5], **EARLY, max_iter=30), WORDS, RARE),
    ),
    Case("histograms with indicators", lambda: fitted(classifier(**SMALL), y > INDICATORS[:, 4] + 0.5, INDICATORS)),
    Case(
        "histograms with indicators, categories and NaN",
        lambda: fitted(
            regressor(**SMALL, categorical_features=[8, 11]),
            AMOUNT + INDICATORS[:, 3:].sum(axis=1),
            np.where(RANDOM.random(INDICATORS.shape) < 0.1, np.nan, INDICATORS),
        ),
    ),
    Case("undecided histograms", lambda: fitted(classifier(), EVEN, np.ones_like(X))),
    Case("histograms of float32", lambda: fitted(classifier(), y > 0, X.astype(np.float32))),
    Case("histograms of numbers", lambda: fitted(regressor(), AMOUNT)),
    Case("histograms of counts", lambda: fitted(regressor(loss="poisson"), y)),
    Case("histograms of a gamma", lambda: fitted(regressor(loss="gamma"), y + 0.5)),
    Case("histograms of a quantile", lambda: fitted(regressor(loss="quantile", quantile=0.9), AMOUNT, GAPS)),
    Case("histograms of absolute errors", lambda: fitted(regressor(loss="absolute_error"), AMOUNT)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_boosting_answers_the_same(case: Case) -> None:
    assert_same(case, 200)
