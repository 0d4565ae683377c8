"""Many rows of numbers as an array that NumPy has saved, which a server reads faster than JSON. Rows that this might
change stay JSON."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

NPY = "application/x-npy"

Packer = Callable[[int, int], bytes]
"""Returns the rows from one up to another."""

_LARGEST = 8
"""Bytes of a number: a longdouble has more."""
_EXACT = 2**53
"""The largest whole number up to which a float holds each."""


def of_array(X: Any) -> Packer | None:
    """Return what packs a two-dimensional array of numbers; None for any other."""
    if X.ndim != 2 or X.dtype.kind not in "fiu" or X.dtype.itemsize > _LARGEST:
        return None

    def pack(start: int, stop: int) -> bytes:
        import numpy

        file = io.BytesIO()
        numpy.save(file, X[start:stop], allow_pickle=False)
        return file.getvalue()

    return pack


def of_frame(X: Any, inputs: Sequence[str]) -> Packer | None:
    """Return what packs a DataFrame of numbers with the names of the inputs; None for any other."""
    names = [str(name) for name in X.columns]
    if {*names} != {*inputs}:
        return None
    if not all(_is_exact(X[name]) for name in X.columns):
        return None
    labels = dict(zip(names, X.columns, strict=True))
    return of_array(X[[labels[name] for name in inputs]].to_numpy())


def _is_exact(column: Any) -> bool:
    """Return whether a column has numbers, without nulls of its own, and all would be the same as floats."""
    values = column.to_numpy()
    is_own = type(column.dtype).__module__.startswith("numpy") or hasattr(column, "null_count")
    if not is_own or values.dtype.kind not in "fiu":
        return False
    return values.dtype.kind == "f" or not len(values) or bool(values.min() >= -_EXACT and values.max() <= _EXACT)
