"""The metrics of a version on outcomes, defined as its report defines them.

`trainer.training.fitting.measure` measures the held-out rows. The services do not import each other, so the same
definitions stand here, and a test compares both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.model.positive_class import positive_class
from contract.model.version_metrics import headline_first
from observer.outcomes.intervals import (
    Estimate,
    average_precision,
    mean_loss,
    mean_share,
    r_squared,
    recall_at_precision,
    roc_auc,
    root_mean_square,
    share_estimate,
)
from observer.outcomes.joined_rows import JoinedRows

IMBALANCED = 0.4
"""Classes are out of balance when the rarest has less than this fraction of an equal share."""
REPORTED_PRECISION = 0.5
LEAST = float(np.finfo(float).eps)
"""The lower bound of probabilities in a log loss, as scikit-learn has it."""

Measure = Callable[[], Estimate]


class NotMeasured(Exception):
    """A metric has no value; the message says why."""


@dataclass(frozen=True)
class Focus:
    """What the metrics look at, which must not change from one period to the next.

    `headline` is the most telling metric. `label` is the position of the rarer of two classes, `rare` whether it is out
    of balance. Numbers have neither.
    """

    headline: str
    label: int = 0
    rare: bool = False

    @classmethod
    def of(cls, rows: JoinedRows) -> Focus:
        """Return what a report of these rows would look at."""
        if rows.labels is None:
            return cls("r2")
        counts = np.bincount(rows.actual, minlength=len(rows.labels))
        present = counts[counts > 0]
        rare = bool(len(present) and present.min() < IMBALANCED * len(rows) / len(present))
        label = positive_class(rows.labels, counts.tolist()) if len(counts) else 0
        imbalanced = "balanced_accuracy" if rows.probabilities is None else "average_precision"
        return cls(imbalanced if rare else "accuracy", label, rare)


@dataclass(frozen=True)
class Measured:
    """The metrics by name, the headline first, and the reasons why others are `missing`."""

    estimates: Mapping[str, Estimate]
    missing: Mapping[str, str]


def measure(rows: JoinedRows, focus: Focus | None = None) -> Measured:
    """Return the metrics of the rows, by the names of `contract.work.training.METRICS`. Never raises.

    `focus`: what to look at; that of these rows if it is None.
    """
    focus = focus or Focus.of(rows)
    measures = _number_metrics(rows) if rows.labels is None else _class_metrics(rows, focus)
    estimates: dict[str, Estimate] = {}
    missing: dict[str, str] = {}
    for name in headline_first(measures, focus.headline):
        try:
            if not len(rows):
                raise NotMeasured("no outcomes yet")
            estimates[name] = measures[name]()
        except NotMeasured as reason:
            missing[name] = str(reason)
    return Measured(estimates, missing)


def _class_metrics(rows: JoinedRows, focus: Focus) -> Mapping[str, Measure]:
    return {
        "accuracy": lambda: share_estimate(int((rows.actual == rows.predicted).sum()), len(rows)),
        "balanced_accuracy": lambda: _balanced_accuracy(rows),
        "log_loss": lambda: _log_loss(rows),
        "roc_auc": lambda: roc_auc(*_curves(rows, 1)),
        "average_precision": lambda: average_precision(*_curves(rows, focus.label)),
        "recall_at_half_precision": lambda: _recall_at_half_precision(rows, focus),
    }


def _number_metrics(rows: JoinedRows) -> Mapping[str, Measure]:
    errors = rows.actual - rows.predicted

    def several(estimate: Measure) -> Estimate:
        if len(rows) < 2:
            raise NotMeasured("one outcome shows no spread: two are needed")
        return estimate()

    def r2() -> Estimate:
        if (rows.actual == rows.actual[0]).all():
            raise NotMeasured("all outcomes are equal")
        return r_squared(rows.actual, rows.predicted)

    return {
        "r2": lambda: several(r2),
        "mean_absolute_error": lambda: several(lambda: mean_loss(np.abs(errors))),
        "root_mean_squared_error": lambda: several(lambda: root_mean_square(errors)),
    }


def _balanced_accuracy(rows: JoinedRows) -> Estimate:
    counts = np.bincount(rows.actual)
    right = np.bincount(rows.actual[rows.actual == rows.predicted], minlength=len(counts))
    return mean_share(right[counts > 0], counts[counts > 0])


def probabilities(rows: JoinedRows) -> Any:
    """Return the probabilities (rows × labels). Raises `NotMeasured` if there are none, or some are not finite."""
    if rows.probabilities is None:
        raise NotMeasured("the model gives no probabilities")
    if not np.isfinite(rows.probabilities).all():
        raise NotMeasured("the model gave probabilities that are not finite numbers")
    return rows.probabilities


def _of_all_classes(rows: JoinedRows) -> Any:
    """Return the probabilities, if there are outcomes of every class."""
    table, labels = probabilities(rows), rows.labels or ()
    absent = np.flatnonzero(np.bincount(rows.actual, minlength=len(labels)) == 0)
    if len(absent) or len(labels) < 2:
        raise NotMeasured(f"no outcome is {labels[absent[0]]!r} yet" if len(absent) else "there is only one class")
    return table


def _log_loss(rows: JoinedRows) -> Estimate:
    return mean_loss(log_losses(rows.actual, _of_all_classes(rows), LEAST))


def log_losses(actual: Any, table: Any, least: float) -> Any:
    """Return the log loss of each row. Probabilities below `least` count as that."""
    return -np.log(np.clip(table[np.arange(len(actual)), actual], least, 1 - LEAST))


def _curves(rows: JoinedRows, label: int) -> tuple[Any, Any]:
    """Return which rows are of a class, and their probabilities of it: of `label` if there are two, else of each."""
    table = _of_all_classes(rows)
    shown = np.array([label]) if table.shape[1] == 2 else np.arange(table.shape[1])
    return rows.actual[:, None] == shown, table[:, shown]


def _recall_at_half_precision(rows: JoinedRows, focus: Focus) -> Estimate:
    if len(rows.labels or ()) != 2 or not focus.rare:
        raise NotMeasured("only measured for two classes of which one is rare")
    positive, scores = _curves(rows, focus.label)
    return recall_at_precision(positive[:, 0], scores[:, 0], REPORTED_PRECISION)
