"""Kernels of estimators that predict from the answers of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import StackingClassifier, StackingRegressor

from modelgate_kernels.kernel import Composite, InnerKernels, Kernel
from modelgate_kernels.pipelines import PASSTHROUGH
from modelgate_kernels.sklearn_internals import returns_arrays


class StackingKernel(Composite):
    """`raw` is that of the final estimator's kernel, for the answers of the members side by side."""

    def __init__(self, stacking: Any, members: Sequence[Kernel], final: Kernel) -> None:
        super().__init__(members)
        self._methods = [*stacking.stack_method_, "predict"] if stacking.passthrough else stacking.stack_method_
        self._is_binary = len(getattr(stacking, "classes_", ())) == 2
        self._final = final

    def raw(self, matrix: Any) -> Any:
        members = zip(self._members, self._methods, self.raws(matrix), strict=True)
        blocks = [self._block(method, getattr(member, method)(raw)) for member, method, raw in members]
        return self._final.raw(np.hstack(blocks))

    def _block(self, method: str, answer: Any) -> Any:
        if answer.ndim == 1:
            return answer.reshape(-1, 1)
        # The probabilities of two classes add up to 1, so one column has both.
        return answer[:, 1:] if self._is_binary and method == "predict_proba" else answer

    def predict(self, raw: Any) -> Any:
        return self._final.predict(raw)

    def predict_proba(self, raw: Any) -> Any:
        return self._final.predict_proba(raw)

    def decision_function(self, raw: Any) -> Any:
        return self._final.decision_function(raw)


class StackingClassifierKernel(StackingKernel):
    def __init__(self, stacking: Any, members: Sequence[Kernel], final: Kernel) -> None:
        super().__init__(stacking, members, final)
        self._classes = stacking.classes_

    def predict(self, raw: Any) -> Any:
        return self._classes.take(self._final.predict(raw))


def _classifier(stacking: Any, inner: InnerKernels) -> Kernel | None:
    has_one_output = isinstance(stacking.classes_, np.ndarray)
    return _build(StackingClassifierKernel, stacking, inner) if has_one_output else None


def _regressor(stacking: Any, inner: InnerKernels) -> Kernel | None:
    return _build(StackingKernel, stacking, inner)


def _build(kind: type[StackingKernel], stacking: Any, inner: InnerKernels) -> Kernel | None:
    if not returns_arrays(stacking):  # its final estimator gets what its `transform` returns
        return None
    members = [*stacking.estimators_, PASSTHROUGH] if stacking.passthrough else stacking.estimators_
    return kind(stacking, [*map(inner.of_member, members)], inner.of_final(stacking.final_estimator_))


KERNELS: Mapping[type, Callable[[Any, InnerKernels], Kernel | None]] = {
    StackingClassifier: _classifier,
    StackingRegressor: _regressor,
}
