"""Kernels of pipelines, and of wrappers that hand every call on to one estimator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - without it, the next import fails
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, HalvingRandomSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from modelgate_kernels.functions import known_function
from modelgate_kernels.kernel import Delegating, Kernel, NotCovered, Transform, known_type
from modelgate_kernels.sklearn_internals import frozen_estimators

_INNER: Mapping[type | None, str] = {
    GridSearchCV: "best_estimator_",
    RandomizedSearchCV: "best_estimator_",
    HalvingGridSearchCV: "best_estimator_",
    HalvingRandomSearchCV: "best_estimator_",
    **dict.fromkeys(frozen_estimators(), "estimator"),
}
"""Wrappers that hand each call on unchanged, and the attribute that holds the estimator inside."""


PASSTHROUGH = "passthrough"
"""Stands for an estimator that answers with its matrix, as it does in scikit-learn."""


class PassthroughKernel(Kernel):
    """The matrix itself, which a stacking puts beside the answers of its members."""

    def raw(self, matrix: Any) -> Any:
        if not isinstance(matrix, np.ndarray | pd.DataFrame):
            raise NotCovered
        return matrix


class PipelineKernel(Delegating):
    """`raw` is that of the final estimator's kernel, for the matrix that has passed all transforms. `takes_arrays` says
    what the first of them takes."""

    def __init__(self, transforms: Sequence[Transform], final: Kernel, takes_arrays: bool) -> None:
        super().__init__(final)
        self._transforms = transforms
        self.takes_arrays = takes_arrays

    def raw(self, matrix: Any) -> Any:
        for transform in self._transforms:
            matrix = transform(matrix)
        return self._inner.raw(matrix)


def parts_of(estimator: Any) -> tuple[list[Any], Any]:
    """Return the transformers before the final estimator of a pipeline, also those of pipelines within, and that
    estimator; nothing and the estimator itself for anything else. Searches and frozen estimators are unwrapped."""
    transformers: list[Any] = []
    estimator = unwrapped(estimator)
    while known_type(estimator) is Pipeline and not is_passthrough(estimator.steps[-1][1]):
        transformers += _transformers(step for _, step in estimator.steps[:-1])
        estimator = unwrapped(estimator.steps[-1][1])
    return transformers, estimator


def unwrapped(estimator: Any) -> Any:
    """Return the estimator that answers for a search or a frozen estimator; any other as it is."""
    while hasattr(estimator, inner := _INNER.get(known_type(estimator), "")):
        estimator = getattr(estimator, inner)
    return estimator


def _transformers(steps: Iterable[Any]) -> Iterator[Any]:
    for step in map(unwrapped, steps):
        if known_type(step) is Pipeline:
            yield from _transformers(inner for _, inner in step.steps)
        elif not is_passthrough(step):
            yield step


def is_passthrough(step: Any) -> bool:
    """Return whether a step of a pipeline does nothing."""
    return step is None or (isinstance(step, str) and step == PASSTHROUGH)


def is_repeatable(step: Any) -> bool:
    """Return whether a transformer is code of scikit-learn alone, which transforms the same rows alike each time."""
    if step is None or isinstance(step, str):
        return True
    kind = known_type(step)
    if kind is FunctionTransformer:
        return step.func is None or isinstance(step.func, np.ufunc) or known_function(step.func) is not None
    inner = [part[1] for name in ("steps", "transformers_", "transformer_list") for part in getattr(step, name, ())]
    return kind is not None and kind.__module__.startswith("sklearn.") and all(map(is_repeatable, inner))
