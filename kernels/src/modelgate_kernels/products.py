"""Products of a matrix with coefficients, as scikit-learn's linear models compute them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.extmath import safe_sparse_dot

_COPIED_FREELY = 20_000
"""As many coefficients are copied in the time in which a sparse matrix is made."""


def product(matrix: Any, coefficients: Any) -> Any:
    """Return `matrix @ coefficients` as an array. The matrix is rows × columns, an array or a CSR matrix; the
    coefficients are columns, or columns × outputs."""
    if type(coefficients) is not np.ndarray:  # after `sparsify`
        return safe_sparse_dot(matrix, coefficients, dense_output=True)
    if type(matrix) is np.ndarray or coefficients.ndim == 1:
        return matrix @ coefficients
    columns, outputs = coefficients.shape
    if outputs > 1 and (columns - matrix.nnz) * outputs > _COPIED_FREELY:
        return _of_nonzero(matrix, coefficients)
    return matrix @ coefficients


def _of_nonzero(matrix: Any, coefficients: Any) -> Any:
    """Return the product with those coefficients that meet a value, in the same order of sums. SciPy would first copy
    all coefficients: a millisecond for 20 classes and 30,000 words."""
    places = np.arange(matrix.nnz, dtype=matrix.indices.dtype)
    met = type(matrix)((matrix.data, places, matrix.indptr), shape=(matrix.shape[0], matrix.nnz))
    return met @ coefficients[matrix.indices]
