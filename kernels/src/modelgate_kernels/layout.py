"""What the rows of an estimator hold, and the table that it was fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
import pandas as pd

Value = str | int | float | bool | None
Row = Sequence[Any]
"""A `Value` for each column, in their order. A moment is a text in ISO 8601. Rows of `RECORDS` hold one dict each."""


class Kind(StrEnum):
    """What a column holds."""

    NUMBER = "number"
    INTEGER = "integer"
    STRING = "string"
    BOOLEAN = "boolean"
    DATETIME = "datetime"


class Null(StrEnum):
    """What None in a row becomes: NaN, or NaT in a column of moments (NAN); pandas' NA in a column of a nullable dtype
    (NA); or None, NaN or NA in a column of objects."""

    NAN = "nan"
    NAN_OBJECT = "nan_object"
    NONE = "none"
    NA = "na"
    NA_OBJECT = "na_object"


class InputFormat(StrEnum):
    """What the estimator was fitted on. NUMBERED is a DataFrame whose columns are numbered from 0, TEXTS a list of
    texts, SERIES a Series of texts, RECORDS a list of dicts."""

    ARRAY = "array"
    DATAFRAME = "dataframe"
    NUMBERED = "numbered_dataframe"
    TEXTS = "texts"
    SERIES = "series"
    RECORDS = "records"


class ColumnLike(Protocol):
    """A column of rows. The texts may be of any enumeration with the values of `Kind` and `Null`.

    `categories` are the only texts that it holds, None if it may hold others. `naive`: moments have no time zone.
    `zone`: they are in this time zone, None for UTC. `nanoseconds`: their unit; otherwise that of pandas.
    `holds_objects`: its nulls make it a column of objects or of a nullable dtype. `float32`: its numbers have 32 bits,
    whatever those of other columns of a DataFrame have.
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def nullable(self) -> bool: ...
    @property
    def categories(self) -> tuple[str, ...] | None: ...
    @property
    def naive(self) -> bool: ...
    @property
    def null(self) -> str: ...
    @property
    def float32(self) -> bool: ...
    @property
    def zone(self) -> str | None: ...
    @property
    def nanoseconds(self) -> bool: ...
    @property
    def holds_objects(self) -> bool: ...


@dataclass(frozen=True)
class Column:
    """A `ColumnLike`."""

    name: str
    kind: str
    nullable: bool = False
    categories: tuple[str, ...] | None = None
    naive: bool = False
    null: str = Null.NAN
    float32: bool = False
    zone: str | None = None
    nanoseconds: bool = False

    @property
    def holds_objects(self) -> bool:
        return self.nullable and self.null != Null.NAN


@dataclass(frozen=True)
class Layout:
    """The columns of rows, and what an estimator that was fitted on such takes. `dtype` is that of an array; float32
    also applies to the numbers of a DataFrame."""

    columns: Sequence[ColumnLike]
    input_format: str = InputFormat.DATAFRAME
    dtype: str = "float64"


_OF_DTYPE: Mapping[str, Mapping[str, Any]] = {
    "float64": {"kind": Kind.NUMBER, "nullable": True},
    "float32": {"kind": Kind.NUMBER, "nullable": True, "float32": True},
    "int64": {"kind": Kind.INTEGER},
    "bool": {"kind": Kind.BOOLEAN},
    "str": {"kind": Kind.STRING, "nullable": True},
    "datetime64[us, UTC]": {"kind": Kind.DATETIME, "nullable": True},
    "datetime64[us]": {"kind": Kind.DATETIME, "nullable": True, "naive": True},
    "Float64": {"kind": Kind.NUMBER, "nullable": True, "null": Null.NA},
    "Int64": {"kind": Kind.INTEGER, "nullable": True, "null": Null.NA},
    "boolean": {"kind": Kind.BOOLEAN, "nullable": True, "null": Null.NA},
    "string": {"kind": Kind.STRING, "nullable": True, "null": Null.NA},
}


def layout_of(table: Any) -> Layout:
    """Return the layout of the rows of a DataFrame, of an array of numbers, or of a list or Series of texts. Raises
    `TypeError` for others."""
    if isinstance(table, pd.DataFrame):
        numbered = [*table.columns] == [*range(table.shape[1])]
        columns = [_column(str(name), table.iloc[:, index]) for index, name in enumerate(table.columns)]
        input_format = InputFormat.NUMBERED if numbered else InputFormat.DATAFRAME
        return Layout(columns, input_format)
    if isinstance(table, np.ndarray) and table.ndim == 2 and str(table.dtype) in ("float64", "float32", "int64"):
        columns = [Column(f"x{index}", **_OF_DTYPE[str(table.dtype)]) for index in range(table.shape[1])]
        return Layout(columns, InputFormat.ARRAY, str(table.dtype))
    if isinstance(table, list | pd.Series) and all(isinstance(text, str) for text in table):
        series = isinstance(table, pd.Series)
        return Layout([Column("text", Kind.STRING)], InputFormat.SERIES if series else InputFormat.TEXTS)
    raise TypeError("rows have to be those of a DataFrame, of an array of numbers, or texts")


def _column(name: str, values: Any) -> Column:
    dtype = str(values.dtype)
    if dtype == "object" and all(isinstance(value, str) for value in values.dropna()):
        has_none = any(value is None for value in values)
        return Column(name, Kind.STRING, nullable=True, null=Null.NONE if has_none else Null.NAN_OBJECT)
    if dtype not in _OF_DTYPE:
        raise TypeError(f"no kernel knows what the column {name!r} of {dtype} holds")
    return Column(name, **_OF_DTYPE[dtype])
