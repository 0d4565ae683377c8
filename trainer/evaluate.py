"""How good a fitted estimator is: plain numbers for the manifest."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score

from contract.manifest import OutputKind


def evaluate(estimator: Any, X: Any, y: Any, kind: OutputKind, held_out: bool) -> dict[str, float]:
    """The metrics on the rows X (rows × inputs) and y, the most telling first; all are finite.

    Classes: `accuracy`, and `baseline_accuracy`, that of always answering the most frequent class.
    Numbers: `r2` and `mean_absolute_error`, in the target's unit. Names begin with `training_` when
    the estimator was fitted on these very rows.
    """
    predicted = estimator.predict(X)
    if kind is OutputKind.CLASS:
        _, counts = np.unique(y, return_counts=True)
        metrics = {"accuracy": accuracy_score(y, predicted), "baseline_accuracy": counts.max() / len(y)}
    else:
        metrics = {"r2": r2_score(y, predicted), "mean_absolute_error": mean_absolute_error(y, predicted)}
    prefix = "" if held_out else "training_"
    return {prefix + name: float(value) for name, value in metrics.items() if np.isfinite(value)}
