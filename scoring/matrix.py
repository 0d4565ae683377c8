"""Makes the matrix that an estimator takes, from rows in signature order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from contract.jobs import ColumnarRows, Row, Value
from contract.manifest import InputDtype, InputFormat
from contract.signature import Field, Kind, Null, Signature

_DTYPES: dict[Kind, type] = {Kind.NUMBER: np.float64, Kind.INTEGER: np.int64, Kind.BOOLEAN: np.bool_}
NUMERIC = frozenset(_DTYPES)
NULLS: dict[Null, Any] = {
    Null.NAN: np.nan,
    Null.NAN_OBJECT: np.nan,
    Null.NONE: None,
    Null.NA: pd.NA,
    Null.NA_OBJECT: pd.NA,
}
_NULLABLE = {Kind.NUMBER: "Float64", Kind.INTEGER: "Int64", Kind.BOOLEAN: "boolean", Kind.STRING: "string"}
"""The dtypes of pandas that have NA."""
_ROWS_AT_ONCE = 1000
"""`zip` takes ten times as long for each of 100,000 rows, of which it has an iterator each, as for each of 1,000."""
_ONE_CELL = frozenset({InputFormat.TEXTS, InputFormat.SERIES, InputFormat.RECORDS})


def by_column(rows: Sequence[Row]) -> Sequence[Sequence[Value]]:
    """Return the columns of at least one row. Raises `ValueError` for rows of different lengths."""
    if isinstance(rows, ColumnarRows):
        return rows.columns
    if len(rows) <= _ROWS_AT_ONCE:
        return list(zip(*rows, strict=True))
    columns: list[list[Value]] = [[] for _ in rows[0]]
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = zip(*rows[start : start + _ROWS_AT_ONCE], strict=True)
        for column, values in zip(columns, some, strict=True):
            column.extend(values)
    return columns


def to_matrix(
    rows: Sequence[Row], signature: Signature, input_format: InputFormat, dtype: InputDtype = InputDtype.FLOAT64
) -> Any:
    """Return `len(rows)` × `len(signature.inputs)`: an ndarray, or a DataFrame with the inputs' names or numbers;
    or the only cell of each row in a list or Series.

    A null becomes what it is to the estimator (`Field.null`).
    """
    if input_format in _ONE_CELL:
        cells = [row[0] for row in rows]
        return pd.Series(cells, dtype=object) if input_format is InputFormat.SERIES else cells
    if input_format is not InputFormat.ARRAY:
        columns = by_column(rows) if rows else [[] for _ in signature.inputs]
        series = [to_series(values, f, dtype) for f, values in zip(signature.inputs, columns, strict=True)]
        numbered = input_format is InputFormat.NUMBERED
        return pd.DataFrame(dict(zip(range(len(series)) if numbered else signature.names, series, strict=True)))
    if are_numbers(signature):
        return to_array(rows, dtype).reshape(len(rows), len(signature.inputs))
    matrix = np.empty((len(rows), len(signature.inputs)), dtype=object)
    nulls = [NULLS[field.null] for field in signature.inputs]
    matrix[:] = [[null if value is None else value for value, null in zip(row, nulls, strict=True)] for row in rows]
    return matrix


def are_numbers(signature: Signature) -> bool:
    """Return whether an array of all inputs holds numbers, and not objects."""
    return all(field.kind in NUMERIC and not field.holds_objects for field in signature.inputs)


def to_array(rows: Sequence[Row], dtype: Any, order: Literal["C", "F"] = "C") -> Any:
    """Return rows of numbers as rows × columns, in NumPy's `order` in memory. Null becomes NaN."""
    if isinstance(rows, ColumnarRows):
        return np.asarray(np.array(rows.columns, dtype=dtype).T, order=order)
    return np.array(rows, dtype=dtype, order=order)


def take_rows(matrix: Any, places: Any) -> Any:
    """Return the rows of a matrix at these places: an array of integers."""
    if isinstance(matrix, list):
        return [matrix[place] for place in places]
    return matrix[places] if isinstance(matrix, np.ndarray) else matrix.iloc[places]


def column_dtype(field: Field, dtype: InputDtype) -> type:
    """Return the dtype of a column of numbers or booleans in a DataFrame. It depends on the field, not on the values: a
    null in one row must not change the dtype of other rows."""
    if field.kind is Kind.NUMBER and dtype is InputDtype.FLOAT32:
        return np.float32
    return np.float64 if field.nullable else _DTYPES[field.kind]


def to_series(values: Sequence[Value], field: Field, dtype: InputDtype) -> Any:
    """Return a column as pandas takes it for a DataFrame."""
    if field.kind is Kind.DATETIME:
        moments = pd.to_datetime(pd.Series(list[Any](values), dtype=object), utc=True, format="ISO8601")
        moments = moments.dt.tz_localize(None) if field.naive else moments
        return _with_null(moments, NULLS[field.null]) if field.holds_objects else moments
    if field.holds_objects:
        return _of_objects(values, field)
    if field.kind in NUMERIC:
        return np.array(values, dtype=column_dtype(field, dtype))
    if values.count(None) == len(values):
        return pd.array([None] * len(values), dtype="str")  # pandas infers this dtype only from a string
    return np.array([np.nan if value is None else value for value in values], dtype=object)


def _of_objects(values: Sequence[Value], field: Field) -> Any:
    """Return a Series of objects, or of a nullable dtype: in one pandas keeps None, of an array it makes NaN."""
    if field.null is Null.NA:
        return pd.Series(list[Any](values), dtype=_NULLABLE[field.kind])
    null = NULLS[field.null]
    return pd.Series([null if value is None else value for value in values], dtype=object)


def _with_null(moments: Any, null: Any) -> Any:
    """Return moments as objects, with `null` for NaT."""
    return pd.Series([null if moment is pd.NaT else moment for moment in moments], dtype=object)
