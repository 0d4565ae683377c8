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
"""How far the probabilities of a row may be from 1 together. Those of scikit-learn are off by 1e-15, or 1e-7 where it
computes in 32 bits; the classes of other libraries, in 32 bits, may be thousands."""


class DoesNotPredict(Exception):
    """The estimator raised `cause` when it was tried."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class NoProbabilities(Exception):
    """The estimator's probabilities are invalid; the message is a row of them."""


def output(estimator: Any, rows: Sequence[Row], draft: ManifestDraft) -> tuple[Output, list[str]]:
    """Return the output, and warnings. Raises `Refused`, `DoesNotPredict`, `NoProbabilities` and `MemoryError`."""
    try:
        values, _ = predict_rows(estimator, rows, draft.signature, draft.artifact)
    except (MemoryError, Refused):
        raise
    except Exception as error:
        raise DoesNotPredict(error) from error
    if values.ndim > 1:
        once = "fit it on y.ravel()" if values.shape[1] == 1 else "fit and save one for each target"
        raise Refused(
            f"predicts {counted(values.shape[1], 'value')} a row, as an array of the shape {values.shape}, and a model"
            f" here predicts one: {once}, or wrap it in a class whose predict gives one value a row"
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
            return plain, ["it is served without probabilities: it does not tell of which classes they are"]
    if table.shape != (len(rows), len(labels)):
        return plain, [
            f"it is served without probabilities: they have the shape {table.shape} for {len(rows)} rows and"
            f" {len(labels)} classes"
        ]
    _check_probabilities(table)
    return Output(OutputKind.CLASS, labels, probabilities=True), []


def classes_of(estimator: Any) -> tuple[Value, ...] | None:
    """None: it has no classes."""
    try:
        classes = estimator.classes_
    except AttributeError:
        return None
    if isinstance(classes, list | tuple) and any(isinstance(part, np.ndarray) for part in classes):
        raise Refused(f"predicts {len(classes)} targets; a model here predicts one: fit and save one for each")
    labels = np.asarray(classes).tolist()
    if labels == []:  # CatBoost's of a regressor
        return None
    if not isinstance(labels, list) or not all(isinstance(label, str | int | float) for label in labels):
        raise Refused(f"has classes that JSON cannot hold ({listed(list(classes))}); fit it on texts or numbers")
    return tuple(labels)


def _numbers_of_components(values: Any, table: Any) -> tuple[int, ...] | None:
    """0, 1, … for the columns of `table`, where `values` are those numbers: a mixture's components are its classes,
    and it has no other names for them."""
    if table.ndim != 2 or values.dtype.kind != "i" or not np.array_equal(values, table.argmax(axis=1)):
        return None
    return tuple(range(table.shape[1]))


def _check_probabilities(table: Any) -> None:
    """A row of zeros is none of the classes, as OneVsRestClassifier may say; what is not finite is served as null."""
    with np.errstate(invalid="ignore"):
        total = table.sum(axis=1)
        outside = ((table < -ROUNDING) | (table > 1 + ROUNDING)).any(axis=1)
        wrong = np.flatnonzero(outside | ((np.abs(total - 1) > ROUNDING) & (total != 0)))
    if wrong.size:
        raise NoProbabilities(listed([round(float(p), 6) for p in table[wrong[0]]]))
