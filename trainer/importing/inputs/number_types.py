"""Decides in which type numbers reach an estimator.

Whole numbers may have to be integers: a custom step may turn them into the text `1` or `1.0`. Estimators that were
fitted on float32 answer float64 otherwise, in the seventh digit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from modelgate_kernels.matrix import to_matrix

from contract.errors import ModelgateError
from contract.model.manifest import InputDtype, InputFormat, ManifestDraft, Remark
from contract.model.signature import Kind, RowFormat
from contract.row import Answer, Row
from scoring.held_objects import parts_in
from scoring.predict import Prediction, predict
from scoring.sklearn_internals import FITTED_ON
from trainer.importing.assumptions import unknown_floats, unknown_whole_numbers
from trainer.importing.inputs import fitted_inputs as inputs
from trainer.publishing.verify import same

_MOST_ONE_BY_ONE = 50
"""Most columns that are decided one by one. With more, all have the same type."""
_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
_ROUNDED = 2.0**24 + 1
"""The first whole number that float32 rounds."""
_OF_TARGETS = frozenset({"classes_", "constant_", "target_mean_", "transduction_", "y_train_"})
"""Attributes that have the type of the targets."""


# Integers


def may_matter(estimator: Any) -> bool:
    """Return whether `estimator` has custom steps: scikit-learn's own treat integers as floats."""
    return any(
        not type(part).__module__.startswith("sklearn.") or getattr(part, "func", None) is not None
        for part in parts_in(estimator)
        if not inputs.only_casts(part)
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
        tuple(int(v) if is_whole and v is not None else v for is_whole, v in zip(whole, row, strict=True))
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
    pairs = zip(_values(answer), _values(another), strict=False)
    # Rounding differs when integers are multiplied.
    return any(old != new and not same(old, new, 1e-6, 1e-9) for old, new in pairs)


def _values(answer: Prediction) -> Iterator[Answer]:
    for row in (*answer.values, *(answer.probabilities or ())):
        yield from _flat(row)


def _flat(answer: Answer) -> Iterator[Answer]:
    if isinstance(answer, Mapping | list):
        for part in answer.values() if isinstance(answer, Mapping) else answer:
            yield from _flat(part)
    else:
        yield answer


# float32


def with_float32(estimator: Any, draft: ManifestDraft, rows: Sequence[Row]) -> tuple[ManifestDraft, list[Remark]]:
    """Return `draft`, with float32 for the numbers that a part of `estimator` was fitted on as such: all of an array,
    or the columns of a DataFrame without which that part would get float64. A remark has the columns that may be of
    either type, if their answers differ; they stay float64.

    A step that casts by itself, such as OneHotEncoder(dtype=np.float32), proves nothing: the steps before it had
    float64.
    """
    if _SINGLE not in _missing(estimator, draft, rows):
        return draft, []
    if draft.artifact.input_format is InputFormat.ARRAY:
        artifact = dataclasses.replace(draft.artifact, input_dtype=InputDtype.FLOAT32)
        return dataclasses.replace(draft, artifact=artifact), []
    numbers = [field.name for field in draft.signature.inputs if field.kind is Kind.NUMBER]
    if len(numbers) > _MOST_ONE_BY_ONE:
        return _in_float32(draft, numbers), []
    possible = {name for name in numbers if _DOUBLE not in _missing(estimator, _in_float32(draft, [name]), rows)}
    needed = {name for name in possible if _SINGLE in _missing(estimator, _in_float32(draft, possible - {name}), rows)}
    chosen, large = _in_float32(draft, needed), tuple(_ROUNDED if isinstance(v, float) else v for v in rows[0])
    differ = _differ(estimator, chosen, _in_float32(draft, possible), [*rows, large])
    return chosen, [unknown_floats(sorted(possible - needed))] if differ else []


def _in_float32(draft: ManifestDraft, names: Collection[str]) -> ManifestDraft:
    """Return `draft`, with these columns of a DataFrame as float32."""
    fields = tuple(dataclasses.replace(field, float32=field.name in names) for field in draft.signature.inputs)
    return dataclasses.replace(draft, signature=dataclasses.replace(draft.signature, inputs=fields))


def _missing(estimator: Any, draft: ManifestDraft, rows: Sequence[Row]) -> set[Any]:
    """Return the types of floats that parts of `estimator` were fitted on and would not get under `draft`."""
    missing, artifact = set[Any](), draft.artifact
    with suppress(Exception):  # an error shows again when it predicts
        matrix = to_matrix(rows[:2], draft.signature.inputs, artifact.input_format, artifact.input_dtype)
        missing.update(_missing_in(estimator, matrix))
    return missing


def _missing_in(part: Any, matrix: Any) -> Iterator[Any]:
    """Yield the types that estimators in `part` would not get if `part` gets `matrix`."""
    steps = inputs.steps(part)
    for step in steps[:-1]:
        yield from _missing_in(step, matrix)
        matrix = step.transform(matrix)
    if steps:
        yield from _missing_in(steps[-1], matrix)
        return
    types = matrix.dtypes.tolist() if isinstance(matrix, pd.DataFrame) else [matrix.dtype] * matrix.shape[1]
    yield from (fitted for fitted, given in _fitted_types(part, types) if {fitted, given} == {_SINGLE, _DOUBLE})
    for inner, matrix_inside in _inside(part, matrix):
        yield from _missing_in(inner, matrix_inside)


def _fitted_types(part: Any, types: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the types of floats that `part` shows it was fitted on, each with the one that it gets of columns of these
    `types`. Only scikit-learn's own estimators show that by their attributes."""
    if not type(part).__module__.startswith("sklearn."):
        return
    learnt = {name: value for name, value in vars(part).items() if name.endswith("_") or name in FITTED_ON}
    categories = learnt.pop("categories_", ())
    if len(categories) == len(types):  # an encoder looks at each column alone
        for known, given in zip(categories, types, strict=True):
            if known.dtype.kind in "iuf":
                yield _SINGLE if known.dtype == _SINGLE else _DOUBLE, given
    for value in (value for name, value in learnt.items() if name not in _OF_TARGETS):
        for thing in value if isinstance(value, list) else [value]:
            if getattr(thing, "dtype", thing) == _SINGLE:
                yield _SINGLE, np.result_type(*{*types})


def _inside(part: Any, matrix: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the estimators in `part` that get columns of `matrix` unchanged, each with its columns."""
    for transformer, positions in inputs.by_columns(part):
        if hasattr(transformer, "transform"):
            by_name = isinstance(matrix, pd.DataFrame)
            yield transformer, matrix[part.feature_names_in_[positions]] if by_name else matrix[:, positions]
    for member in inputs.members(part):
        yield member, matrix
