"""The best threshold for predicting a rare class."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve

from contract.model.signature import Output
from contract.row import Value
from trainer.recipe import OutOfFold
from trainer.report.evidence import OperatingPoint, Thresholds
from trainer.tables.balance import rarest


def thresholds(y: Any, predicted: Any, table: Any, output: Output, out_of_fold: OutOfFold | None) -> Thresholds | None:
    """Return the thresholds of a model of two classes with probabilities, measured on rows with the targets `y`.

    None for other models.
    """
    labels = list(output.labels or ())
    if table is None or len(labels) != 2 or not np.isfinite(table).all():
        return None
    label = rarest(y.tolist())[0] if len(set(y.tolist())) == 2 else labels[-1]
    positive, probabilities = y == label, table[:, labels.index(label)]
    best = None if out_of_fold is None else _best(out_of_fold, label)
    return Thresholds(
        label,
        _point(positive, predicted == label, 0.5),
        None if best is None else _point(positive, probabilities >= best, best),
    )


def _best(answers: OutOfFold, label: Value) -> float | None:
    """Return the threshold with the highest F1 on the out-of-fold probabilities."""
    positive = np.asarray(answers.targets) == label
    if not positive.any() or label not in list(answers.labels):
        return None
    precision, recall, at = precision_recall_curve(positive, answers.table[:, list(answers.labels).index(label)])
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    chosen = int(f1[:-1].argmax())
    return float(at[chosen] + at[max(0, chosen - 1)]) / 2  # halfway to the next lower probability


def _point(positive: Any, answered: Any, threshold: float) -> OperatingPoint:
    right, flagged = int((positive & answered).sum()), int(answered.sum())
    precision, recall = right / flagged if flagged else 1.0, right / max(1, int(positive.sum()))
    return OperatingPoint(threshold, precision, recall, flagged)
