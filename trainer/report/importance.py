"""Permutation importance: how much worse the model gets when the values of one input are shuffled."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from contract.model.manifest import InputFormat
from contract.model.signature import OutputKind, Signature
from contract.wording import clean
from scoring.estimators import predict_matrix
from trainer.report.evidence import Evidence
from trainer.report.parts import Facts, NotShown, number
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
    inputs = evidence.draft.signature.inputs
    X, y = _affordable(evidence, _chosen(evidence, draw), seconds)
    metric, score = _score(evidence.draft.signature, y)

    def value(matrix: Any) -> float:
        result = score(*predict_matrix(evidence.estimator, matrix, evidence.draft))
        if not math.isfinite(result):
            raise NotShown("The model gave predictions that are not finite, or too large to measure.")
        return result

    full = value(X)
    losses: list[list[float]] = [[] for _ in inputs]
    for _ in range(REPEATS):
        for index, input_losses in enumerate(losses):
            if time.monotonic() < end:
                input_losses.append(full - value(_permuted(X, index, draw.permutation(len(y)))))
    measured = [index for index, input_losses in enumerate(losses) if input_losses]
    if not measured:
        raise NotShown(f"The model is too slow to measure every input within {seconds:g} s.")
    measured.sort(key=lambda index: -np.mean(losses[index]))
    return {
        "metric": metric,
        "full": number(full),
        "rows": len(y),
        "repeats": min(len(losses[index]) for index in measured),
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
    predict_matrix(evidence.estimator, take_rows(evidence.X_test, chosen), evidence.draft)
    needed = (time.monotonic() - began) * len(signature.inputs)
    if needed > seconds:
        chosen = chosen[: max(FEWEST_ROWS, int(len(chosen) * seconds / needed))]
    return take_rows(evidence.X_test, chosen), y[chosen]


def _permuted(X: Any, column: int, order: Any) -> Any:
    """Return X with the values of one column in the given order; a DataFrame's column keeps its type."""
    if isinstance(X, list | pd.Series):  # the only input of each row
        return take_rows(X, order)
    changed = X.copy()
    if isinstance(X, np.ndarray):
        changed[:, column] = X[order, column]
    else:
        changed.isetitem(column, X.iloc[order, column].set_axis(X.index))  # of an array pandas makes NaN of None
    return changed


def _score(signature: Signature, y: Any) -> tuple[str, Score]:
    """Return the metric and its score: with probabilities the area under the ROC curve, which also reacts if a class is
    rare."""
    if signature.output.kind is OutputKind.NUMBER:
        spread = float(((y - y.mean()) ** 2).sum())
        if spread > 0:
            return "R²", lambda predicted, _: 1 - float(((y - predicted) ** 2).sum()) / spread
        return "mean absolute error", lambda predicted, _: -float(np.abs(y - predicted).mean())
    columns = [index for index, label in enumerate(signature.output.labels or ()) if 0 < (y == label).sum() < len(y)]
    if not signature.output.probabilities or not columns:
        return "accuracy", lambda predicted, _: float(np.mean(np.asarray(predicted) == y))
    hits = np.column_stack([y == (signature.output.labels or ())[index] for index in columns])
    inside = hits.sum(axis=0)

    def area(_: Any, table: Any) -> float:
        """Return the mean area over the classes, computed by ranks: that is faster than a curve."""
        ranks = rankdata(table[:, columns], axis=0)
        return float(np.mean(((ranks * hits).sum(axis=0) - inside * (inside + 1) / 2) / (inside * (len(y) - inside))))

    return "area under the ROC curve", area
