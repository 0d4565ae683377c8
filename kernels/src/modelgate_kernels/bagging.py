"""Kernels of ensembles of many estimators of one kind: bagging and AdaBoost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor, BaggingClassifier, BaggingRegressor
from sklearn.utils.extmath import softmax

from modelgate_kernels.kernel import Kernel, KernelOf, NotCovered, finite


class BaggingKernel(Kernel):
    """Each member gets its own columns of the matrix."""

    def __init__(self, bagging: Any, members: Sequence[Kernel]) -> None:
        self._members = [*zip(members, bagging.estimators_features_, strict=True)]
        self._count = bagging.n_estimators

    def _raws(self, matrix: Any) -> Iterator[tuple[Kernel, Any]]:
        """Yield each member with its `raw`."""
        if not isinstance(matrix, np.ndarray):
            raise NotCovered
        return ((member, member.raw(matrix[:, columns])) for member, columns in self._members)


class BaggingRegressorKernel(BaggingKernel):
    """`raw` is the mean of the members' predictions."""

    def raw(self, matrix: Any) -> Any:
        return sum(member.predict(raw) for member, raw in self._raws(matrix)) / self._count


class BaggingClassifierKernel(BaggingKernel):
    """`raw` is rows × classes, the mean of the members' probabilities (or of their votes), and each member with its
    own `raw`. `places` are those of each member's classes among all."""

    def __init__(self, bagging: Any, members: Sequence[Kernel], places: Sequence[Any]) -> None:
        super().__init__(bagging, members)
        self._classes = bagging.classes_
        self._places = places
        self._votes = not hasattr(bagging.estimators_[0], "predict_proba")

    def raw(self, matrix: Any) -> Any:
        raws = [*self._raws(matrix)]
        total = np.zeros((len(matrix), len(self._classes)))
        for places, (member, raw) in zip(self._places, raws, strict=True):
            if self._votes:
                total[np.arange(len(total)), member.predict(raw)] += 1
            else:
                total[:, places] += member.predict_proba(raw)
        return total / self._count, raws

    def predict(self, raw: Any) -> Any:
        return self._classes.take(raw[0].argmax(axis=1), axis=0)

    def predict_proba(self, raw: Any) -> Any:
        return raw[0]

    def decision_function(self, raw: Any) -> Any:
        return sum(member.decision_function(member_raw) for member, member_raw in raw[1]) / self._count


class AdaBoostClassifierKernel(Kernel):
    """`raw` is the decision: rows, or rows × classes if there are more than two. The weighted votes of the members,
    where a member votes against the classes that it does not predict."""

    def __init__(self, boosting: Any, members: Sequence[Kernel]) -> None:
        self._members = [*zip(members, boosting.estimator_weights_, strict=False)]
        self._total = boosting.estimator_weights_.sum()
        self._classes = boosting.classes_
        self._column = boosting.classes_[:, np.newaxis]
        self._others = len(boosting.classes_) - 1

    def raw(self, matrix: Any) -> Any:
        matrix = finite(matrix)
        decision = sum(
            np.where((member.predict(member.raw(matrix)) == self._column).T, weight, -1 / self._others * weight)
            for member, weight in self._members
        )
        decision /= self._total
        if self._others > 1:
            return decision
        decision[:, 0] *= -1
        return decision.sum(axis=1)

    def predict(self, raw: Any) -> Any:
        return self._classes.take(raw > 0 if raw.ndim == 1 else raw.argmax(axis=1), axis=0)

    def predict_proba(self, raw: Any) -> Any:
        return softmax(np.vstack([-raw, raw]).T / 2 if raw.ndim == 1 else raw / self._others, copy=False)

    def decision_function(self, raw: Any) -> Any:
        return raw


class AdaBoostRegressorKernel(Kernel):
    """`raw` is the weighted median of the members' predictions."""

    def __init__(self, boosting: Any, members: Sequence[Kernel]) -> None:
        self._members = members
        self._weights = boosting.estimator_weights_

    def raw(self, matrix: Any) -> Any:
        matrix = finite(matrix)
        values = np.array([member.predict(member.raw(matrix)) for member in self._members]).T
        order = np.argsort(values, axis=1)
        weights = np.cumsum(self._weights[order], axis=1)
        median = (weights >= 0.5 * weights[:, -1][:, np.newaxis]).argmax(axis=1)
        rows = np.arange(len(values))
        return values[rows, order[rows, median]]


def _bagging_classifier(bagging: Any, kernel_of: KernelOf) -> Kernel | None:
    if not _in_one_thread(bagging):
        return None
    every = len(bagging.classes_)
    places = [slice(None) if len(member.classes_) == every else member.classes_ for member in bagging.estimators_]
    return BaggingClassifierKernel(bagging, [*map(kernel_of, bagging.estimators_)], places)


def _bagging_regressor(bagging: Any, kernel_of: KernelOf) -> Kernel | None:
    return BaggingRegressorKernel(bagging, [*map(kernel_of, bagging.estimators_)]) if _in_one_thread(bagging) else None


def _in_one_thread(bagging: Any) -> bool:
    """Return whether it adds up the members' answers in their order: several threads add up their shares first."""
    return bagging.n_jobs in (None, 1)


def _adaboost_classifier(boosting: Any, kernel_of: KernelOf) -> Kernel | None:
    members = [*map(kernel_of, boosting.estimators_)]
    return AdaBoostClassifierKernel(boosting, members) if len(boosting.classes_) > 1 else None


def _adaboost_regressor(boosting: Any, kernel_of: KernelOf) -> Kernel:
    return AdaBoostRegressorKernel(boosting, [*map(kernel_of, boosting.estimators_)])


KERNELS: Mapping[type, Callable[[Any, KernelOf], Kernel | None]] = {
    BaggingClassifier: _bagging_classifier,
    BaggingRegressor: _bagging_regressor,
    AdaBoostClassifier: _adaboost_classifier,
    AdaBoostRegressor: _adaboost_regressor,
}
