"""The exact types that have kernels. Only `table` imports this module, and only under a release of scikit-learn with
which the kernels were compared: their modules use what others lack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelgate_kernels import (
    bagging,
    boosting,
    calibration,
    clusters,
    discriminants,
    encoding,
    forests,
    functions,
    imputing,
    joining,
    linear,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    reducing,
    scaling,
    stacking,
    support_vectors,
    targets,
    texts,
    trees,
    voting,
)
from modelgate_kernels.kernel import InnerKernels, Kernel, KernelOf, Transform

KERNELS: Mapping[type, Callable[[Any], Kernel | None]] = {
    **linear.KERNELS,
    **naive_bayes.KERNELS,
    **neural_network.KERNELS,
    **support_vectors.KERNELS,
    **neighbors.KERNELS,
    **discriminants.KERNELS,
    **clusters.KERNELS,
    **trees.KERNELS,
    **forests.KERNELS,
    **boosting.KERNELS,
}
ENSEMBLES: Mapping[type, Callable[[Any, KernelOf], Kernel | None]] = {
    **linear.ENSEMBLES,
    **multiclass.KERNELS,
    **multioutput.CHAINS,
    **bagging.KERNELS,
}
"""Estimators that make a matrix of their own for their members."""
COMPOSITES: Mapping[type, Callable[[Any, InnerKernels], Kernel | None]] = {
    **voting.KERNELS,
    **stacking.KERNELS,
    **calibration.KERNELS,
    **targets.KERNELS,
    **multiclass.COMPOSITES,
    **multioutput.KERNELS,
}
"""Estimators whose members take the same matrix."""
TRANSFORMS: Mapping[type, Callable[[Any], Transform | None]] = {
    **scaling.TRANSFORMS,
    **imputing.TRANSFORMS,
    **encoding.TRANSFORMS,
    **functions.TRANSFORMS,
    **reducing.TRANSFORMS,
    **texts.TRANSFORMS,
}
TRANSFORMS_OF_SEVERAL: Mapping[type, Callable[[Any, joining.TransformOf], Transform | None]] = {**joining.TRANSFORMS}
