"""Finds the methods of an estimator and the form of their answers, by trying them on rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from modelgate_kernels.model_kernel import ask

from contract.model.manifest import Artifact, ArtifactDraft
from contract.model.signature import OTHER_METHODS, PREDICT, AnswerForm, Method, Output, Returned, Signature
from contract.row import Row
from scoring.answers import answers_of, as_tables
from scoring.estimators import prepare
from scoring.held_objects import parts_in

MAX_NAMES = 10_000
"""Most numbers of an answer that get names."""

_OF_PROBABILITIES = ("predict_proba", "predict_log_proba")


def has_method(thing: Any, name: str) -> bool:
    """Return whether it has this method; properties of wrappers may raise anything."""
    try:
        return callable(getattr(thing, name))
    except Exception:
        return False


def find_methods(
    estimator: Any, rows: Sequence[Row], signature: Signature, artifact: Artifact | ArtifactDraft
) -> tuple[tuple[Method, ...], Mapping[str, Exception]]:
    """Return the methods that answer `rows`, and what the others raised. `predict` is the first where there are
    `signature.outputs`, else `transform`. Raises `MemoryError`, and what the steps before the final estimator raise."""
    steps = prepare(estimator, rows, signature, artifact, 1 + len(OTHER_METHODS))
    final, matrix = next(steps)
    outputs = signature.outputs
    methods, failed = [replace(PREDICT, returned=returned_as(final.predict(matrix)))] if outputs else [], {}
    for name in OTHER_METHODS if outputs else sorted(OTHER_METHODS, key="transform".__ne__):
        no_probabilities = name in _OF_PROBABILITIES and bool(outputs) and not outputs[0].probabilities
        if no_probabilities or not has_method(final, name):
            continue
        try:
            with warnings.catch_warnings(action="ignore"):  # such as of the logarithm of a probability of 0
                values = ask(*next(steps), name)
            method = _method(name, values, estimator, signature)
            answers_of(values, method, signature, len(rows))
            methods.append(replace(method, returned=returned_as(values)))
        except (AttributeError, NotImplementedError):
            continue  # the estimator does not have it after all
        except MemoryError:
            raise
        except Exception as error:
            failed[name] = error
    return tuple(methods), failed


def returned_as(values: Any) -> Returned | None:
    """Return what the values are in Python, None if they are something of their own."""
    shape: tuple[int, ...] = getattr(values, "shape", ())
    width = int(shape[1]) if len(shape) == 2 else None
    if isinstance(values, pd.DataFrame):
        return Returned("dataframe", tuple(map(str, values.dtypes)), width)
    if isinstance(values, pd.Series | np.ndarray):
        return Returned("series" if isinstance(values, pd.Series) else "ndarray", (str(values.dtype),), width)
    if hasattr(values, "tocsr"):
        return Returned(type(values).__name__, (str(values.dtype),), width)
    if isinstance(values, list | tuple) and all(isinstance(part, np.ndarray) for part in values):
        return Returned(type(values).__name__, tuple(str(part.dtype) for part in values))
    return None


def _method(name: str, values: Any, estimator: Any, signature: Signature) -> Method:
    """Return the method that answered with `values`."""
    if name == "kneighbors":
        return Method(name, AnswerForm.NEIGHBORS)
    if name == "transform":
        return _transform(values, estimator, signature)
    return Method(name, _form(name, values, estimator, signature.outputs))


def _form(name: str, values: Any, estimator: Any, outputs: Sequence[Output]) -> AnswerForm:
    values = as_tables(values) if isinstance(values, list) else values
    if isinstance(values, list) or (outputs and name == "predict_proba"):
        return AnswerForm.LABELS
    shape = np.shape(values)[1:]
    if name == "apply" or not outputs:
        return AnswerForm.NUMBERS if len(shape) and shape != (1,) else AnswerForm.NUMBER
    if len(outputs) > 1:
        return AnswerForm.NAMED
    labels = outputs[0].labels or ()
    # Three classes make three pairs, and a support vector machine may answer for each pair.
    by_pairs = name == "decision_function" and len(labels) == 3 and _answers_pairs(estimator)
    if shape == (len(labels),) and not by_pairs:
        return AnswerForm.LABELS
    return AnswerForm.NUMBERS if len(shape) and shape != (1,) else AnswerForm.NUMBER


def _answers_pairs(estimator: Any) -> bool:
    return any(getattr(part, "decision_function_shape", None) == "ovo" for part in parts_in(estimator))


def _transform(values: Any, estimator: Any, signature: Signature) -> Method:
    names = [*map(str, values.columns)] if isinstance(values, pd.DataFrame) else _feature_names(estimator, signature)
    shape = np.shape(values)
    known = len(shape) == 2 and len(names) == len(set(names)) == shape[1] <= MAX_NAMES
    if hasattr(values, "tocsr"):
        return Method("transform", AnswerForm.NONZERO, tuple(names) if known else None)
    if len(shape) == 1:
        return Method("transform", AnswerForm.NUMBER)
    return Method("transform", AnswerForm.NAMED, tuple(names)) if known else Method("transform", AnswerForm.NUMBERS)


def _feature_names(estimator: Any, signature: Signature) -> list[str]:
    """Return the names of the columns that `transform` returns; none if the estimator does not know them."""
    # An estimator that was fitted on an array learns the names of its columns here.
    for known in ([np.array(signature.names, dtype=object)], []):
        with suppress(Exception):
            return [*map(str, estimator.get_feature_names_out(*known))]
    return []
