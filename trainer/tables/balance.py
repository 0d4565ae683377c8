"""The balance of classes, and metrics for classes so rare that accuracy says little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

IMBALANCED = 0.4
"""Classes are out of balance when the rarest has less than this fraction of an equal share."""


def rarest(labels: Collection[Any]) -> tuple[Any, int]:
    """Return the least frequent of `labels` and its count; of equally rare ones the last in order."""
    counts = Counter(labels)
    label = min(sorted(counts, reverse=True), key=counts.__getitem__)
    return label, counts[label]


def out_of_balance(labels: Collection[Any]) -> bool:
    """Return whether the rarest class has less than `IMBALANCED` of an equal share."""
    return rarest(labels)[1] < IMBALANCED * len(labels) / len(set(labels))


def average_precision(y: Any, table: Any, labels: Sequence[Any]) -> float:
    """Return the average precision of the rarer of two classes; of more, the mean over those in `y`. nan if `y` has
    only one class.

    `table` has the probabilities of `labels` (rows × classes).
    """
    present = set(y.tolist())
    if len(present) < 2:
        return float("nan")
    scored = [rarest(y.tolist())[0]] if len(labels) == 2 else [label for label in labels if label in present]
    return float(np.mean([average_precision_score(y == label, table[:, labels.index(label)]) for label in scored]))
