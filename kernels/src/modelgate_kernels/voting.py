"""Kernels of estimators that average the answers of others, or let them vote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import VotingClassifier, VotingRegressor

from modelgate_kernels.kernel import Composite, InnerKernels, Kernel, NotCovered


class SoftVotingKernel(Composite):
    """`raw` is rows × classes: the weighted mean of the members' probabilities."""

    def __init__(self, voting: Any, members: Sequence[Kernel]) -> None:
        super().__init__(members)
        self._weights = _weights(voting)
        self._classes = voting.classes_

    def raw(self, matrix: Any) -> Any:
        pairs = zip(self._members, self.raws(matrix), strict=True)
        return _average([member.predict_proba(raw) for member, raw in pairs], self._weights)

    def predict(self, raw: Any) -> Any:
        return self._classes.take(raw.argmax(axis=1))

    def predict_proba(self, raw: Any) -> Any:
        return raw


class HardVotingKernel(Composite):
    """`raw` is the place of each row's class among all classes: that with the most votes, the first of equals."""

    def __init__(self, voting: Any, members: Sequence[Kernel]) -> None:
        super().__init__(members)
        self._weights = _weights(voting) or [1] * len(members)
        self._classes = voting.classes_

    def raw(self, matrix: Any) -> Any:
        votes = [member.predict(raw) for member, raw in zip(self._members, self.raws(matrix), strict=True)]
        counts = np.zeros((len(votes[0]), len(self._classes)))
        rows = np.arange(len(counts))
        for vote, weight in zip(votes, self._weights, strict=True):
            if vote.dtype.kind != "i" or vote.min() < 0:
                raise NotCovered  # a frozen member, which was fitted on other classes
            counts[rows, vote] += weight
        return counts.argmax(axis=1)

    def predict(self, raw: Any) -> Any:
        return self._classes.take(raw)


class VotingRegressorKernel(Composite):
    """`raw` is the weighted mean of the members' predictions."""

    def __init__(self, voting: Any, members: Sequence[Kernel]) -> None:
        super().__init__(members)
        self._weights = _weights(voting)

    def raw(self, matrix: Any) -> Any:
        values = [member.predict(raw) for member, raw in zip(self._members, self.raws(matrix), strict=True)]
        return _average(np.asarray(values).T, self._weights, axis=1)


def _average(values: Any, weights: Sequence[float] | None, axis: int = 0) -> Any:
    """Return what `np.average` returns, in half the time if there are no weights."""
    return np.asarray(values).mean(axis=axis) if weights is None else np.average(values, axis=axis, weights=weights)


def _weights(voting: Any) -> Sequence[float] | None:
    if voting.weights is None:
        return None
    pairs = zip(voting.estimators, voting.weights, strict=True)
    return [weight for (_, member), weight in pairs if not (isinstance(member, str) and member == "drop")]


def _classifier(voting: Any, inner: InnerKernels) -> Kernel | None:
    members = [*map(inner.of_member, voting.estimators_)]
    if voting.voting == "soft":
        return SoftVotingKernel(voting, members)
    # A sum of negative weights may be less than the 0 of a class without votes.
    return HardVotingKernel(voting, members) if all(weight >= 0 for weight in _weights(voting) or ()) else None


def _regressor(voting: Any, inner: InnerKernels) -> Kernel:
    return VotingRegressorKernel(voting, [*map(inner.of_member, voting.estimators_)])


KERNELS: Mapping[type, Callable[[Any, InnerKernels], Kernel | None]] = {
    VotingClassifier: _classifier,
    VotingRegressor: _regressor,
}
