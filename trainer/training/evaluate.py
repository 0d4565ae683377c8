"""How good a fitted estimator is, and how sure that is: plain numbers for the manifest."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn import metrics
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.utils import _safe_indexing

from contract.manifest import Output, OutputKind
from scoring.answers import ask_matrix
from trainer.recipe import Candidate

FOLDS = 5
SEED = 42
CROSS_VALIDATION_SECONDS = 120
"""Where fitting once suggests that the folds take longer, they are left out."""


def evaluate(estimator: Any, X: Any, y: Any, output: Output, held_out: bool) -> dict[str, float]:
    """The metrics on the rows X (rows × inputs) and y, the most telling first; all are finite.

    Classes: `accuracy`, and `baseline_accuracy`, that of always answering the most frequent class;
    `balanced_accuracy`; with probabilities `log_loss` and `roc_auc` (of more than two classes: the mean of each
    against the rest), where the rows hold every class. Numbers: `r2`, and in the target's unit `mean_absolute_error`,
    `baseline_mean_absolute_error`, that of always answering the median, and `root_mean_squared_error`. Names begin
    with `training_` when the estimator was fitted on these very rows.
    """
    predicted, table = ask_matrix(estimator, X, output.probabilities)
    found = _of_classes(y, predicted, table, output) if output.kind is OutputKind.CLASS else _of_numbers(y, predicted)
    prefix = "" if held_out else "training_"
    return {prefix + name: float(value) for name, value in found.items() if np.isfinite(value)}


def headline(output: Output) -> str:
    """The metric that stands first."""
    return "accuracy" if output.kind is OutputKind.CLASS else "r2"


def cross_validate(
    fit: Callable[[Any, Any], Any], X: Any, y: Any, output: Output, name: str, seconds: float
) -> Candidate | None:
    """The headline metric over `FOLDS` folds of X and y, fitted anew for each; `name` is what was fitted.

    None where that is impossible, or takes too long when fitting takes `seconds`. Raises what `fit` raises.
    """
    rarest = min(Counter(y.tolist()).values()) if output.kind is OutputKind.CLASS else len(y)
    if seconds * FOLDS > CROSS_VALIDATION_SECONDS or rarest < FOLDS:
        return None
    splitter: Any = StratifiedKFold if output.kind is OutputKind.CLASS else KFold
    measure = metrics.accuracy_score if output.kind is OutputKind.CLASS else metrics.r2_score
    started, scores = time.monotonic(), []
    for train, test in splitter(FOLDS, shuffle=True, random_state=SEED).split(X, y):
        estimator = fit(_safe_indexing(X, train), y[train])
        scores.append(measure(y[test], estimator.predict(_safe_indexing(X, test))))
    mean, spread = float(np.mean(scores)), float(np.std(scores))
    return Candidate(name, headline(output), mean, spread, time.monotonic() - started)


def cross_validated(candidate: Candidate) -> dict[str, float]:
    """For the manifest: `cv_<metric>`, the mean over the folds, and `cv_<metric>_spread`, the standard deviation."""
    found = {f"cv_{candidate.metric}": candidate.mean, f"cv_{candidate.metric}_spread": candidate.spread}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _of_classes(y: Any, predicted: Any, table: Any, output: Output) -> Mapping[str, float]:
    _, counts = np.unique(y, return_counts=True)
    found = {
        "accuracy": metrics.accuracy_score(y, predicted),
        "baseline_accuracy": counts.max() / len(y),
        # Of a class that is predicted and does not occur scikit-learn would warn.
        "balanced_accuracy": np.mean([(predicted[y == label] == label).mean() for label in np.unique(y)]),
    }
    labels: Sequence[Any] = output.labels or ()
    if table is None or set(y.tolist()) != set(labels) or not np.isfinite(table).all():
        return found
    places = {label: place for place, label in enumerate(labels)}  # which a recipe's own estimator need not sort
    y = np.array([places[label] for label in y.tolist()])
    found["log_loss"] = metrics.log_loss(y, table, labels=range(len(labels)))
    found["roc_auc"] = (
        metrics.roc_auc_score(y, table[:, 1])
        if len(labels) == 2
        else metrics.roc_auc_score(y, table, multi_class="ovr", labels=range(len(labels)))
    )
    return found


def _of_numbers(y: Any, predicted: Any) -> Mapping[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # r2 of a single row is nan, and left out
        r2 = metrics.r2_score(y, predicted)
    return {
        "r2": r2,
        "mean_absolute_error": metrics.mean_absolute_error(y, predicted),
        "baseline_mean_absolute_error": metrics.mean_absolute_error(y, np.full(len(y), np.median(y))),
        "root_mean_squared_error": metrics.root_mean_squared_error(y, predicted),
    }
