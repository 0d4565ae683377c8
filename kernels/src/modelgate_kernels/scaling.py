"""Kernels of scalers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.sparsefuncs import inplace_column_scale

from modelgate_kernels.kernel import NotCovered, Transform

_FLOATS = (np.float64, np.float32)
Operation = tuple[Callable[..., Any], Any]
"""A ufunc of two arguments, and its second: a number for each column."""


def as_floats(matrix: Any) -> Any:
    """Return an array of floats: itself, or as float64 if it has integers or booleans. Raises `NotCovered` for anything
    else, and for infinities, which scalers and imputers refuse."""
    if type(matrix) is not np.ndarray or matrix.ndim != 2:
        raise NotCovered
    if matrix.dtype.kind in "iub":
        return matrix.astype(np.float64)
    if matrix.dtype not in _FLOATS or np.count_nonzero(np.isinf(matrix)):
        raise NotCovered
    return matrix


def _scaling(operations: Sequence[Operation], clip: tuple[float, float] | None = None) -> Transform:
    """Return what applies the operations in their order, each rounded to the dtype of the matrix."""

    def transform(matrix: Any) -> Any:
        matrix = as_floats(matrix)
        scaled = np.empty_like(matrix)
        for operation, operand in operations:
            operation(matrix, operand, out=scaled)
            matrix = scaled
        return matrix if clip is None else np.clip(matrix, *clip, out=scaled)

    return transform


def _or_sparse(dense: Transform, factors: Any, clip: tuple[float, float] | None = None) -> Transform:
    """Return what does the same for sparse matrices, too: it multiplies their columns by the factors, if any."""

    def transform(matrix: Any) -> Any:
        if isinstance(matrix, np.ndarray):
            return dense(matrix)
        covered = getattr(matrix, "format", None) == "csr" and matrix.dtype in (np.float64, np.float32)
        if not covered or np.isinf(matrix.data).any():
            raise NotCovered
        scaled = matrix.copy()
        if factors is not None:
            inplace_column_scale(scaled, factors)
        if clip:
            np.clip(scaled.data, *clip, out=scaled.data)
        return scaled

    return transform


def _standard_scaler(scaler: Any) -> Transform:
    means = [(np.subtract, scaler.mean_)] if scaler.with_mean else []
    scales = [(np.divide, scaler.scale_)] if scaler.with_std else []
    # Unlike the other scalers, this one rounds its operands to the dtype of the matrix, too.
    exact = _scaling([*means, *scales])
    rounded = _scaling([(operation, operand.astype(np.float32)) for operation, operand in (*means, *scales)])

    def transform(matrix: Any) -> Any:
        is_single = getattr(matrix, "dtype", None) == np.float32  # a DataFrame has none
        return (rounded if is_single else exact)(matrix)

    if scaler.with_mean:
        return transform
    return _or_sparse(transform, None if scaler.scale_ is None else 1 / scaler.scale_)


def _min_max_scaler(scaler: Any) -> Transform:
    clip = scaler.feature_range if scaler.clip else None
    return _scaling([(np.multiply, scaler.scale_), (np.add, scaler.min_)], clip)


def _max_abs_scaler(scaler: Any) -> Transform:
    clip = (-1.0, 1.0) if getattr(scaler, "clip", False) else None
    return _or_sparse(_scaling([(np.divide, scaler.scale_)], clip), 1.0 / scaler.scale_, clip)


def _robust_scaler(scaler: Any) -> Transform:
    centers = [(np.subtract, scaler.center_)] if scaler.with_centering else []
    scales = [(np.divide, scaler.scale_)] if scaler.with_scaling else []
    dense = _scaling([*centers, *scales])
    return _or_sparse(dense, 1.0 / scaler.scale_ if scaler.with_scaling else None)


TRANSFORMS: Mapping[type, Callable[[Any], Transform | None]] = {
    StandardScaler: _standard_scaler,
    MinMaxScaler: _min_max_scaler,
    MaxAbsScaler: _max_abs_scaler,
    RobustScaler: _robust_scaler,
}
