"""The kernel of `SimpleImputer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from sklearn.impute import SimpleImputer

from modelgate_kernels.kernel import NotCovered, Transform, finite
from modelgate_kernels.scaling import as_floats
from modelgate_kernels.sklearn_internals import IMPUTED_DTYPE


def _simple_imputer(imputer: Any) -> Transform | None:
    fill_dtype = getattr(imputer, IMPUTED_DTYPE)
    null_of = _null_of(imputer.missing_values)
    if null_of is None:
        return None
    keeps_dtype = imputer.strategy in ("most_frequent", "constant")
    statistics, kept = imputer.statistics_, None
    if not imputer.keep_empty_features:
        empty = statistics != statistics
        if empty.any():
            kept = np.flatnonzero(~empty)
            statistics = statistics[kept]
    fill = statistics.astype(fill_dtype)
    of_indicator = imputer.indicator_.features_ if imputer.add_indicator else None
    all_indicated = of_indicator is not None and len(of_indicator) == len(imputer.statistics_)

    def transform(matrix: Any) -> Any:
        if type(matrix) is not np.ndarray or (matrix.dtype.kind == "O") != (fill_dtype.kind == "O"):
            raise NotCovered
        if not keeps_dtype and matrix.dtype.kind != "O":
            matrix = as_floats(matrix)
        elif imputer.strategy == "constant" and not np.can_cast(fill_dtype, matrix.dtype, casting="same_kind"):
            raise NotCovered
        null = null_of(matrix)
        values, gaps = (matrix, null) if kept is None else (matrix[:, kept], null[:, kept])
        if np.count_nonzero(gaps):
            values = values.copy(order="K")
            np.copyto(values, fill.astype(matrix.dtype, copy=False), where=gaps)
        if of_indicator is None:
            return values
        return np.concatenate((values, null if all_indicated else null[:, of_indicator]), axis=1)

    return transform


def _null_of(missing: Any) -> Callable[[Any], Any] | None:
    """Return what finds the nulls of a matrix; None if nulls are neither NaN nor a number nor a text."""

    def find(matrix: Any) -> Any:
        if matrix.ndim != 2 or matrix.dtype.kind not in "fiO":
            raise NotCovered
        if is_nan:
            if matrix.dtype.kind == "f":
                if np.count_nonzero(np.isinf(matrix)):
                    raise NotCovered
                return np.isnan(matrix)
            return matrix != matrix if matrix.dtype.kind == "O" else np.zeros(matrix.shape, dtype=bool)
        if matrix.dtype.kind == "O":
            if is_number or (matrix != matrix).any():
                raise NotCovered
        elif not is_number:
            raise NotCovered
        else:
            finite(matrix)
        return matrix == missing

    is_number = isinstance(missing, Real)
    is_nan = bool(is_number and missing != missing)
    return find if is_number or isinstance(missing, str) else None


TRANSFORMS: Mapping[type, Callable[[Any], Transform | None]] = {SimpleImputer: _simple_imputer}
