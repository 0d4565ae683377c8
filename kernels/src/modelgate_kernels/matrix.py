"""Makes the matrix that an estimator takes, from rows in signature order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from modelgate_kernels.layout import ColumnLike, InputFormat, Kind, Null, Row, Value

_DTYPES: dict[str, type] = {Kind.NUMBER: np.float64, Kind.INTEGER: np.int64, Kind.BOOLEAN: np.bool_}
NUMERIC = frozenset(_DTYPES)
NULLS: dict[str, Any] = {
    Null.NAN: np.nan,
    Null.NAN_OBJECT: np.nan,
    Null.NONE: None,
    Null.NA: pd.NA,
    Null.NA_OBJECT: pd.NA,
}
_NULLABLE: dict[str, str] = {
    Kind.NUMBER: "Float64",
    Kind.INTEGER: "Int64",
    Kind.BOOLEAN: "boolean",
    Kind.STRING: "string",
}
"""The dtypes of pandas that have NA."""
_TEXTS: Any = pd.Series(["text"]).dtype
"""What pandas makes of texts: objects before 3.0."""
_ISO_8601: dict[str, Any] = {} if pd.__version__.startswith("1.") else {"format": "ISO8601"}
"""pandas 2 would otherwise read every text as it reads the first one; pandas 1 never does, and has no such format."""
_ROWS_AT_ONCE = 1000
"""`zip` takes ten times as long for each of 100,000 rows, of which it has an iterator each, as for each of 1,000."""
_ONE_CELL: frozenset[str] = frozenset({InputFormat.TEXTS, InputFormat.SERIES, InputFormat.RECORDS})


def by_column(rows: Sequence[Row]) -> Sequence[Sequence[Value]]:
    """Return the columns of at least one row. Rows with an attribute `columns` are held as these. Raises `ValueError`
    for rows of different lengths."""
    if (held := getattr(rows, "columns", None)) is not None:
        return held  # type: ignore[no-any-return]
    if len(rows) <= _ROWS_AT_ONCE:
        return list(zip(*rows, strict=True))
    columns: list[list[Value]] = [[] for _ in rows[0]]
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = zip(*rows[start : start + _ROWS_AT_ONCE], strict=True)
        for column, values in zip(columns, some, strict=True):
            column.extend(values)
    return columns


def to_matrix(rows: Sequence[Row], columns: Sequence[ColumnLike], input_format: str, dtype: str = "float64") -> Any:
    """Return `len(rows)` × `len(columns)`: an ndarray, or a DataFrame with the columns' names or numbers; or the only
    cell of each row in a list or Series.

    None becomes what it is to the estimator (`Null`).
    """
    if input_format in _ONE_CELL:
        cells = [row[0] for row in rows]
        if input_format == InputFormat.RECORDS:  # an estimator may change them
            return [{name: [*v] if isinstance(v, list) else v for name, v in record.items()} for record in cells]
        return pd.Series(cells, dtype=object) if input_format == InputFormat.SERIES else cells
    if input_format != InputFormat.ARRAY:
        values_of = by_column(rows) if rows else [[] for _ in columns]
        series = [to_series(values, column, dtype) for column, values in zip(columns, values_of, strict=True)]
        names = range(len(series)) if input_format == InputFormat.NUMBERED else [column.name for column in columns]
        return pd.DataFrame(dict(zip(names, series, strict=True)))
    if are_numbers(columns):
        return to_array(rows, dtype).reshape(len(rows), len(columns))
    matrix = np.empty((len(rows), len(columns)), dtype=object)
    nulls = [NULLS[column.null] for column in columns]
    matrix[:] = [[null if value is None else value for value, null in zip(row, nulls, strict=True)] for row in rows]
    return matrix


def are_numbers(columns: Sequence[ColumnLike]) -> bool:
    """Return whether an array of all columns holds numbers, and not objects."""
    return all(column.kind in NUMERIC and not column.holds_objects for column in columns)


def to_array(rows: Sequence[Row], dtype: Any, order: Literal["C", "F"] = "C") -> Any:
    """Return rows of numbers as rows × columns, in NumPy's `order` in memory. Null becomes NaN."""
    if (held := getattr(rows, "columns", None)) is not None:
        return np.asarray(np.array(held, dtype=dtype).T, order=order)
    return np.array(rows, dtype=dtype, order=order)


def column_dtype(column: ColumnLike, dtype: str) -> type:
    """Return the dtype of numbers or booleans in a DataFrame. It depends on the column, not on the values: a null in
    one row must not change the dtype of other rows."""
    if column.kind == Kind.NUMBER and (column.float32 or dtype == "float32"):
        return np.float32
    return np.float64 if column.nullable else _DTYPES[column.kind]


def to_series(values: Sequence[Value], column: ColumnLike, dtype: str) -> Any:
    """Return a column as pandas takes it for a DataFrame."""
    if column.kind == Kind.DATETIME:
        moments: Any = pd.to_datetime(pd.Series(list[Any](values), dtype=object), utc=True, **_ISO_8601)
        if column.nanoseconds and moments.dtype.unit != "ns":  # pandas before 3 reads them so
            moments = moments.dt.as_unit("ns")
        if column.naive or column.zone:
            moments = moments.dt.tz_localize(None) if column.naive else moments.dt.tz_convert(column.zone)
        return _with_null(moments, NULLS[column.null]) if column.holds_objects else moments
    if column.holds_objects:
        return _of_objects(values, column)
    if column.kind in NUMERIC:
        return np.array(values, dtype=column_dtype(column, dtype))
    if values.count(None) == len(values):
        return pd.array([np.nan] * len(values), dtype=_TEXTS)  # pandas infers this dtype only from a string
    return np.array([np.nan if value is None else value for value in values], dtype=object)


def _of_objects(values: Sequence[Value], column: ColumnLike) -> Any:
    """Return a Series of objects, or of a nullable dtype: in one pandas keeps None, of an array it makes NaN."""
    if column.null == Null.NA:
        return pd.Series(list[Any](values), dtype=_NULLABLE[column.kind])
    null = NULLS[column.null]
    return pd.Series([null if value is None else value for value in values], dtype=object)


def _with_null(moments: Any, null: Any) -> Any:
    """Return moments as objects, with `null` for NaT."""
    return pd.Series([null if moment is pd.NaT else moment for moment in moments], dtype=object)
