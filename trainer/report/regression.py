"""Facts about a regressor's predictions of its test rows: predicted and actual values, residuals, and curves that can
be drawn over those of another version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scoring.estimators import predict_matrix
from trainer.report.evidence import Evidence
from trainer.report.parts import Facts, NotShown, equal_bins, histogram, number, numbers

POINTS, SEED = 500, 0
STEPS = 100
"""The error curve has a point for each hundredth of the rows, so it is at most 0.01 from the full one."""


@dataclass(frozen=True)
class Numbers:
    """Actual and predicted numbers of the test rows at `positions`, where the prediction is finite."""

    actual: Any
    predicted: Any
    positions: Any
    not_finite: int

    @classmethod
    def of(cls, evidence: Evidence) -> Numbers:
        return cls.beside(evidence.y_test, predict_matrix(evidence.estimator, evidence.X_test, evidence.draft)[0])

    @classmethod
    def beside(cls, y: Any, values: Any) -> Numbers:
        """Return the predictions `values` of rows with the targets `y`. Raises `NotShown` if none is finite."""
        actual, predicted = np.asarray(y, dtype=float), np.asarray(values, dtype=float)
        finite = np.isfinite(predicted)
        if not finite.any():
            raise NotShown("None of the model's predictions is a finite number.")
        return cls(actual[finite], predicted[finite], np.flatnonzero(finite), int((~finite).sum()))


def regression(answers: Numbers) -> Facts:
    """Return `points` (`actual`, `predicted`; at most `POINTS`, drawn at random), `residuals` (actual less predicted),
    `error_curve` and `actual_by_predicted`."""
    actual, predicted = answers.actual, answers.predicted
    shown = np.sort(np.random.default_rng(SEED).permutation(len(actual))[:POINTS])
    residuals = actual - predicted
    low, middle, high = np.quantile(residuals, (0.05, 0.5, 0.95))
    return {
        "points": {"actual": numbers(actual[shown]), "predicted": numbers(predicted[shown])},
        "points_left_out": len(actual) - len(shown),
        "not_finite": answers.not_finite,
        "residuals": {
            "mean": number(residuals.mean()),
            "mean_absolute": number(np.abs(residuals).mean()),
            "quantile_05": number(low),
            "median": number(middle),
            "quantile_95": number(high),
            "histogram": histogram(residuals, most=30),
        },
        **curves(answers),
    }


def curves(answers: Numbers) -> Facts:
    return {"error_curve": error_curve(answers), "actual_by_predicted": actual_by_predicted(answers)}


def error_curve(answers: Numbers) -> Facts:
    """Return the share `y` of the test rows whose absolute error is at most `x`.

    This is the regression error characteristic curve of Bi and Bennett (ICML 2003), for regressors what ROC curves are
    for classifiers: the higher curve is the better one, and the area above it is the mean absolute error. A prediction
    that is not finite is never near enough, so the curve then ends below 1.
    """
    shares = np.linspace(0, 1, STEPS + 1)
    errors = np.quantile(np.abs(answers.actual - answers.predicted), shares, method="inverted_cdf")
    finite = len(answers.actual) / (len(answers.actual) + answers.not_finite)
    return {"x": numbers(errors), "y": numbers(shares * finite)}


def actual_by_predicted(answers: Numbers) -> Facts:
    """Return the mean `predicted` and mean `actual` value of bins of about equal size by prediction.

    They are equal if the predictions are right on average, however much single rows scatter.
    """
    bins = equal_bins(answers.predicted)
    means = [
        [values[bins == bin_index].mean() for bin_index in np.unique(bins)]
        for values in (answers.predicted, answers.actual)
    ]
    return {"predicted": numbers(means[0]), "actual": numbers(means[1])}
