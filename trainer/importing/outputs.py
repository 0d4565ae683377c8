"""Finds out what an estimator predicts: numbers or classes, and whether with probabilities."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from contract.jobs import Row, Value
from contract.manifest import ManifestDraft, Output, OutputKind
from contract.wording import counted, listed
from scoring.estimators import predict_rows
from trainer.importing import Refused
from trainer.importing.reasons import explained

ROUNDING = 1e-4
"""Largest distance of the sum of a row's probabilities from 1. scikit-learn's error is 1e-15, or 1e-7 in 32 bits; other
libraries compute thousands of classes in 32 bits."""


class DoesNotPredict(Exception):
    """The estimator raised `cause` when it was tried."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class NoProbabilities(Exception):
    """The estimator's probabilities are invalid; the message is a row of them."""


def detect_output(estimator: Any, rows: Sequence[Row], draft: ManifestDraft) -> tuple[Output, list[str]]:
    """Return the detected output, and warnings. Raises `Refused`, `DoesNotPredict`, `NoProbabilities` and
    `MemoryError`."""
    try:
        values, _ = predict_rows(estimator, rows, draft.signature, draft.artifact)
    except (MemoryError, Refused):
        raise
    except Exception as error:
        raise DoesNotPredict(error) from error
    if values.ndim > 1:
        once = "fit it on y.ravel()" if values.shape[1] == 1 else "fit and save one for each target"
        raise Refused(
            f"predicts {counted(values.shape[1], 'value')} a row, as an array of the shape {values.shape},"
            f" but Modelgate serves one: {once}, or wrap it in a class whose predict gives one value a row"
        )
    if values.shape != (len(rows),):
        raise Refused(f"answers {len(rows)} rows with an array of the shape {values.shape}; it must be one value a row")
    labels = classes_of(estimator)
    words = bool({str, bool, np.str_} & {type(value) for value in values.tolist()})
    plain = Output(OutputKind.NUMBER if labels is None and not words else OutputKind.CLASS, labels)
    if not hasattr(estimator, "predict_proba"):
        return plain, []
    wanted = dataclasses.replace(draft.signature, output=Output(OutputKind.CLASS, labels, probabilities=True))
    try:
        _, table = predict_rows(estimator, rows, wanted, draft.artifact)
    except MemoryError:
        raise
    except Exception as error:
        return plain, [f"it is served without probabilities: {explained(error)}"]
    if labels is None:
        labels = _numbers_of_components(values, table)
        if labels is None:
            return plain, ["it is served without probabilities: their classes are unknown"]
    if table.shape != (len(rows), len(labels)):
        return plain, [
            f"it is served without probabilities: they have the shape {table.shape} for {len(rows)} rows and"
            f" {len(labels)} classes"
        ]
    _check_probabilities(table)
    return Output(OutputKind.CLASS, labels, probabilities=True), []


def classes_of(estimator: Any) -> tuple[Value, ...] | None:
    """Return the class labels, or None if it has none. Raises `Refused`."""
    try:
        classes = estimator.classes_
    except AttributeError:
        return None
    if isinstance(classes, list | tuple) and any(isinstance(part, np.ndarray) for part in classes):
        raise Refused(f"predicts {len(classes)} targets, but Modelgate serves one: fit and save one model for each")
    labels = np.asarray(classes).tolist()
    if labels == []:  # a regressor of CatBoost
        return None
    if not isinstance(labels, list) or not all(isinstance(label, str | int | float) for label in labels):
        raise Refused(f"has classes that JSON cannot represent ({listed(list(classes))}); fit it on texts or numbers")
    return tuple(labels)


def _numbers_of_components(values: Any, table: Any) -> tuple[int, ...] | None:
    """Return 0, 1, … as labels if `values` are the column numbers of `table`, as for the components of a mixture; else
    None."""
    if table.ndim != 2 or values.dtype.kind != "i" or not np.array_equal(values, table.argmax(axis=1)):
        return None
    return tuple(range(table.shape[1]))


def _check_probabilities(table: Any) -> None:
    """Raise `NoProbabilities` for an invalid row. A row of zeros is valid, since OneVsRestClassifier gives such rows,
    and so are values that are not finite: they are served as null."""
    with np.errstate(invalid="ignore"):
        total = table.sum(axis=1)
        outside = ((table < -ROUNDING) | (table > 1 + ROUNDING)).any(axis=1)
        wrong = np.flatnonzero(outside | ((np.abs(total - 1) > ROUNDING) & (total != 0)))
    if wrong.size:
        raise NoProbabilities(listed([round(float(p), 6) for p in table[wrong[0]]]))
