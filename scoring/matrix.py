"""Makes the matrix that an estimator takes, from rows in signature order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from contract.jobs import Row
from contract.manifest import Field, InputDtype, InputFormat, Kind, Signature

_DTYPES: dict[Kind, type] = {Kind.NUMBER: np.float64, Kind.INTEGER: np.int64, Kind.BOOLEAN: np.bool_}
_NUMERIC = frozenset(_DTYPES)


def to_matrix(
    rows: Sequence[Row], signature: Signature, input_format: InputFormat, dtype: InputDtype = InputDtype.FLOAT64
) -> Any:
    """Return `len(rows)` × `len(signature.inputs)`: an ndarray, or a DataFrame with the inputs' names.

    Nulls become NaN (NaT in datetimes), as when pandas reads a CSV.
    """
    if input_format is InputFormat.DATAFRAME:
        columns = zip(*rows, strict=True) if rows else ([] for _ in signature.inputs)
        series = {f.name: _column(list(values), f, dtype) for f, values in zip(signature.inputs, columns, strict=True)}
        return pd.DataFrame(series)
    if all(f.kind in _NUMERIC for f in signature.inputs):
        return np.array(rows, dtype=dtype).reshape(len(rows), len(signature.inputs))
    matrix = np.empty((len(rows), len(signature.inputs)), dtype=object)
    matrix[:] = [[np.nan if value is None else value for value in row] for row in rows]
    return matrix


def take_rows(matrix: Any, places: Any) -> Any:
    """Return the rows of a matrix at these places: an array of integers."""
    return matrix[places] if isinstance(matrix, np.ndarray) else matrix.iloc[places]


def column_dtype(field: Field, dtype: InputDtype) -> type:
    """Return the dtype of a column of numbers or booleans in a DataFrame. It depends on the field, not on the values: a
    null in one row must not change the dtype of other rows."""
    if field.kind is Kind.NUMBER and dtype is InputDtype.FLOAT32:
        return np.float32
    return np.float64 if field.nullable else _DTYPES[field.kind]


def _column(values: list[Any], field: Field, dtype: InputDtype) -> Any:
    if field.kind is Kind.DATETIME:
        return pd.to_datetime(pd.Series(values, dtype=object), utc=True, format="ISO8601")
    if field.kind in _NUMERIC:
        return np.array(values, dtype=column_dtype(field, dtype))
    if values.count(None) == len(values):
        return pd.array(values, dtype="str")  # pandas infers this dtype only from a string
    return np.array([np.nan if value is None else value for value in values], dtype=object)
