"""Decides in which type numbers reach an estimator.

Whole numbers may have to be integers: a custom step may turn them into the text `1` or `1.0`. Estimators that were
fitted on float32 answer float64 otherwise, in the seventh digit.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from modelgate_kernels.matrix import to_matrix

from contract.errors import ModelgateError
from contract.model.manifest import InputDtype, InputFormat, ManifestDraft, Remark
from contract.model.signature import Kind, RowFormat
from contract.row import Answer, Row, Value
from scoring.held_objects import parts_in
from scoring.predict import Prediction, predict
from scoring.sklearn_internals import FITTED_ON
from trainer.importing.assumptions import unknown_whole_numbers
from trainer.importing.inputs import fitted_inputs as inputs

_MOST_ONE_BY_ONE = 50
"""Most columns that are decided one by one. With more, all are integers or none."""


# Integers


def may_matter(estimator: Any) -> bool:
    """Return whether `estimator` has custom steps: scikit-learn's own treat integers as floats."""
    return any(
        not type(part).__module__.startswith("sklearn.") or getattr(part, "func", None) is not None
        for part in parts_in(estimator)
    )


def choose_integers(
    estimator: Any,
    draft: ManifestDraft,
    rows: Sequence[Row],
    doubtful: Collection[str],
    shown: Mapping[str, Kind],
    sampled: bool,
) -> tuple[ManifestDraft, list[Remark]]:
    """Return `draft`, with the `doubtful` columns that change the answers as integers, and remarks.

    Doubtful columns hold only whole numbers in `rows`. `shown` has the kinds that the estimator itself shows; for other
    columns a sample decides. All others stay numbers: after 34 there may be 34.5.
    """
    doubtful = [field.name for field in draft.signature.inputs if field.name in doubtful]
    if not _differ(estimator, draft, with_integers(draft, doubtful), rows):
        return draft, []
    matter = _that_change_answers(estimator, draft, doubtful, rows)
    if _is_one_type(draft):
        shown = dict.fromkeys(matter, Kind.INTEGER if Kind.INTEGER in shown.values() else Kind.NUMBER) if shown else {}
    default = Kind.INTEGER if sampled else Kind.NUMBER
    chosen = [name for name in matter if shown.get(name, default) is Kind.INTEGER]
    unknown = [name for name in matter if name not in shown]
    return with_integers(draft, chosen), [unknown_whole_numbers(unknown, sampled)] if unknown else []


def with_integers(draft: ManifestDraft, names: Collection[str]) -> ManifestDraft:
    """Return `draft` with these inputs as integers."""
    fields = tuple(
        dataclasses.replace(field, kind=Kind.INTEGER) if field.name in names else field
        for field in draft.signature.inputs
    )
    artifact = draft.artifact
    whole = all(field.kind is Kind.INTEGER and not field.nullable for field in fields)
    if artifact.input_format is InputFormat.ARRAY and whole:
        artifact = dataclasses.replace(artifact, input_dtype=InputDtype.INT64)
    return dataclasses.replace(draft, signature=dataclasses.replace(draft.signature, inputs=fields), artifact=artifact)


def as_requested(draft: ManifestDraft, rows: Sequence[Row]) -> list[Row]:
    """Return `rows` as requests have them: the values of integer inputs as integers."""
    if draft.signature.format is not RowFormat.TABLE:
        return list(rows)
    whole = [field.kind is Kind.INTEGER for field in draft.signature.inputs]
    return [
        tuple(
            int(value) if is_whole and value is not None else value for is_whole, value in zip(whole, row, strict=True)
        )
        for row in rows
    ]


def _that_change_answers(
    estimator: Any, draft: ManifestDraft, names: Sequence[str], rows: Sequence[Row]
) -> Sequence[str]:
    """Return the columns that must be integers to give the same answers as if all were."""
    if _is_one_type(draft) or len(names) > _MOST_ONE_BY_ONE:
        return names
    alone = [name for name in names if _differ(estimator, draft, with_integers(draft, [name]), rows)]
    enough = not _differ(estimator, with_integers(draft, alone), with_integers(draft, names), rows)
    return alone if enough else names


def _is_one_type(draft: ManifestDraft) -> bool:
    """Return whether all columns share one dtype, as in an array of numbers."""
    return draft.artifact.input_format is InputFormat.ARRAY and all(
        field.kind in (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN) for field in draft.signature.inputs
    )


def _differ(estimator: Any, first: ManifestDraft, other: ManifestDraft, rows: Sequence[Row]) -> bool:
    """Return whether the answers differ; False if one of them raises."""
    if first == other:
        return False
    try:
        answer, another = (predict(estimator, draft, as_requested(draft, rows)) for draft in (first, other))
    except ModelgateError:
        return False
    return not all(map(_alike, _cells(answer), _cells(another)))


def _cells(answer: Prediction) -> Iterator[Value]:
    for row in (*answer.values, *(answer.probabilities or ())):
        yield from _flat(row)


def _flat(answer: Answer) -> Iterator[Value]:
    if isinstance(answer, Mapping):
        answer = list(answer.values())
    if isinstance(answer, list):
        for inner in answer:
            yield from _flat(inner)
    elif not isinstance(answer, Mapping | Sequence) or isinstance(answer, str):
        yield answer


def _alike(old: Value, new: Value) -> bool:
    """Return whether they are equal up to rounding, which differs when integers are multiplied."""
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=1e-6, abs_tol=1e-9)
    return old == new


# float32


def with_float32(estimator: Any, draft: ManifestDraft, rows: Sequence[Row]) -> ManifestDraft:
    """Return `draft`, with float32 as its dtype if a part of `estimator` was fitted on it and would get float64.

    A step that casts by itself, such as OneHotEncoder(dtype=np.float32), proves nothing: the steps before it had
    float64.
    """
    artifact = draft.artifact
    with suppress(Exception):  # an error shows again when it predicts
        matrix = to_matrix(rows[:2], draft.signature.inputs, artifact.input_format, artifact.input_dtype)
        if _gets_float64(estimator, matrix):
            return dataclasses.replace(draft, artifact=dataclasses.replace(artifact, input_dtype=InputDtype.FLOAT32))
    return draft


def _gets_float64(part: Any, matrix: Any) -> bool:
    """Return whether an estimator in `part` that was fitted on float32 would get float64 if `part` gets `matrix`."""
    steps = inputs.steps(part)
    for step in steps[:-1]:
        if _gets_float64(step, matrix):
            return True
        matrix = step.transform(matrix)
    if steps:
        return _gets_float64(steps[-1], matrix)
    if _is_float64(matrix) and _holds_float32(part):
        return True
    return any(_gets_float64(inner, matrix_inside) for inner, matrix_inside in _inside(part, matrix))


def _is_float64(matrix: Any) -> bool:
    types = matrix.dtypes.tolist() if isinstance(matrix, pd.DataFrame) else [matrix.dtype]
    return all(dtype == np.float64 for dtype in types)


def _holds_float32(part: Any) -> bool:
    """Return whether `part` was fitted on float32. Only scikit-learn's own estimators show that by their attributes."""
    if not type(part).__module__.startswith("sklearn."):
        return False
    learnt = [value for name, value in vars(part).items() if name.endswith("_") or name in FITTED_ON]
    return any(
        getattr(thing, "dtype", thing) == np.float32
        for value in learnt
        for thing in (value if isinstance(value, list) else [value])
    )


def _inside(part: Any, matrix: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the estimators in `part` that get columns of `matrix` unchanged, each with its columns."""
    for transformer, positions in inputs.by_columns(part):
        if hasattr(transformer, "transform"):
            by_name = isinstance(matrix, pd.DataFrame)
            yield transformer, matrix[part.feature_names_in_[positions]] if by_name else matrix[:, positions]
    for member in inputs.members(part):
        yield member, matrix
