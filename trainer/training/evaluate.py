"""Measures fitted estimators, on rows and by cross-validation: the metrics of the manifest.

Add a new metric to `contract.work.training.METRICS` too, so that gates may name it, and to `LOWER_IS_BETTER` of
`trainer.training.gate` if its name has none of these suffixes and lower is better.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn import metrics
from sklearn.model_selection import KFold, StratifiedKFold

from contract.model.signature import Output, OutputKind
from scoring.estimators import predict_matrix
from trainer.recipe import Candidate, OutOfFold
from trainer.tables.balance import average_precision, out_of_balance, rarest
from trainer.tables.training_rows import take_rows

FOLDS = 5
SEED = 42
CROSS_VALIDATION_SECONDS = 120
"""The model is not cross-validated if the folds would take longer, judging by the time of the first fit."""
REPORTED_PRECISION = 0.5
"""The precision at which the recall of a rare class is reported."""


def evaluate(estimator: Any, X: Any, y: Any, output: Output, held_out: bool) -> dict[str, float]:
    """Return the metrics on the rows X (rows × inputs) and y: see `measure`.

    Their names begin with `training_` if the estimator was fitted on these rows.
    """
    measured = measure(y, *predict_matrix(estimator, X, output.probabilities), output)
    return measured if held_out else {f"training_{name}": value for name, value in measured.items()}


def measure(y: Any, predicted: Any, table: Any, output: Output) -> dict[str, float]:
    """Return the metrics of predictions for rows with the targets `y`, the `headline` first; all are finite.

    Classes: `accuracy`, `balanced_accuracy`; with probabilities (`table`, rows × classes) `average_precision` of the
    rarer of two classes, or the mean over more; if the rows hold every class also `log_loss` and `roc_auc` (for more
    than two classes: the mean of each against the rest); and for two classes of which one is rare
    `recall_at_half_precision`, its recall at a precision of 0.5. Numbers: `r2`, and in the target's unit
    `mean_absolute_error` and `root_mean_squared_error`. `baseline_…` is the metric of always giving the same answer:
    the most frequent class, the shares of the classes as probabilities, or the median.
    """
    measured = (
        _class_metrics(y, predicted, table, output)
        if output.kind is OutputKind.CLASS
        else _number_metrics(y, predicted)
    )
    first = headline(y, output)
    ordered = {name: measured[name] for name in (first, f"baseline_{first}") if name in measured} | dict(measured)
    return {name: float(value) for name, value in ordered.items() if np.isfinite(value)}


def headline(y: Any, output: Output) -> str:
    """Return the most telling metric for rows with the targets `y`.

    If one class is rare, always predicting another one has a high accuracy, so accuracy says little.
    """
    if output.kind is OutputKind.NUMBER:
        return "r2"
    if not out_of_balance(np.asarray(y).tolist()):
        return "accuracy"
    return "average_precision" if output.probabilities else "balanced_accuracy"


def cross_validate(
    fit: Callable[[Any, Any], Any], X: Any, y: Any, output: Output, name: str, seconds: float
) -> tuple[Candidate, OutOfFold | None] | None:
    """Cross-validate the headline metric over `FOLDS` folds of X and y; `name` is the candidate. Also returns the
    out-of-fold probabilities, if any.

    None if that is impossible, or would take too long: `seconds` is the time of one fit. Raises what `fit` raises.
    """
    classes = output.kind is OutputKind.CLASS
    fewest = min(Counter(y.tolist()).values()) if classes else len(y)
    if seconds * FOLDS > CROSS_VALIDATION_SECONDS or fewest < FOLDS:
        return None
    splitter: Any = StratifiedKFold if classes else KFold
    metric, started, scores = headline(y, output), time.monotonic(), []
    tables = np.zeros((len(y), len(output.labels or ()))) if output.probabilities else None
    for train, test in splitter(FOLDS, shuffle=True, random_state=SEED).split(X, y):
        estimator = fit(take_rows(X, train), y[train])
        predicted, table = predict_matrix(estimator, take_rows(X, test), output.probabilities)
        scores.append(measure(y[test], predicted, table, output).get(metric, np.nan))
        if tables is not None:
            tables[test] = table
    mean, spread = float(np.mean(scores)), float(np.std(scores))
    candidate = Candidate(name, metric, mean, spread, time.monotonic() - started)
    return candidate, None if tables is None else OutOfFold(y, tables, tuple(output.labels or ()))


def cross_validated(candidate: Candidate) -> dict[str, float]:
    """Return `cv_<metric>`, the mean over the folds, and `cv_<metric>_spread`, the standard deviation."""
    measured = {f"cv_{candidate.metric}": candidate.mean, f"cv_{candidate.metric}_spread": candidate.spread}
    return {name: value for name, value in measured.items() if np.isfinite(value)}


def _class_metrics(y: Any, predicted: Any, table: Any, output: Output) -> Mapping[str, float]:
    present, counts = np.unique(y, return_counts=True)
    shares, rare = counts / len(y), out_of_balance(y.tolist())
    measured = {
        "accuracy": metrics.accuracy_score(y, predicted),
        "baseline_accuracy": shares.max(),
        # scikit-learn's own function warns about a class that is predicted but does not occur.
        "balanced_accuracy": np.mean([(predicted[y == label] == label).mean() for label in present]),
    }
    if rare:
        measured["baseline_balanced_accuracy"] = 1 / len(present)
    labels = list(output.labels or ())
    if table is None or set(y.tolist()) != set(labels) or not np.isfinite(table).all():
        return measured
    column_of = {label: column for column, label in enumerate(labels)}  # a custom estimator may not sort its classes
    codes = np.array([column_of[label] for label in y.tolist()])
    measured["log_loss"] = metrics.log_loss(codes, table, labels=range(len(labels)))
    measured["baseline_log_loss"] = -(shares * np.log(shares)).sum()
    measured["roc_auc"] = (
        metrics.roc_auc_score(codes, table[:, 1])
        if len(labels) == 2
        else metrics.roc_auc_score(codes, table, multi_class="ovr", labels=range(len(labels)))
    )
    measured["average_precision"] = average_precision(y, table, labels)
    measured["baseline_average_precision"] = shares.min() if len(labels) == 2 else 1 / len(labels)
    if rare and len(labels) == 2:
        label = rarest(y.tolist())[0]
        precision, recall, _ = metrics.precision_recall_curve(y == label, table[:, column_of[label]])
        measured["recall_at_half_precision"] = recall[precision >= REPORTED_PRECISION].max()
    return measured


def _number_metrics(y: Any, predicted: Any) -> Mapping[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # R² of a single row is NaN and is left out
        r2 = metrics.r2_score(y, predicted)
    return {
        "r2": r2,
        "mean_absolute_error": metrics.mean_absolute_error(y, predicted),
        "baseline_mean_absolute_error": metrics.mean_absolute_error(y, np.full(len(y), np.median(y))),
        "root_mean_squared_error": metrics.root_mean_squared_error(y, predicted),
    }
