"""Kernels of classifiers of several classes that ask a classifier of two for each of them, or for each pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier

from modelgate_kernels.kernel import Composite, InnerKernels, Kernel, KernelOf, NotCovered

Score = Callable[[Kernel, Any], Any]
"""Returns the score of the second class of each row, from an estimator's kernel and its `raw`."""


class OneVsRestKernel(Composite):
    """`raw` is that of each estimator."""

    def __init__(self, classifier: Any, members: Sequence[Kernel]) -> None:
        super().__init__(members)
        self._classes = classifier.classes_
        self._scores = [*map(_score, classifier.estimators_)]
        self._threshold = _threshold(classifier.estimators_[0])

    def raw(self, matrix: Any) -> Any:
        return self.raws(matrix)

    def predict(self, raw: Any) -> Any:
        scores = [score(*arguments) for score, *arguments in zip(self._scores, self._members, raw, strict=True)]
        if len(scores) == 1:
            return self._classes.take(scores[0] > self._threshold)
        greatest = np.full(len(scores[0]), -np.inf)
        best = np.zeros(len(scores[0]), dtype=np.intp)
        for index in range(len(scores) - 1, -1, -1):  # backwards: the first of equal ones wins
            np.maximum(greatest, scores[index], out=greatest)
            best[greatest == scores[index]] = index
        return self._classes.take(best)

    def predict_proba(self, raw: Any) -> Any:
        pairs = zip(self._members, raw, strict=True)
        shares = np.array([member.predict_proba(member_raw)[:, 1] for member, member_raw in pairs]).T
        if len(raw) == 1:
            shares = np.concatenate((1 - shares, shares), axis=1)
        totals = shares.sum(axis=1)[:, np.newaxis]
        np.divide(shares, totals, out=shares, where=totals != 0)
        return shares

    def decision_function(self, raw: Any) -> Any:
        decisions = [
            member.decision_function(member_raw) for member, member_raw in zip(self._members, raw, strict=True)
        ]
        return decisions[0] if len(raw) == 1 else np.array([decision.ravel() for decision in decisions]).T


class OneVsOneKernel(Kernel):
    """`raw` is rows × classes: votes, and less than a vote for how sure the estimators are."""

    def __init__(self, classifier: Any, members: Sequence[Kernel]) -> None:
        self._classes = classifier.classes_
        self._members = [*zip(members, map(_score, classifier.estimators_), strict=True)]
        self._threshold = _threshold(classifier.estimators_[0])

    def raw(self, matrix: Any) -> Any:
        if matrix.dtype.kind not in "fiub":
            raise NotCovered
        raws = [(member, score, member.raw(matrix)) for member, score in self._members]
        winners = np.stack([member.predict(raw) for member, _, raw in raws], axis=1)
        confidences = np.stack([score(member, raw) for member, score, raw in raws], axis=1)
        return one_vs_one_scores(winners, confidences, len(self._classes))

    def predict(self, raw: Any) -> Any:
        if len(self._classes) == 2:
            return self._classes.take(raw[:, 1] > self._threshold)
        return self._classes.take(raw.argmax(axis=1))

    def decision_function(self, raw: Any) -> Any:
        return raw[:, 1] if len(self._classes) == 2 else raw


def one_vs_one_scores(winners: Any, confidences: Any, classes: int) -> Any:
    """Return rows × classes: votes, and less than a vote for confidence, as scikit-learn's `_ovr_decision_function`
    computes them. `winners` is rows × pairs, 0 for the first class of a pair and 1 for the second; a confidence is
    positive for the second."""
    votes, total = np.zeros((len(winners), classes)), np.zeros((len(winners), classes))
    for pair, (first, second) in enumerate(combinations(range(classes), 2)):
        winner, confidence = winners[:, pair], confidences[:, pair]
        total[:, first] -= confidence
        total[:, second] += confidence
        votes[:, first] += winner == 0
        votes[:, second] += winner == 1
    return votes + total / (3 * (np.abs(total) + 1))


def count_votes(votes: Any, classes: int, weights: Any = None) -> Any:
    """Return how many votes each class gets, or the sum of their weights: rows × classes. `votes` is rows × voters, and
    has places of classes."""
    cells = votes + np.arange(0, len(votes) * classes, classes)[:, np.newaxis]
    sums = np.bincount(cells.ravel(), None if weights is None else weights.ravel(), len(votes) * classes)
    return sums.reshape(len(votes), classes)


def _score(estimator: Any) -> Score:
    if is_regressor(estimator):
        return lambda kernel, raw: kernel.predict(raw)
    if hasattr(estimator, "decision_function"):
        return lambda kernel, raw: np.ravel(kernel.decision_function(raw))
    return lambda kernel, raw: kernel.predict_proba(raw)[:, 1]


def _threshold(estimator: Any) -> float:
    """Return the score above which a row is of the second class."""
    return 0.0 if hasattr(estimator, "decision_function") and is_classifier(estimator) else 0.5


def _one_vs_rest(classifier: Any, inner: InnerKernels) -> Kernel | None:
    # One class alone and several labels a row go other ways.
    is_usual = len(classifier.classes_) > 1 and not classifier.multilabel_
    return OneVsRestKernel(classifier, [*map(inner.of_member, classifier.estimators_)]) if is_usual else None


def _one_vs_one(classifier: Any, kernel_of: KernelOf) -> Kernel | None:
    # Estimators of distances between rows each take some of the columns.
    is_usual = classifier.pairwise_indices_ is None
    return OneVsOneKernel(classifier, [*map(kernel_of, classifier.estimators_)]) if is_usual else None


COMPOSITES: Mapping[type, Callable[[Any, InnerKernels], Kernel | None]] = {OneVsRestClassifier: _one_vs_rest}
KERNELS: Mapping[type, Callable[[Any, KernelOf], Kernel | None]] = {OneVsOneClassifier: _one_vs_one}
