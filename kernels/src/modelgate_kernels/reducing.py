"""Kernels of transformers that reduce the number of columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.feature_selection import (
    RFE,
    RFECV,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    VarianceThreshold,
)

from modelgate_kernels.kernel import NotCovered, Transform, finite


def _selector(selector: Any) -> Transform | None:
    chosen = selector.get_support()

    def transform(matrix: Any) -> Any:
        is_csr = getattr(matrix, "format", None) == "csr"
        if not is_csr and (type(matrix) is not np.ndarray or matrix.ndim != 2):
            raise NotCovered
        finite(matrix.data if is_csr else matrix)
        return matrix[:, chosen]

    return transform if chosen.any() else None


def _pca(pca: Any) -> Transform:
    components = pca.components_.T
    center = np.reshape(pca.mean_, (1, -1)) @ components
    scale = None
    if pca.whiten:
        scale = np.sqrt(pca.explained_variance_)
        scale = np.maximum(scale, np.finfo(scale.dtype).eps)

    def transform(matrix: Any) -> Any:
        if type(matrix) is not np.ndarray or matrix.ndim != 2 or matrix.dtype not in (np.float64, np.float32):
            raise NotCovered
        projected = finite(matrix) @ components
        projected -= center
        if scale is not None:
            projected /= scale
        return projected

    return transform


_SELECTORS = (
    *(SelectKBest, SelectPercentile, SelectFpr, SelectFdr, SelectFwe),
    *(VarianceThreshold, SelectFromModel, RFE, RFECV),
)
TRANSFORMS: Mapping[type, Callable[[Any], Transform | None]] = {**dict.fromkeys(_SELECTORS, _selector), PCA: _pca}
