"""The balance of classes, and metrics for classes so rare that accuracy says little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from contract.model.positive_class import positive_class

IMBALANCED = 0.4
"""Classes are out of balance when the rarest has less than this fraction of an equal share."""


def rarest(labels: Collection[Any]) -> tuple[Any, int]:
    """Return the least frequent of `labels` and its count; `positive_class` of equally rare ones."""
    counts = Counter(labels)
    ordered = sorted(counts)
    label = ordered[positive_class(ordered, [counts[label] for label in ordered])]
    return label, counts[label]


def out_of_balance(labels: Collection[Any]) -> bool:
    """Return whether the rarest class has less than `IMBALANCED` of an equal share."""
    return rarest(labels)[1] < IMBALANCED * len(labels) / len(set(labels))


def average_precision(y: Any, table: Any, labels: Sequence[Any]) -> float:
    """Return the average precision of the rarer of two classes; of more, the mean over those in `y`. nan if `y` has
    only one class.

    `table` has the probabilities of `labels` (rows × classes).
    """
    from sklearn.metrics import average_precision_score  # slow to import, and verdicts do without

    present = set(y.tolist())
    if len(present) < 2:
        return float("nan")
    scored = [rarest(y.tolist())[0]] if len(labels) == 2 else [label for label in labels if label in present]
    scores = [average_precision_score(y == label, table[:, labels.index(label)]) for label in scored]
    return float(sum(scores) / len(scores))
