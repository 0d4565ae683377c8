"""Reads columns of rows as arrays, as pandas makes them of a DataFrame with the same values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from modelgate_kernels.functions import MOMENT, known_function
from modelgate_kernels.kernel import NotCovered
from modelgate_kernels.layout import ColumnLike, Kind, Null, Value
from modelgate_kernels.matrix import NULLS, are_numbers, column_dtype, to_series

Columns = Sequence[Sequence[Value]]
"""The values of each column that a model takes, in their order. None is null."""
ColumnReader = Callable[[Columns], Any]
"""Returns some columns as rows × columns."""

_UTC = "+00:00"
_SCALERS = frozenset({StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler})
_ENCODERS = frozenset({OneHotEncoder, OrdinalEncoder})


def frame_types(fields: Sequence[ColumnLike], numbers: str) -> list[Any]:
    """Return the dtype of each column in a DataFrame of them; None for one that no array holds."""
    return [_frame_type(field, numbers) for field in fields]


def array_dtype(types: Sequence[Any], first: Any) -> Any | None:
    """Return the dtype of the array that a DataFrame with columns of these types becomes in the fitted `first` of a
    pipeline, or when it is joined with others if that is None. None if that is no array, or one with other values."""
    kinds = set(types)
    if MOMENT in kinds:
        return MOMENT if len(kinds) == 1 and takes_moments(first) else None
    if len(kinds) == 1:
        return types[0]
    if None in kinds or np.float32 in kinds:
        return None  # float32 loses digits before it becomes the dtype of the others
    if type(first) in _ENCODERS:
        return object  # they look at each column alone
    if makes_floats(first) and object not in kinds:
        return np.float64
    looks_at_columns = type(first) is FunctionTransformer or not _is_of_sklearn(first)
    return np.float64 if kinds == {np.int64, np.float64} and not looks_at_columns else None


def cell_dtype(fields: Sequence[ColumnLike], numbers: str) -> Any:
    """Return the dtype of the array of all columns."""
    return np.dtype(numbers).type if are_numbers(fields) else object


def array_reader(places: Sequence[int], fields: Sequence[ColumnLike], types: Sequence[Any], dtype: Any) -> ColumnReader:
    """Return a reader of the columns at these places, which are these `fields` and have these types in a DataFrame, as
    an array of `dtype`."""
    nulls = [NULLS[field.null] for field in fields]

    def read(columns: Columns) -> Any:
        chosen = [columns[index] for index in places]
        if dtype is object:
            chosen = list(map(_objects, chosen, types, nulls))
        elif dtype is MOMENT:
            chosen = list(map(_without_zone, chosen))
        # pandas has the columns one after the other in memory: the last bit of a product of matrices depends on it.
        return np.array(chosen, dtype=dtype).T

    return read


def frame_reader(places: Sequence[int], fields: Sequence[ColumnLike], numbers: str) -> ColumnReader:
    """Return a reader of these columns as a DataFrame."""

    def read(columns: Columns) -> Any:
        return pd.DataFrame(
            {field.name: to_series(columns[index], field, numbers) for index, field in zip(places, fields, strict=True)}
        )

    return read


def series_reader(index: int, field: ColumnLike, numbers: str) -> ColumnReader:
    """Return a reader of one column as a Series."""
    read = frame_reader([index], [field], numbers)
    return lambda columns: read(columns)[field.name]


def _frame_type(field: ColumnLike, numbers: str) -> Any:
    if field.holds_objects:
        return None if field.null == Null.NA or field.kind == Kind.DATETIME else object
    if field.kind == Kind.DATETIME:
        return None if field.naive or field.zone or field.nanoseconds else MOMENT
    return object if field.kind == Kind.STRING else column_dtype(field, numbers)


def takes_moments(transformer: Any) -> bool:
    """Return whether it is a FunctionTransformer of moments."""
    known = known_function(transformer.func) if type(transformer) is FunctionTransformer else None
    return known is not None and known.takes_moments


def makes_floats(transformer: Any) -> bool:
    """Return whether it turns all numbers and booleans into float64, but numbers of 32 bits."""
    if type(transformer) is SimpleImputer:
        return transformer.strategy in ("mean", "median")
    if type(transformer) is FunctionTransformer:
        known = known_function(transformer.func)
        return known is not None and known.makes_floats
    return type(transformer) in _SCALERS


def _is_of_sklearn(estimator: Any) -> bool:
    return estimator is None or type(estimator).__module__.startswith("sklearn.")


def _objects(values: Sequence[Value], dtype: Any, null: Any) -> Sequence[Any]:
    """Return the values of a column as its Series of this dtype has them, with `null` among objects."""
    if dtype is not object:
        cells: list[Any] = np.array(values, dtype=dtype).tolist()
        return cells
    return [null if value is None else value for value in values] if None in values else values


def _without_zone(values: Sequence[Any]) -> Sequence[str]:
    """Return moments in UTC as NumPy reads them. Raises `NotCovered` for text in other formats than coercion makes."""
    if not all(value is None or value.endswith(_UTC) for value in values):
        raise NotCovered
    return ["NaT" if value is None else value[: -len(_UTC)] for value in values]
