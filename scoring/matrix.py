"""Rows in signature order → the matrix that the estimator was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from contract.jobs import Row
from contract.manifest import Field, InputFormat, Kind, Signature

_NUMERIC = {Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN}


def to_matrix(rows: Sequence[Row], signature: Signature, input_format: InputFormat) -> Any:
    """`len(rows)` × `len(signature.inputs)`: an ndarray, or a DataFrame with the inputs' names.

    Nulls become NaN (NaT in datetimes), as a CSV that pandas reads has them.
    """
    if input_format is InputFormat.DATAFRAME:
        columns = zip(*rows, strict=True) if rows else ([] for _ in signature.inputs)
        series = {f.name: _column(list(values), f) for f, values in zip(signature.inputs, columns, strict=True)}
        return pd.DataFrame(series)
    if all(f.kind in _NUMERIC for f in signature.inputs):
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(signature.inputs))
    matrix = np.empty((len(rows), len(signature.inputs)), dtype=object)
    matrix[:] = [[np.nan if value is None else value for value in row] for row in rows]
    return matrix


def _column(values: list[Any], field: Field) -> Any:
    if field.kind is Kind.DATETIME:
        return pd.to_datetime(pd.Series(values, dtype=object), utc=True, format="ISO8601")
    if None not in values:
        dtype = {Kind.NUMBER: np.float64, Kind.INTEGER: np.int64, Kind.BOOLEAN: np.bool_}.get(field.kind, object)
        return np.array(values, dtype=dtype)
    if field.kind in _NUMERIC:
        return np.array(values, dtype=np.float64)
    return np.array([np.nan if value is None else value for value in values], dtype=object)
