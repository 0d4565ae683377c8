"""What an estimator answers to a matrix, without doing anything twice."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn._config import get_config
from sklearn.ensemble._forest import ForestClassifier
from sklearn.pipeline import Pipeline


def ask(estimator: Any, matrix: Any, probabilities: bool) -> tuple[Any, Any]:
    """`predict` and, where wanted, `predict_proba` (else None), as arrays. Raises what they raise."""
    if not probabilities:
        return np.asarray(estimator.predict(matrix)), None
    estimator, matrix = _last_step(estimator, matrix)
    table = np.asarray(estimator.predict_proba(matrix), dtype=float)
    if _predicts_the_most_probable(estimator):
        return estimator.classes_.take(np.argmax(table, axis=1)), table
    return np.asarray(estimator.predict(matrix)), table


def _last_step(estimator: Any, matrix: Any) -> tuple[Any, Any]:
    """The final estimator of a pipeline and what its transformers make of `matrix`: both of the pipeline's
    methods would transform."""
    while type(estimator) is Pipeline and not get_config()["enable_metadata_routing"]:
        for _, step in estimator.steps[:-1]:
            if step is not None and step != "passthrough":
                matrix = step.transform(matrix)
        estimator = estimator.steps[-1][1]
    return estimator, matrix


def _predicts_the_most_probable(estimator: Any) -> bool:
    """Whether its `predict` does nothing but that: a forest's calls `predict_proba` again."""
    return (
        isinstance(estimator, ForestClassifier)
        and type(estimator).predict is ForestClassifier.predict
        and estimator.n_outputs_ == 1
    )
