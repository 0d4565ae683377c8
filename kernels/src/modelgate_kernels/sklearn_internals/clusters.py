"""The private names of scikit-learn's KMeans."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import numpy as np


@cache
def can_find_nearest() -> bool:
    """Return whether `nearest` works. Otherwise KMeans' own method has to predict."""
    try:
        from sklearn.cluster._kmeans import _labels_inertia
    except ImportError:
        return False
    parameters = [*inspect.signature(_labels_inertia).parameters]
    return parameters == ["X", "sample_weight", "centers", "n_threads", "return_inertia"]


def nearest(matrix: Any, centers: Any) -> Any:
    """Return the place of the nearest center of each row. `matrix` is an array of floats in C order, or CSR."""
    from sklearn.cluster._kmeans import _labels_inertia

    return _labels_inertia(matrix, np.ones(matrix.shape[0], matrix.dtype), centers, 1, return_inertia=False)
