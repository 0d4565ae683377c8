"""Kernels of estimators that ask another one for each output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain

from modelgate_kernels.kernel import Composite, InnerKernels, Kernel, KernelOf, finite


class MultiOutputKernel(Composite):
    """`raw` is that of each member. scikit-learn makes each member's answer a task: 1.1 ms for two of them."""

    def raw(self, matrix: Any) -> Any:
        return self.raws(matrix)

    def predict(self, raw: Any) -> Any:
        return np.asarray([member.predict(member_raw) for member, member_raw in zip(self._members, raw, strict=True)]).T

    def predict_proba(self, raw: Any) -> Any:
        return [member.predict_proba(member_raw) for member, member_raw in zip(self._members, raw, strict=True)]


class ChainKernel(Kernel):
    """`raw` is that of each member, which takes the matrix and beside it what the members before it answer."""

    def __init__(self, chain: Any, members: Sequence[Kernel]) -> None:
        self._members = members
        self._method = getattr(chain, "chain_method_", "predict")
        self._places = np.argsort(chain.order_)

    def raw(self, matrix: Any) -> Any:
        raws = []
        answers = np.zeros((len(finite(matrix)), len(self._members)))
        for index, member in enumerate(self._members):
            raws.append(member.raw(np.hstack((matrix, answers[:, :index]))))
            answers[:, index] = _answer(member, raws[-1], self._method)
        return raws

    def predict(self, raw: Any) -> Any:
        return self._answers(raw, "predict")

    def predict_proba(self, raw: Any) -> Any:
        return self._answers(raw, "predict_proba")

    def decision_function(self, raw: Any) -> Any:
        return self._answers(raw, "decision_function")

    def _answers(self, raws: Any, method: str) -> Any:
        answers = [_answer(member, raw, method) for member, raw in zip(self._members, raws, strict=True)]
        table = np.zeros((len(answers[0]), len(answers)))
        for index, answer in enumerate(answers):
            table[:, index] = answer
        return table[:, self._places]


def _answer(member: Kernel, raw: Any, method: str) -> Any:
    """Return one number a row: of probabilities, those of the second class."""
    answer = getattr(member, method)(raw)
    return answer[:, 1] if method == "predict_proba" else answer


def _multi_output(estimator: Any, inner: InnerKernels) -> Kernel:
    return MultiOutputKernel([*map(inner.of_member, estimator.estimators_)])


def _chain(chain: Any, kernel_of: KernelOf) -> Kernel | None:
    is_usual = not any(is_classifier(member) and len(member.classes_) != 2 for member in chain.estimators_)
    return ChainKernel(chain, [*map(kernel_of, chain.estimators_)]) if is_usual else None


KERNELS: Mapping[type, Callable[[Any, InnerKernels], Kernel | None]] = {
    MultiOutputRegressor: _multi_output,
    MultiOutputClassifier: _multi_output,
}
CHAINS: Mapping[type, Callable[[Any, KernelOf], Kernel | None]] = {RegressorChain: _chain, ClassifierChain: _chain}
