"""Estimates how good a classifier's answers are before the true labels are known.

If a model is calibrated, an answer with the probability q is right with the probability q. So the probabilities of a
window of rows tell its expected metric: confidence-based performance estimation, CBPE (NannyML; Kivimäki, Białek,
Nurminen & Kuberski 2024, arXiv:2407.08649, who derive the Poisson-binomial interval of the accuracy).

That holds while only the inputs move and the model is calibrated for the inputs that there are now. It does not hold if
the answer to the same inputs has changed (concept drift): then the estimate stays as it was, and nothing in it shows
that. Only labels do. Nor does it hold for inputs that the model never learnt, where its probabilities mean nothing: an
alarm of drift with values beyond the training range says so.

There is no estimate of log loss: it would be the entropy of the model's own probabilities, which praises a model for
being overconfident. There is none for regression: a predicted number does not say how wrong it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]

LEVEL = 0.95
"""The chance with which an interval covers the metric of the window's rows."""


@dataclass(frozen=True)
class EstimatedMetric:
    """The expected metric of a window of `rows`, and an interval for the metric that its true labels will show."""

    value: float
    low: float
    high: float
    rows: int


def estimated_accuracy(
    right: Floats, *, calibration_error: float = 0.0, level: float = LEVEL
) -> EstimatedMetric | None:
    """Return the expected accuracy; None without rows.

    `right` has for each row the probability of the answered class, which is that the answer is right. The number of
    right answers is a sum of independent trials (Poisson-binomial): the interval has its exact variance and skewness
    (Cornish & Fisher 1938) with the correction for a whole number. `calibration_error` is the mean difference of
    probability and share (ECE) on the report's test rows, which widens the interval on both sides. That suffices if the
    error is no larger for the rows of the window: other inputs may have a larger one.
    """
    rows = len(right)
    if rows == 0:
        return None
    variance = float((right * (1 - right)).sum())
    third = float((right * (1 - right) * (1 - 2 * right)).sum())
    z = float(ndtri((1 + level) / 2))
    skewness = third / variance**1.5 if variance > 0 else 0.0
    below, above = (side * z + skewness * (z * z - 1) / 6 for side in (-1, 1))
    deviation, value = variance**0.5, float(right.mean())
    low = value + (below * deviation - 0.5) / rows - calibration_error
    high = value + (above * deviation + 0.5) / rows + calibration_error
    return EstimatedMetric(value, max(0.0, low), min(1.0, high), rows)


def estimated_roc_auc(
    positive: Floats, *, calibration_error: float = 0.0, level: float = LEVEL
) -> EstimatedMetric | None:
    """Return the expected area under the ROC curve of a classifier with two classes; None if it is undefined.

    `positive` has the probability p of the positive class for each row; rows are ranked by it. The expectation is the
    ratio of the expected pairs in the right order to the expected pairs of a positive and a negative row. Its variance
    is that of the linear part in the labels (delta method): the sum of p (1 - p) d², with d the derivative of the ratio
    by a row's label. A `calibration_error` that all rows have shifts the area by at most the sum of |d| times the
    error, to first order. If it is the mean (ECE) and the error is greatest for the rows that matter most, the interval
    is too narrow: for an overconfident model it covers less than promised (bench/alarms.py).
    """
    rows = len(positive)
    positives = float(positive.sum())
    negatives = rows - positives
    below, equal = _masses(positive, 1 - positive)
    above_positive, equal_positive = _masses(-positive, positive)
    # A row makes no pair with itself.
    lower = below + (equal - (1 - positive)) / 2
    higher = above_positive + (equal_positive - positive) / 2
    pairs = positives * negatives - float((positive * (1 - positive)).sum())
    if pairs <= 0:
        return None
    value = float((positive * lower).sum()) / pairs
    others_negative, others_positive = negatives - (1 - positive), positives - positive
    derivative = (lower - higher - value * (others_negative - others_positive)) / pairs
    deviation = float((positive * (1 - positive) * derivative**2).sum()) ** 0.5
    margin = float(ndtri((1 + level) / 2)) * deviation + calibration_error * float(np.abs(derivative).sum())
    return EstimatedMetric(value, max(0.0, value - margin), min(1.0, value + margin), rows)


def _masses(scores: Floats, masses: Floats) -> tuple[Floats, Floats]:
    """Return for each row the masses of the rows with a lower score, and of those with the same score."""
    _, inverse = np.unique(scores, return_inverse=True)
    of_scores: Floats = np.bincount(inverse, weights=masses).astype(np.float64)
    lower: Floats = np.cumsum(of_scores) - of_scores
    return lower[inverse], of_scores[inverse]
