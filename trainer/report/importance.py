"""Permutation importance: how much worse the model gets when the values of one input are dealt out to other rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from contract.manifest import OutputKind, Signature
from scoring.answers import ask
from trainer.report.evidence import Evidence
from trainer.report.parts import Facts, NotShown, clean, number

ROWS, FEWEST_ROWS, REPEATS, SECONDS, MOST_COLUMNS, SEED = 1000, 50, 5, 10.0, 20, 0

Score = Callable[[Any, Any], float]
"""Predictions, and probabilities or None → how good they are; more is better."""


def importance(evidence: Evidence, seconds: float = SECONDS) -> Facts:
    """Of the `MOST_COLUMNS` inputs that matter most, what the model loses in `metric`: `mean` and `spread` over `repeats`.

    On at most `ROWS` rows and for about `seconds`: a slow model gets fewer rows, then fewer repeats, and in the end
    only the first inputs (`not_measured` says how many are missing).
    """
    end, draw = time.monotonic() + seconds, np.random.default_rng(SEED)
    estimator, signature = evidence.estimator, evidence.manifest.signature
    wants_probabilities = signature.output.probabilities
    X, y = evidence.X_test, np.asarray(evidence.y_test)
    if len(y) < 2:
        raise NotShown("It takes at least two rows to exchange values between.")
    order = draw.permutation(len(y))
    X, y = _take(X, order[:ROWS]), y[order[:ROWS]]
    began = time.monotonic()
    ask(estimator, X, wants_probabilities)
    needed = (time.monotonic() - began) * len(signature.inputs)
    if needed > seconds:
        fewer = np.arange(min(len(y), max(FEWEST_ROWS, int(len(y) * seconds / needed))))
        X, y = _take(X, fewer), y[fewer]
    metric, score = _score(signature, y)
    full = score(*ask(estimator, X, wants_probabilities))
    losses: list[list[float]] = [[] for _ in signature.inputs]
    for _ in range(REPEATS):
        for place, found in enumerate(losses):
            if time.monotonic() < end:
                shuffled = _exchanged(X, place, draw.permutation(len(y)))
                found.append(full - score(*ask(estimator, shuffled, wants_probabilities)))
    measured = [
        {"name": clean(field.name), "mean": number(np.mean(found)), "spread": number(np.std(found))}
        for field, found in zip(signature.inputs, losses, strict=True)
        if found
    ]
    if not measured:
        raise NotShown(f"The model takes too long to be asked once for each input within {seconds:g} s.")
    measured.sort(key=lambda column: -column["mean"])
    return {
        "metric": metric,
        "full": number(full),
        "rows": len(y),
        "repeats": min(len(found) for found in losses if found),
        "columns": measured[:MOST_COLUMNS],
        "left_out": max(0, len(measured) - MOST_COLUMNS),
        "not_measured": len(signature.inputs) - len(measured),
    }


def _take(X: Any, rows: Any) -> Any:
    return X[rows] if isinstance(X, np.ndarray) else X.iloc[rows]


def _exchanged(X: Any, place: int, order: Any) -> Any:
    """X with the values of one column in that order; a DataFrame's column keeps its type."""
    changed = X.copy()
    if isinstance(X, np.ndarray):
        changed[:, place] = X[order, place]
    else:
        changed.isetitem(place, X.iloc[order, place].array)
    return changed


def _score(signature: Signature, y: Any) -> tuple[str, Score]:
    """The area under the ROC curve where there are probabilities, since it also moves where one class is rare."""
    if signature.output.kind is OutputKind.NUMBER:
        spread = float(((y - y.mean()) ** 2).sum())
        if spread > 0:
            return "R²", lambda found, _: 1 - float(((y - _finite(found)) ** 2).sum()) / spread
        return "mean absolute error", lambda found, _: -float(np.abs(y - _finite(found)).mean())
    places = [place for place, label in enumerate(signature.output.labels or ()) if 0 < (y == label).sum() < len(y)]
    if not signature.output.probabilities or not places:
        return "accuracy", lambda found, _: float(np.mean(np.asarray(found) == y))
    labels = signature.output.labels or ()
    places = places[-1:] if len(labels) == 2 else places

    def area(_: Any, table: Any) -> float:
        return float(np.mean([roc_auc_score(y == labels[place], _finite(table[:, place])) for place in places]))

    return "area under the ROC curve", area


def _finite(found: Any) -> Any:
    if not np.isfinite(found).all():
        raise NotShown("The model gave answers that are not finite numbers.")
    return found
