"""Kernels of support vector machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from modelgate_kernels.kernel import Kernel, NotCovered, finite
from modelgate_kernels.multiclass import count_votes, one_vs_one_scores
from modelgate_kernels.sklearn_internals.support_vectors import (
    can_ask_libsvm,
    is_dense_and_whole,
    machine_probabilities,
    pair_decisions,
)


class Asked:
    """Rows, and libsvm's decisions about them, which are made when a method first needs them."""

    def __init__(self, machine: Any, matrix: Any) -> None:
        self._machine = machine
        self.matrix = matrix

    @cached_property
    def decisions(self) -> Any:
        """The decision for each pair of classes: rows × pairs. Rows × 1 without classes."""
        return pair_decisions(self._machine, self.matrix)


class MachineKernel(Kernel):
    """`raw` is an `Asked`. A machine's own methods ask libsvm again for each of its answers."""

    def __init__(self, machine: Any) -> None:
        self._machine = machine

    def raw(self, matrix: Any) -> Asked:
        if matrix.shape[1] != self._machine.n_features_in_:
            raise NotCovered
        return Asked(self._machine, np.ascontiguousarray(finite(matrix), dtype=np.float64))


class RegressorKernel(MachineKernel):
    def predict(self, raw: Asked) -> Any:
        return raw.decisions.ravel()


class OutlierKernel(MachineKernel):
    def predict(self, raw: Asked) -> Any:
        return np.where(raw.decisions.ravel() > 0, 1, -1)

    def decision_function(self, raw: Asked) -> Any:
        return raw.decisions.ravel()


class ClassifierKernel(MachineKernel):
    def __init__(self, machine: Any) -> None:
        super().__init__(machine)
        self._classes = machine.classes_
        self._pairs = np.array([*combinations(range(len(machine.classes_)), 2)]).T
        self._is_one_vs_rest = machine.decision_function_shape == "ovr" and len(machine.classes_) > 2

    def predict(self, raw: Asked) -> Any:
        if self._machine.break_ties and self._is_one_vs_rest:
            return self._classes.take(self.decision_function(raw).argmax(axis=1))
        winners = np.where(raw.decisions > 0, *self._pairs)
        return self._classes.take(count_votes(winners, len(self._classes)).argmax(axis=1))

    def predict_proba(self, raw: Asked) -> Any:
        return machine_probabilities(self._machine, raw.matrix)

    def decision_function(self, raw: Asked) -> Any:
        decisions = raw.decisions
        if self._is_one_vs_rest:
            return one_vs_one_scores(decisions < 0, -decisions, len(self._classes))
        return -decisions.ravel() if len(self._classes) == 2 else decisions


def _regressor(machine: Any) -> Kernel | None:
    return RegressorKernel(machine) if _is_covered(machine) else None


def _outliers(machine: Any) -> Kernel | None:
    return OutlierKernel(machine) if _is_covered(machine) else None


def _classifier(machine: Any) -> Kernel | None:
    raises = machine.break_ties and machine.decision_function_shape == "ovo"
    return ClassifierKernel(machine) if _is_covered(machine) and not raises else None


def _is_covered(machine: Any) -> bool:
    is_usual = isinstance(machine.kernel, str) and machine.kernel != "precomputed"
    return can_ask_libsvm() and is_usual and is_dense_and_whole(machine)


KERNELS: Mapping[type, Callable[[Any], Kernel | None]] = {
    SVC: _classifier,
    NuSVC: _classifier,
    SVR: _regressor,
    NuSVR: _regressor,
    OneClassSVM: _outliers,
}
