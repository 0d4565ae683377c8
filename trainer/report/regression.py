"""Facts about a regressor's predictions of its test rows: predicted and actual values, and residuals."""

from __future__ import annotations

import numpy as np

from trainer.report.answers import Numbers
from trainer.report.parts import Facts, histogram, number, numbers

POINTS, SEED = 500, 0


def regression(answers: Numbers) -> Facts:
    """Return `points` (`actual`, `predicted`; at most `POINTS`, drawn at random) and `residuals`, actual less
    predicted."""
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
    }
