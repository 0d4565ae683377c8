"""Permutation importance: how much worse the model gets when the values of one input are shuffled."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from contract.manifest import InputFormat
from contract.signature import OutputKind, Signature
from scoring.estimators import predict_matrix
from trainer.report.evidence import Evidence
from trainer.report.parts import Facts, NotShown, clean, number
from trainer.tables.training_rows import take_rows

ROWS, FEWEST_ROWS, REPEATS, SECONDS, MOST_COLUMNS, SEED = 1000, 50, 5, 10.0, 20, 0

Score = Callable[[Any, Any], float]
"""Returns the score of predictions, given with probabilities or None; higher is better."""


def importance(evidence: Evidence, seconds: float = SECONDS) -> Facts:
    """Return the loss in `metric`, mean and spread over `repeats`, for the `MOST_COLUMNS` most important inputs.

    Uses at most `ROWS` rows and about `seconds`: a slow model gets fewer rows, then fewer repeats, and finally only the
    first inputs (`not_measured` is the number of the others).
    """
    if evidence.draft.artifact.input_format is InputFormat.RECORDS:
        raise NotShown("The model takes records, whose values cannot be shuffled one input at a time.")
    end, draw = time.monotonic() + seconds, np.random.default_rng(SEED)
    inputs, probabilities = evidence.draft.signature.inputs, evidence.draft.signature.output.probabilities
    X, y = _affordable(evidence, _chosen(evidence, draw), seconds)
    metric, score = _score(evidence.draft.signature, y)

    def value(matrix: Any) -> float:
        found = score(*predict_matrix(evidence.estimator, matrix, probabilities))
        if not math.isfinite(found):
            raise NotShown("The model gave predictions that are not finite, or too large to measure.")
        return found

    full = value(X)
    losses: list[list[float]] = [[] for _ in inputs]
    for _ in range(REPEATS):
        for place, found in enumerate(losses):
            if time.monotonic() < end:
                found.append(full - value(_permuted(X, place, draw.permutation(len(y)))))
    measured = [place for place, found in enumerate(losses) if found]
    if not measured:
        raise NotShown(f"The model is too slow to measure every input within {seconds:g} s.")
    measured.sort(key=lambda place: -np.mean(losses[place]))
    return {
        "metric": metric,
        "full": number(full),
        "rows": len(y),
        "repeats": min(len(losses[place]) for place in measured),
        "columns": [
            {"name": clean(inputs[i].name), "mean": number(np.mean(losses[i])), "spread": number(np.std(losses[i]))}
            for i in measured[:MOST_COLUMNS]
        ],
        "left_out": max(0, len(measured) - MOST_COLUMNS),
        "not_measured": len(inputs) - len(measured),
    }


def _chosen(evidence: Evidence, draw: Any) -> Any:
    """Return random positions of at most `ROWS` test rows, with enough of each class: of a class in one row of a
    thousand, chance alone would leave a single row."""
    order = draw.permutation(len(evidence.y_test))
    labels = evidence.draft.signature.output.labels
    if labels is None or len(order) <= ROWS:
        return order[:ROWS]
    y = np.asarray(evidence.y_test)[order]
    sure = np.zeros(len(order), dtype=bool)
    for label in labels:
        sure[np.flatnonzero(y == label)[: ROWS // (2 * len(labels))]] = True
    return draw.permutation(np.concatenate([order[sure], order[~sure]])[:ROWS])


def _affordable(evidence: Evidence, chosen: Any, seconds: float) -> tuple[Any, Any]:
    """Return X and y of the `chosen` test rows, or of as many as allow one shuffle of each input in time."""
    signature, y = evidence.draft.signature, np.asarray(evidence.y_test)
    if len(chosen) < 2:
        raise NotShown("Shuffling needs at least two test rows.")
    began = time.monotonic()
    predict_matrix(evidence.estimator, take_rows(evidence.X_test, chosen), signature.output.probabilities)
    needed = (time.monotonic() - began) * len(signature.inputs)
    if needed > seconds:
        chosen = chosen[: max(FEWEST_ROWS, int(len(chosen) * seconds / needed))]
    return take_rows(evidence.X_test, chosen), y[chosen]


def _permuted(X: Any, place: int, order: Any) -> Any:
    """Return X with the values of one column in the given order; a DataFrame's column keeps its type."""
    if isinstance(X, list | pd.Series):  # the only input of each row
        return take_rows(X, order)
    changed = X.copy()
    if isinstance(X, np.ndarray):
        changed[:, place] = X[order, place]
    else:
        changed.isetitem(place, X.iloc[order, place].set_axis(X.index))  # of an array pandas makes NaN of None
    return changed


def _score(signature: Signature, y: Any) -> tuple[str, Score]:
    """Return the metric and its score: with probabilities the area under the ROC curve, which also reacts if a class is
    rare."""
    if signature.output.kind is OutputKind.NUMBER:
        spread = float(((y - y.mean()) ** 2).sum())
        if spread > 0:
            return "R²", lambda found, _: 1 - float(((y - found) ** 2).sum()) / spread
        return "mean absolute error", lambda found, _: -float(np.abs(y - found).mean())
    places = [place for place, label in enumerate(signature.output.labels or ()) if 0 < (y == label).sum() < len(y)]
    if not signature.output.probabilities or not places:
        return "accuracy", lambda found, _: float(np.mean(np.asarray(found) == y))
    own = np.column_stack([y == (signature.output.labels or ())[place] for place in places])
    inside = own.sum(axis=0)

    def area(_: Any, table: Any) -> float:
        """Return the mean area over the classes, computed by ranks: that is faster than a curve."""
        ranks = rankdata(table[:, places], axis=0)
        return float(np.mean(((ranks * own).sum(axis=0) - inside * (inside + 1) / 2) / (inside * (len(y) - inside))))

    return "area under the ROC curve", area
