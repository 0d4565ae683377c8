"""The private names of scikit-learn's nearest neighbours."""

from __future__ import annotations

from typing import Any


def neighbor_tree(estimator: Any) -> Any | None:
    """Return the fitted KDTree or BallTree; None for an estimator that compares a row with every other one, or that
    does not tell."""
    return getattr(estimator, "_tree", None)


def neighbor_targets(estimator: Any) -> Any:
    """Return the target of each fitted row: for a classifier the place of its class. Raises AttributeError if the
    estimator does not tell."""
    return estimator._y
