"""The table of exact types and their kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sklearn
from sklearn.feature_selection import RFE, RFECV
from sklearn.pipeline import Pipeline

from modelgate_kernels.kernel import InnerKernels, Kernel, KernelOf, OwnMethods, Transform, known_type
from modelgate_kernels.other_libraries import find_other_kernel
from modelgate_kernels.pipelines import PassthroughKernel, PipelineKernel, is_passthrough, parts_of, unwrapped
from modelgate_kernels.sklearn_internals import returns_arrays

COMPARED_WITH = frozenset({"1.9"})
"""The releases of scikit-learn with which the tests have compared all kernels. Under another there are no kernels."""

IS_COMPARED = ".".join(sklearn.__version__.split(".")[:2]) in COMPARED_WITH

_KERNELS: Mapping[type, Callable[[Any], Kernel | None]] = {}
_ENSEMBLES: Mapping[type, Callable[[Any, KernelOf], Kernel | None]] = {}
_COMPOSITES: dict[type, Callable[[Any, InnerKernels], Kernel | None]] = {}
_TRANSFORMS: Mapping[type, Callable[[Any], Transform | None]] = {}
_TRANSFORMS_OF_SEVERAL: Mapping[type, Callable[[Any, Callable[[Any], Transform | None]], Transform | None]] = {}
if IS_COMPARED:
    from modelgate_kernels import known_types

    _KERNELS, _ENSEMBLES, _COMPOSITES = known_types.KERNELS, known_types.ENSEMBLES, {**known_types.COMPOSITES}
    _TRANSFORMS, _TRANSFORMS_OF_SEVERAL = known_types.TRANSFORMS, known_types.TRANSFORMS_OF_SEVERAL

_RECURSIVE_ELIMINATIONS = frozenset({RFE, RFECV})
"""Transformers that select columns for an estimator, and hand on what it answers."""


def add_composite(kind: type, build: Callable[[Any, InnerKernels], Kernel | None]) -> None:
    """Let estimators of this class, whose members take the same matrix, have the kernel that `build` makes."""
    _COMPOSITES[kind] = build


def find_kernel(estimator: Any) -> Kernel | None:
    """Return the kernel of a fitted estimator; None if it is of another type, or has what its kernel does not know."""
    kind = known_type(estimator)
    try:
        return _build(estimator, kind) if kind else None
    except Exception:  # it is not fitted, or was changed by hand
        return None


def find_transform(transformer: Any) -> Transform | None:
    """Return what does the work of a fitted transformer's `transform`; None as for `find_kernel`."""
    kind = known_type(transformer)
    if kind is None or not returns_arrays(transformer):
        return None
    try:
        if kind in _TRANSFORMS_OF_SEVERAL:
            return _TRANSFORMS_OF_SEVERAL[kind](transformer, find_transform)
        return _TRANSFORMS[kind](transformer) if kind in _TRANSFORMS else None
    except Exception:  # as above
        return None


def find_composite(estimator: Any, inner: InnerKernels) -> Kernel | None:
    """Return the kernel of an estimator whose members take the same matrix; None as for `find_kernel`."""
    build = _COMPOSITES.get(known_type(estimator) or object)
    try:
        return build and build(estimator, inner)
    except Exception:  # as above
        return None


def _build(estimator: Any, kind: type) -> Kernel | None:
    if (inner := unwrapped(estimator)) is not estimator:
        return find_kernel(inner)
    if kind is Pipeline:
        return _pipeline(*parts_of(estimator))
    if kind in _RECURSIVE_ELIMINATIONS:
        return _pipeline([estimator], estimator.estimator_)
    if kind in _ENSEMBLES:
        return _ENSEMBLES[kind](estimator, kernel_of)
    if is_passthrough(estimator):
        return PassthroughKernel()
    if kind in _KERNELS:
        return _KERNELS[kind](estimator)
    if kind in _COMPOSITES:
        return find_composite(estimator, InnerKernels(of_member=kernel_of, of_final=kernel_of))
    return find_other_kernel(estimator)


def _pipeline(transformers: Sequence[Any], final: Any) -> Kernel | None:
    if not all(map(returns_arrays, transformers)):
        return None
    step_kernels, kernel = [find_transform(step) for step in transformers], kernel_of(final)
    if isinstance(kernel, OwnMethods) and not any(step_kernels):
        return None
    transforms = [step_kernel or step.transform for step_kernel, step in zip(step_kernels, transformers, strict=True)]
    return PipelineKernel(
        transforms, kernel, takes_arrays=step_kernels[0] is not None if step_kernels else kernel.takes_arrays
    )


def kernel_of(estimator: Any) -> Kernel:
    """Return the kernel of a fitted estimator, or its own methods if it has none."""
    return find_kernel(estimator) or OwnMethods(estimator)
