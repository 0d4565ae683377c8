"""The kernel of a whole estimator: from rows to the answers of its methods."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn import get_config  # type: ignore[attr-defined]

from modelgate_kernels.kernel import Delegating, InnerKernels, Kernel, OwnMethods, Transform
from modelgate_kernels.layout import Layout, Row, layout_of
from modelgate_kernels.matrix import to_matrix
from modelgate_kernels.pipelines import is_passthrough, is_repeatable, parts_of
from modelgate_kernels.rows import Batch, BatchReader, Readers
from modelgate_kernels.sklearn_internals import returns_arrays
from modelgate_kernels.table import IS_COMPARED, find_composite, find_kernel, find_transform, kernel_of

log = logging.getLogger("modelgate_kernels")

METHODS = ("predict", "predict_proba", "decision_function")
"""The methods that kernels answer."""


@dataclass
class ModelKernel:
    """The kernel of the estimator `whole`, which takes rows of a `layout`.

    `matrix_of` makes the matrix that the methods of the final `estimator` take; `kernel` takes a batch. `context` is
    logged.
    """

    whole: Any
    layout: Layout
    matrix_of: BatchReader
    estimator: Any
    kernel: Kernel
    context: Mapping[str, object] = field(default_factory=dict)
    has_left_rows: bool = False

    def matrix(self, rows: Sequence[Row]) -> Any:
        """Return the matrix that the methods of the final estimator take."""
        return self.matrix_of(Batch(rows))

    def answers(self, rows: Sequence[Row], methods: Sequence[str]) -> list[Any]:
        """Return what these methods return: some of `METHODS`, or one other. May raise anything: then the estimator
        itself has to answer."""
        if methods[0] in METHODS:
            raw = self.kernel.raw(Batch(rows))
            with suppress(NotImplementedError):
                return [getattr(self.kernel, method)(raw) for method in methods]
        return [ask(self.estimator, self.matrix(rows), method) for method in methods]

    def log_left_rows(self, error: Exception) -> None:
        """Log, once, that the estimator has answered rows for which the kernel has raised `error`."""
        if not self.has_left_rows:
            self.has_left_rows = True
            what = "scikit-learn's own methods answer rows that the kernels of this version leave to them: %s"
            log.info(what, type(error).__name__, extra=self.context)


def find(estimator: Any, layout: Any) -> ModelKernel | None:
    """Return the kernel of a fitted estimator for rows of a `Layout`, or for rows like those of a table (`layout_of`).

    None if no part of it has a kernel, or under a release or setting of scikit-learn with which none was compared.
    Raises `TypeError` for a table of which no layout is known.
    """
    layout = layout if isinstance(layout, Layout) else layout_of(layout)
    config = get_config()
    if not IS_COMPARED or config["enable_metadata_routing"] or config["transform_output"] != "default":
        return None
    readers = Readers(layout)
    kernel, (_, final) = _kernel_of_rows(readers, estimator), parts_of(estimator)
    if not isinstance(kernel, _ReadingKernel):
        return ModelKernel(estimator, layout, readers.matrix, final, kernel)
    return ModelKernel(estimator, layout, kernel.matrix, final, kernel) if kernel.is_covered else None


def predict(kernel: ModelKernel, rows: Sequence[Row], methods: Sequence[str] = ("predict",)) -> list[Any]:
    """Return what these methods of the estimator return for rows: some of `METHODS`, or one other. The estimator itself
    answers rows that the kernel leaves to it. Raises what it raises."""
    try:
        return kernel.answers(rows, methods)
    except MemoryError:
        raise
    except Exception as error:
        left = error
    answers = own_answers(kernel.whole, rows, kernel.layout, methods)
    kernel.log_left_rows(left)
    return answers


def own_answers(estimator: Any, rows: Sequence[Row], layout: Layout, methods: Sequence[str]) -> list[Any]:
    """Return what methods of an estimator return for rows of a layout, without a kernel. Raises what they raise."""
    matrix = partial(to_matrix, rows, layout.columns, layout.input_format, layout.dtype)
    return matrix_answers(estimator, matrix, methods)


def matrix_answers(estimator: Any, make: Callable[[], Any], methods: Sequence[str]) -> list[Any]:
    """Return what methods of an estimator return for the matrix that `make` makes. None of them sees what another one
    does to it. Raises what they raise."""
    return [
        getattr(final, method)(matrix) if method in METHODS else ask(final, matrix, method)
        for method, (final, matrix) in zip(methods, last_steps(estimator, make, len(methods)), strict=True)
    ]


def last_steps(estimator: Any, make: Callable[[], Any], count: int) -> Iterator[tuple[Any, Any]]:
    """Yield `last_step` for each of `count` methods. They share the work of transformers that are known to answer the
    same again, not the matrix: a method may change it in place."""
    is_shared = all(map(is_repeatable, parts_of(estimator)[0]))
    for number in range(count):
        if number == 0 or not is_shared:
            final, matrix = last_step(estimator, make())
        yield final, copy.deepcopy(matrix) if is_shared and number < count - 1 else matrix


def last_step(estimator: Any, matrix: Any) -> tuple[Any, Any]:
    """Return the final estimator of a pipeline and the transformed matrix, which each of its methods would make for
    itself."""
    if get_config().get("enable_metadata_routing"):  # since scikit-learn 1.3
        return estimator, matrix
    transformers, final = parts_of(estimator)
    for step in transformers:
        matrix = step.transform(matrix)
    return final, matrix


def ask(estimator: Any, matrix: Any, method: str) -> Any:
    """Return what a method besides `METHODS` of a final estimator returns. Raises what it raises."""
    names = getattr(estimator, "feature_names_in_", None)
    if isinstance(matrix, np.ndarray) and names is not None:  # only the predictions of XGBoost do without
        matrix = pd.DataFrame(matrix, columns=names)
    return getattr(estimator, method)(matrix)


class _ReadingKernel(Delegating):
    """A kernel that takes a batch: `read` makes a matrix of it, which passes all `transforms` and then the kernel
    `inner`. `is_covered` says whether any of them does without scikit-learn's methods."""

    def __init__(self, read: BatchReader, transforms: Sequence[Transform], inner: Kernel, is_covered: bool) -> None:
        super().__init__(inner)
        self._read = read
        self._transforms = transforms
        self.is_covered = is_covered

    def matrix(self, batch: Batch) -> Any:
        """Return the matrix that the final estimator takes."""
        matrix = self._read(batch)
        for transform in self._transforms:
            matrix = transform(matrix)
        return matrix

    def raw(self, batch: Batch) -> Any:
        return self._inner.raw(self.matrix(batch))


def _kernel_of_rows(readers: Readers, estimator: Any) -> Kernel:
    """Return the kernel of an estimator that was fitted on rows. It takes a batch."""
    transformers, final = parts_of(estimator)
    inner = InnerKernels(of_member=partial(_kernel_of_rows, readers), of_final=kernel_of)
    composite = None if transformers else find_composite(final, inner)
    return composite or _reading_kernel(readers, transformers, final)


def _reading_kernel(readers: Readers, transformers: Sequence[Any], final: Any) -> _ReadingKernel:
    """Return the kernel of a pipeline that was fitted on rows; `transformers` may be empty."""
    if not all(map(returns_arrays, transformers)):
        return _ReadingKernel(readers.matrix, [step.transform for step in transformers], OwnMethods(final), False)
    read = readers.transformed(transformers[0]) if transformers else None
    waiting = transformers[1:] if read else transformers
    step_kernels, kernel = [find_transform(step) for step in waiting], find_kernel(final)
    is_covered = bool(read or kernel or any(step_kernels))
    if read is None:
        takes_arrays = step_kernels[0] is not None if step_kernels else kernel is not None and kernel.takes_arrays
        first = (*waiting, final)[0]
        read = readers.array(None if is_passthrough(first) else first) if takes_arrays else readers.matrix
    if read is None:  # no array has the same values, so the first estimator gets the DataFrame
        read, kernel = readers.matrix, kernel if step_kernels else None
        step_kernels[:1] = [None] * len(step_kernels[:1])
    transforms = [step_kernel or step.transform for step_kernel, step in zip(step_kernels, waiting, strict=True)]
    return _ReadingKernel(read, transforms, kernel or OwnMethods(final), is_covered)
