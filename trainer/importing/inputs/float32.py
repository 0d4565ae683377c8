"""Detects estimators that were fitted on float32: with float64 their answers differ in the seventh digit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from modelgate_kernels.matrix import to_matrix

from contract.model.manifest import InputDtype, ManifestDraft
from contract.row import Row
from scoring.sklearn_internals import FITTED_ON
from trainer.importing.inputs import fitted_inputs as inputs


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
