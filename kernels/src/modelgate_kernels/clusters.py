"""Kernels of clusterings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans

from modelgate_kernels.kernel import Kernel, NotCovered, finite
from modelgate_kernels.sklearn_internals.clusters import can_find_nearest, nearest


class KMeansKernel(Kernel):
    """`raw` is the cluster of each row."""

    def __init__(self, clustering: Any) -> None:
        self._centers = clustering.cluster_centers_

    def raw(self, matrix: Any) -> Any:
        if matrix.shape[1] != self._centers.shape[1]:
            raise NotCovered
        dtype = np.float32 if matrix.dtype == np.float32 else np.float64
        rows = finite(matrix, accept_csr=True).astype(dtype, copy=False)
        return nearest(np.ascontiguousarray(rows) if type(rows) is np.ndarray else rows, self._centers)


def _k_means(clustering: Any) -> Kernel | None:
    return KMeansKernel(clustering) if can_find_nearest() else None


KERNELS: Mapping[type, Callable[[Any], Kernel | None]] = dict.fromkeys((KMeans, MiniBatchKMeans), _k_means)
