"""Rows as a model takes them in Python, as bodies of requests."""

from __future__ import annotations

import importlib
import json
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Protocol

from modelgate import packing
from modelgate.errors import Invalid
from modelgate.packing import Packer

_PART = 2 << 20
"""Bytes of a body, of which a gateway takes 8 MB by default: small enough that one is scored while the next is made."""
_MOST_ROWS = 10_000
"""Rows of a body; a queue of 100,000 has room for those of others, too."""
_MEASURED = 100
"""Rows that are written to know how many bytes one has."""
_NUMBERS = ("number", "integer")


class Table(Protocol):
    """An array, a sparse matrix, a DataFrame or a Series."""

    @property
    def shape(self) -> tuple[int, ...]: ...


class Lazy(Protocol):
    """A LazyFrame of Polars."""

    def collect(self) -> Any: ...


RowsLike = (
    Sequence[Sequence[Any]] | Sequence[Mapping[str, Any]] | Sequence[str] | Mapping[str, Sequence[Any]] | Table | Lazy
)
"""Rows: lists, objects or texts, columns by name, or what holds a table. `rows_of` says more."""


@dataclass(frozen=True)
class Inputs:
    """What the rows of a version hold. `fitted_on` is the manifest's `input_format`, `format` that of a row."""

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    fitted_on: str
    format: str

    @classmethod
    def of(cls, version: Mapping[str, Any]) -> Inputs:
        """Return the inputs of a version as the server describes it."""
        signature = version["signature"]
        inputs = signature["inputs"]
        return cls(
            tuple(field["name"] for field in inputs),
            tuple(field["kind"] for field in inputs),
            version["artifact"]["input_format"],
            signature["format"],
        )


AS_RECORDS = Inputs((), (), "records", "records")
"""Inputs of any names, whose rows are objects."""


@dataclass(frozen=True)
class Rows:
    """The rows of one call. `write` returns those from a row up to another as JSON; `index` is theirs in pandas. `pack`
    returns them as an array of NumPy, if they may be sent so."""

    count: int
    write: Callable[[int, int], Any]
    index: Any = None
    pack: Packer | None = None

    def spans(self) -> list[tuple[int, int]]:
        """Return the first row and the row after the last of each request, as a stack: the first request comes last."""
        if self.count <= _MEASURED:
            return [(0, self.count)]
        bytes_of_row = len(self.body(0, _MEASURED)) / _MEASURED
        step = int(min(max(_PART / bytes_of_row, 1), _MOST_ROWS))
        return [(start, min(start + step, self.count)) for start in range(0, self.count, step)][::-1]

    def content(self, start: int, stop: int, *, packed: bool) -> tuple[str, bytes]:
        """Return the media type and the bytes of these rows: of many, `packed` if they may be."""
        if packed and self.pack and stop - start > _MEASURED:
            return packing.NPY, self.pack(start, stop)
        return "application/json", self.body(start, stop)

    def body(self, start: int, stop: int) -> bytes:
        """Return the JSON of these rows. NaN becomes null. Raises `Invalid` for what JSON cannot hold."""
        value = self.write(start, stop)
        try:
            return _dumps(value)
        except ValueError:
            return _dumps(_with_nulls(value))


def rows_of(X: Any, inputs: Inputs | None) -> Rows:
    """Return the rows of X: a list, an array, a sparse matrix, a DataFrame, a Series, a dict of columns or a LazyFrame.
    `inputs` are those of the version, None if they are unknown. Raises `Invalid`, as an estimator raises `ValueError`.
    """
    if hasattr(X, "collect") and hasattr(X, "lazy"):
        X = X.collect()
    if isinstance(X, Mapping):
        return _of_dict(X, inputs)
    if hasattr(X, "columns") and hasattr(X, "shape"):
        return _of_frame(X, inputs)
    if hasattr(X, "toarray"):
        X = X.toarray()
    index = getattr(X, "index", None) if hasattr(X, "to_numpy") else None
    if isinstance(X, str | bytes) or not hasattr(X, "__len__"):
        raise Invalid(
            f"the rows must be a list, an array or a DataFrame, and not a {type(X).__name__}: put one row in []"
        )
    if hasattr(X, "ndim") and hasattr(X, "dtype") and X.ndim not in (1, 2):
        raise Invalid(f"Expected 2D array, got {X.ndim}D array instead")
    first = next((value for value in X if value is not None), None)
    is_flat = isinstance(first, Mapping) or (inputs is None and (first is None or isinstance(first, str)))
    if is_flat or not len(X) or (inputs and inputs.format != "table"):
        return Rows(len(X), lambda start, stop: [_plain(value) for value in X[start:stop]], index)
    if _is_scalar(first):
        return _of_one_column(X, inputs, index)
    if hasattr(X, "tolist"):
        kinds = inputs.kinds if inputs else ()
        if X.dtype.kind in "fiu" or (X.dtype.kind == "b" and not set(kinds) & set(_NUMBERS)):
            return Rows(len(X), lambda start, stop: X[start:stop].tolist(), index, packing.of_array(X))
        X = (X.astype(int) if X.dtype.kind == "b" else X).tolist()
    return Rows(len(X), lambda start, stop: [_plain(row) for row in X[start:stop]], index)


def _of_one_column(X: Any, inputs: Inputs | None, index: Any) -> Rows:
    if inputs is None or len(inputs.names) != 1:
        raise Invalid(
            "Expected 2D array, got 1D array instead: put a single row in [], or reshape a single column with"
            " .reshape(-1, 1)"
        )
    return Rows(len(X), lambda start, stop: [[_plain(value)] for value in X[start:stop]], index)


def _of_frame(X: Any, inputs: Inputs | None) -> Rows:
    names = [str(name) for name in X.columns]
    if len(set(names)) < len(names):
        raise Invalid("two columns of the DataFrame have the same name")
    columns = dict(zip(names, (X[label] for label in X.columns), strict=True))
    are_many = inputs is not None and len(X) > _MEASURED and {*inputs.kinds} <= {*_NUMBERS}
    if inputs and are_many and (pack := packing.of_frame(X, inputs.names)):
        as_json = lru_cache(1)(lambda: _of_columns(columns, len(X), inputs))
        return Rows(len(X), lambda start, stop: as_json().write(start, stop), getattr(X, "index", None), pack)
    return _of_columns(columns, len(X), inputs, getattr(X, "index", None))


def _of_dict(X: Mapping[Any, Any], inputs: Inputs | None) -> Rows:
    if any(_is_scalar(column) for column in X.values()):
        raise Invalid("a dict must hold columns, such as {'a': [1, 2], 'b': [3, 4]}: put one row in []")
    columns = {str(name): column for name, column in X.items()}
    counts = {name: len(column) for name, column in columns.items()}
    if len(set(counts.values())) > 1:
        raise Invalid(f"the columns of the dict must have the same length; they have {counts}")
    return _of_columns(columns, max(counts.values(), default=0), inputs)


def _of_columns(by_name: Mapping[str, Any], count: int, inputs: Inputs | None, index: Any = None) -> Rows:
    """Columns go by name; to a model that was fitted on an array by position, unless they have the names of its
    inputs."""
    known = inputs or AS_RECORDS
    kinds = dict(zip(known.names, known.kinds, strict=True))
    names, columns = list(by_name), [_column(column, kinds.get(name, "")) for name, column in by_name.items()]
    # A model with an input of this name would take the object for a row.
    wrapper = next((name for name in ("columns", "inputs") if name not in names), None)

    def rows(start: int, stop: int) -> list[Any]:
        return list(zip(*(column[start:stop] for column in columns), strict=True))

    def records(start: int, stop: int) -> list[Any]:
        return [dict(zip(names, row, strict=True)) for row in rows(start, stop)]

    def table(start: int, stop: int) -> dict[Any, Any]:
        return {wrapper: {name: column[start:stop] for name, column in zip(names, columns, strict=True)}}

    nameless = known.fitted_on == "array" and len(names) == len(known.names) and {*names} != {*known.names}
    as_records = wrapper is None or (inputs is not None and inputs.format == "records")
    return Rows(count, rows if nameless else records if as_records else table, index)


def _column(column: Any, kind: str) -> list[Any]:
    """Return a column of a DataFrame or a dict as JSON has it."""
    values = column.tolist() if hasattr(column, "tolist") else list(column)
    dtype: Any = getattr(column, "dtype", None)
    if type(dtype).__module__.startswith("numpy") and dtype.kind in "fiu":  # others may hold NA
        return list(values)
    plain = [_plain(value) for value in values]
    if kind in _NUMBERS and all(type(value) is bool for value in plain):
        return [int(value) for value in plain]
    return plain


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; None for NaN, NaT and NA."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    if isinstance(value, datetime | date):
        return value.isoformat() if value == value else None  # NaT is a datetime that differs from itself
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # of NumPy
        return _plain(value.tolist())
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    raise Invalid(f"a row has a {type(value).__name__}, which JSON cannot hold; send numbers, texts and dates")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, numbers.Number | str | date | Decimal) or not hasattr(value, "__len__")


_dumps_text = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def _dumps(value: Any) -> bytes:
    return _dumps_text(value).encode()


def _with_nulls(value: Any) -> Any:
    """Return a value of JSON with null for NaN. Raises `Invalid` for infinity."""
    if isinstance(value, float):
        if math.isinf(value):
            raise Invalid("the rows contain infinity or a value too large for float64, which JSON cannot hold")
        return None if math.isnan(value) else value
    if isinstance(value, dict):
        return {key: _with_nulls(item) for key, item in value.items()}
    return [_with_nulls(item) for item in value] if isinstance(value, list | tuple) else value


def numpy() -> Any:
    """Return numpy if it is installed, else None."""
    return _library("numpy")


def pandas() -> Any:
    """Return pandas if it is installed, else None."""
    return _library("pandas")


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
