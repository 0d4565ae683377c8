"""What every kernel has in common."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array, csr_matrix

Transform = Callable[[Any], Any]
"""Returns what the `transform` of a fitted transformer returns for a matrix: rows × columns."""


_METHODS = frozenset({"predict", "predict_proba", "decision_function", "transform"})


def known_type(estimator: Any) -> type | None:
    """Return the class of an estimator, by which it is known what its methods do; None for one whose instance has
    methods of its own, such as a `predict` that somebody has put there."""
    return type(estimator) if _METHODS.isdisjoint(getattr(estimator, "__dict__", ())) else None


class NotCovered(Exception):
    """A kernel has no answer for these rows. The estimator itself may have one, or raise."""


class Kernel:
    """Answers as a fitted estimator does. `raw` does what the estimator's methods share; each method turns that into
    what the estimator's method of its name returns. `predict` may return it as it is.

    If a kernel raises anything, the caller asks the estimator itself, so no kernel needs to repeat its error messages.
    A kernel without one of the methods raises `NotImplementedError` there.
    """

    takes_arrays = True
    """Whether it takes an array where the estimator was fitted on a DataFrame. Otherwise it takes the DataFrame."""

    def raw(self, matrix: Any) -> Any:
        raise NotImplementedError

    def predict(self, raw: Any) -> Any:
        return raw

    def predict_proba(self, raw: Any) -> Any:
        raise NotImplementedError

    def decision_function(self, raw: Any) -> Any:
        raise NotImplementedError


class OwnMethods(Kernel):
    """Asks the estimator itself: the stand-in for an estimator without a kernel inside one that has a kernel. `raw` is
    the matrix, as scikit-learn would hand it over; each method gets a copy, which it may change in place."""

    takes_arrays = False

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator

    def raw(self, matrix: Any) -> Any:
        return matrix

    def predict(self, raw: Any) -> Any:
        return self._estimator.predict(copy.deepcopy(raw))

    def predict_proba(self, raw: Any) -> Any:
        return self._estimator.predict_proba(copy.deepcopy(raw))

    def decision_function(self, raw: Any) -> Any:
        return self._estimator.decision_function(copy.deepcopy(raw))


class Composite(Kernel):
    """The kernel of an estimator whose members all take the same matrix."""

    def __init__(self, members: Sequence[Kernel]) -> None:
        self._members = members
        self.takes_arrays = all(member.takes_arrays for member in members)

    def raws(self, matrix: Any) -> list[Any]:
        """Return `raw` of each member."""
        return [member.raw(matrix) for member in self._members]


class Delegating(Kernel):
    """Answers as another kernel does, except in the methods that a subclass overrides."""

    def __init__(self, inner: Kernel) -> None:
        self._inner = inner
        self.takes_arrays = inner.takes_arrays

    def raw(self, matrix: Any) -> Any:
        return self._inner.raw(matrix)

    def predict(self, raw: Any) -> Any:
        return self._inner.predict(raw)

    def predict_proba(self, raw: Any) -> Any:
        return self._inner.predict_proba(raw)

    def decision_function(self, raw: Any) -> Any:
        return self._inner.decision_function(raw)


KernelOf = Callable[[Any], Kernel]
"""Returns the kernel of an inner estimator, or its own methods if it has none."""


@dataclass(frozen=True)
class InnerKernels:
    """Finds the kernels of the estimators in a composite: `of_member` for those that take its matrix, `of_final` for
    the one that takes their answers."""

    of_member: KernelOf
    of_final: KernelOf


def finite(matrix: Any, accept_csr: bool = False) -> Any:
    """Return the matrix. Raises `NotCovered` unless it is an array, or where `accept_csr` a CSR matrix, of numbers
    without NaN and infinities: estimators refuse others or convert them first."""
    values = matrix.data if accept_csr and isinstance(matrix, csr_array | csr_matrix) else matrix
    if type(values) is not np.ndarray or values.dtype.kind not in "fiub" or not np.isfinite(values).all():
        raise NotCovered
    return matrix


def number_rows(matrix: Any, columns: int, dtype: Any) -> Any:
    """Return the matrix as `dtype`. Raises `NotCovered` if it is no array of rows × `columns` numbers."""
    if type(matrix) is not np.ndarray or matrix.dtype.kind not in "fiub" or matrix.shape[1:] != (columns,):
        raise NotCovered
    return matrix.astype(dtype, copy=False)
