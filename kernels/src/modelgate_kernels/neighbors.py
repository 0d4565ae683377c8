"""Kernels of nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.utils.extmath import weighted_mode

from modelgate_kernels.kernel import Kernel, NotCovered, finite
from modelgate_kernels.multiclass import count_votes
from modelgate_kernels.sklearn_internals.neighbors import neighbor_targets, neighbor_tree


class Neighbors:
    """Finds the neighbours of rows in the tree of a fitted estimator, which its own methods search again for each of
    their answers."""

    def __init__(self, estimator: Any) -> None:
        self._tree: Any = neighbor_tree(estimator)
        self._count = estimator.n_neighbors
        self._columns = estimator.n_features_in_
        self._weighs = estimator.weights == "distance"

    def of(self, matrix: Any) -> tuple[Any, Any]:
        """Return the places of the neighbours of each row, and their weights or None if all weigh the same: both
        rows × neighbours."""
        if matrix.shape[1] != self._columns:
            raise NotCovered
        neighbors = self._tree.query(np.ascontiguousarray(finite(matrix)), self._count, self._weighs)
        return (neighbors[1], _weights(neighbors[0])) if self._weighs else (neighbors, None)


def _weights(distances: Any) -> Any:
    """Return the inverse of each distance; where one is 0, only such neighbours count."""
    with np.errstate(divide="ignore"):
        weights = 1.0 / distances
    is_there = np.isinf(weights)
    rows = is_there.any(axis=1)
    weights[rows] = is_there[rows]
    if not weights.any(axis=1).all():
        raise NotCovered
    return weights


class VotesKernel(Kernel):
    """`raw` is rows × classes: the share of each class among the neighbours."""

    def __init__(self, estimator: Any) -> None:
        self._neighbors = Neighbors(estimator)
        self._targets = neighbor_targets(estimator)
        self._classes = estimator.classes_

    def raw(self, matrix: Any) -> Any:
        return _shares(count_votes(self._targets[self._neighbors.of(matrix)[0]], len(self._classes)))

    def predict(self, raw: Any) -> Any:
        return self._classes.take(raw.argmax(axis=1))

    def predict_proba(self, raw: Any) -> Any:
        return raw


class WeightedVotesKernel(VotesKernel):
    """`raw` is the class of each neighbour, and its weight: both rows × neighbours."""

    def raw(self, matrix: Any) -> Any:
        places, weights = self._neighbors.of(matrix)
        return self._targets[places], weights

    def predict(self, raw: Any) -> Any:
        winners, _ = weighted_mode(*raw, axis=1)
        return self._classes.take(np.asarray(winners.ravel(), dtype=np.intp))

    def predict_proba(self, raw: Any) -> Any:
        labels, weights = raw
        return _shares(count_votes(labels, len(self._classes), weights))


class ComparedWithAllKernel(VotesKernel):
    """The same without a tree: the estimator's own shares, from which its `predict` would take the greatest, too."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        self._classes = estimator.classes_

    def raw(self, matrix: Any) -> Any:
        return self._estimator.predict_proba(matrix)


class MeanKernel(Kernel):
    """`raw` is the mean of the neighbours' targets: rows, or rows × outputs."""

    def __init__(self, estimator: Any) -> None:
        self._neighbors = Neighbors(estimator)
        self._targets = neighbor_targets(estimator)

    def raw(self, matrix: Any) -> Any:
        places, weights = self._neighbors.of(matrix)
        targets = self._targets if self._targets.ndim > 1 else self._targets[:, np.newaxis]
        if weights is None:
            means = targets[places].mean(axis=1)
        else:
            total = weights.sum(axis=1)
            columns = [(column[places] * weights).sum(axis=1) / total for column in targets.T]
            means = np.stack(columns, axis=1)
        return means if self._targets.ndim > 1 else means.ravel()


def _shares(votes: Any) -> Any:
    return votes / votes.sum(axis=1)[:, np.newaxis]


def _classifier(estimator: Any) -> Kernel | None:
    if estimator.outputs_2d_ or not _is_covered(estimator):
        return None
    if neighbor_tree(estimator) is not None:
        return VotesKernel(estimator) if estimator.weights == "uniform" else WeightedVotesKernel(estimator)
    return ComparedWithAllKernel(estimator) if estimator.weights == "uniform" else None


def _regressor(estimator: Any) -> Kernel | None:
    return MeanKernel(estimator) if _is_covered(estimator) and neighbor_tree(estimator) is not None else None


def _is_covered(estimator: Any) -> bool:
    is_usual = isinstance(estimator.metric, str) and estimator.weights in ("uniform", "distance")
    return is_usual and estimator.n_neighbors <= estimator.n_samples_fit_


KERNELS: Mapping[type, Callable[[Any], Kernel | None]] = {
    KNeighborsClassifier: _classifier,
    KNeighborsRegressor: _regressor,
}
