"""Many rows as bytes that a server reads faster than JSON: arrays of numbers as NumPy saves them, DataFrames as Arrow
streams. Rows that these might change stay JSON."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelgate.rows import Inputs

NPY, ARROW = "application/x-npy", "application/vnd.apache.arrow.stream"

Packer = Callable[[int, int], tuple[str, bytes]]
"""Returns the media type and the bytes of the rows from one up to another."""

_NUMBERS = "fiu"
_LARGEST = 8
"""Bytes of a number: a longdouble has more."""


def of_array(X: Any) -> Packer | None:
    """Return what packs a two-dimensional array of numbers; None for any other."""
    if X.ndim != 2 or X.dtype.kind not in _NUMBERS or X.dtype.itemsize > _LARGEST:
        return None

    def pack(start: int, stop: int) -> tuple[str, bytes]:
        import numpy

        file = io.BytesIO()
        numpy.save(file, X[start:stop], allow_pickle=False)
        return NPY, file.getvalue()

    return pack


def of_frame(X: Any, inputs: Inputs) -> Packer | None:
    """Return what packs a DataFrame of numbers and text for inputs of these; None without a library that can, or for
    others."""
    kinds = dict(zip(inputs.names, inputs.kinds, strict=True))
    library = type(X).__module__.partition(".")[0]
    if inputs.format != "table" or {*map(str, X.columns)} != {*kinds}:
        return None
    if library == "polars" and all(_fits_polars(X[name], kinds[name]) for name in X.columns):
        return lambda start, stop: (ARROW, _of_polars(X[start:stop]))
    can = library == "pandas" and importlib.util.find_spec("pyarrow") is not None
    if can and all(_fits_pandas(X[name], kinds[str(name)]) for name in X.columns):
        return lambda start, stop: (ARROW, _of_pandas(X.iloc[start:stop]))
    return None


def _fits_polars(column: Any, kind: str) -> bool:
    dtype = column.dtype
    return bool(dtype.is_integer() or dtype.is_float()) if kind != "string" else str(dtype) == "String"


def _fits_pandas(column: Any, kind: str) -> bool:
    if kind != "string":
        return type(column.dtype).__module__.startswith("numpy") and column.dtype.kind in _NUMBERS
    import pandas

    return bool(pandas.api.types.infer_dtype(column, skipna=True) == "string")


def _of_polars(X: Any) -> bytes:
    file = io.BytesIO()
    X.write_ipc_stream(file)
    return file.getvalue()


def _of_pandas(X: Any) -> bytes:
    import pyarrow

    file, table = io.BytesIO(), pyarrow.Table.from_pandas(X, preserve_index=False)
    with pyarrow.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()
