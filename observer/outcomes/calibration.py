"""The calibration of probabilities now, and whether its error is beyond chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtrc, logit

from contract.row import Value
from observer.outcomes.intervals import wilson
from observer.outcomes.joined_rows import JoinedRows
from observer.outcomes.metrics import Focus, NotMeasured, probabilities

BINS, ROWS_A_BIN = 10, 10
LEAST = 1e-4
"""The lower bound of probabilities in the test: a forest gives 0 to what it has not seen, and means almost 0."""


@dataclass(frozen=True)
class Calibration:
    """Arrays with one entry a bin of about equal size: the mean `predicted` probability, the `observed` share that came
    true with its interval from `low` to `high`, and the count of `rows`.

    `label` is the class of the probabilities, None if they are those of the predicted class. `gap` is the expected
    calibration error: the mean distance of `predicted` from `observed`, weighted by the rows. `p_value` is the
    probability of outcomes at least so far off if the probabilities are calibrated.
    """

    label: Value | None
    predicted: Any
    observed: Any
    low: Any
    high: Any
    rows: Any
    gap: float
    p_value: float


def calibration(rows: JoinedRows, focus: Focus | None = None) -> Calibration:
    """Return the calibration, with the classes and bins of the report (`trainer.report.classification.calibration`).

    Raises `NotMeasured` without rows or probabilities.
    """
    table, focus, label = probabilities(rows), focus or Focus.of(rows), None
    if not len(rows):
        raise NotMeasured("no outcomes yet")
    if table.shape[1] == 2:
        label = (rows.labels or ())[focus.label]
        predicted, hit = table[:, focus.label], rows.actual == focus.label
    else:
        predicted, hit = table.max(axis=1), rows.actual == table.argmax(axis=1)
    _, bins, counts = np.unique(_bins(predicted), return_inverse=True, return_counts=True)
    means, observed = (np.bincount(bins, values) / counts for values in (predicted, hit))
    gap = float((np.abs(means - observed) * counts).sum() / len(rows))
    return Calibration(label, means, observed, *wilson(observed, counts), counts, gap, _by_chance(predicted, hit))


def _bins(values: Any) -> Any:
    """Return the bin of each value: up to `BINS` bins of about equal size, with `ROWS_A_BIN` values each unless many
    are equal."""
    wanted = min(BINS, max(1, len(values) // ROWS_A_BIN))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, wanted + 1)))
    return np.searchsorted(edges[1:-1], values, side="right")


def _by_chance(predicted: Any, hit: Any) -> float:
    """Return the p-value of the score test that a logistic regression of the outcomes on the log odds of the
    probabilities has intercept 0 and slope 1 (Cox, "Two further applications of a model for binary regression",
    Biometrika 45, 1958).

    Spiegelhalter's z does not notice that all probabilities are too low if they lie on both sides of 0.5.
    """
    predicted = np.clip(predicted, LEAST, 1 - LEAST)
    terms = np.column_stack([np.ones(len(predicted)), logit(predicted)])
    scores = (hit - predicted) @ terms
    information = terms.T @ (terms * (predicted * (1 - predicted))[:, None])
    statistic = scores @ np.linalg.pinv(information, hermitian=True) @ scores
    return float(chdtrc(np.linalg.matrix_rank(information, hermitian=True), statistic))
