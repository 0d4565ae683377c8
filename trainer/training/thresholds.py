"""What each class of a model is worth, and the threshold from which on a rare one should be answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve

from contract.jobs import Value
from contract.manifest import Output
from trainer.recipe import OutOfFold
from trainer.report.evidence import ClassMetrics, OperatingPoint, Thresholds
from trainer.tables.balance import rarest

SHOWN = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def class_metrics(y: Any, predicted: Any, labels: Sequence[Value]) -> list[ClassMetrics]:
    """One entry for each of `labels`. A precision or recall of no rows at all is 0, as in scikit-learn."""
    return [_of_class(label, y == label, predicted == label) for label in labels]


def thresholds(y: Any, predicted: Any, table: Any, output: Output, out_of_fold: OutOfFold | None) -> Thresholds | None:
    """Of two classes with probabilities, measured on rows with the targets `y`; None of anything else."""
    labels = list(output.labels or ())
    if table is None or len(labels) != 2 or not np.isfinite(table).all():
        return None
    label = rarest(y.tolist())[0] if len(set(y.tolist())) == 2 else labels[-1]
    own, given = y == label, table[:, labels.index(label)]
    best = None if out_of_fold is None else _best(out_of_fold, label)
    return Thresholds(
        label,
        [_point(own, given >= threshold, threshold) for threshold in SHOWN],
        _point(own, predicted == label, 0.5),
        None if best is None else _point(own, given >= best, best),
    )


def _best(answers: OutOfFold, label: Value) -> float | None:
    """The threshold with the highest F1 on answers to rows that were not learnt from."""
    own = np.asarray(answers.targets) == label
    if not own.any() or label not in list(answers.labels):
        return None
    precision, recall, at = precision_recall_curve(own, answers.table[:, list(answers.labels).index(label)])
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(f"{at[f1[:-1].argmax()]:.4g}")


def _of_class(label: Value, own: Any, answered: Any) -> ClassMetrics:
    right = int((own & answered).sum())
    precision, recall = right / max(1, int(answered.sum())), right / max(1, int(own.sum()))
    return ClassMetrics(label, int(own.sum()), precision, recall, _f1(precision, recall))


def _point(own: Any, answered: Any, threshold: float) -> OperatingPoint:
    found = _of_class(None, own, answered)
    precision = found.precision if answered.any() else 1.0
    return OperatingPoint(threshold, precision, found.recall, found.f1, int(answered.sum()))


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
