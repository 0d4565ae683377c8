"""Compares what a fitted part has seen with what the step before it gives: a scaler of columns with the mean 40 did not
follow another scaler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from scoring.sklearn_internals import FITTED_ON
from trainer.importing.inputs import fitted_inputs as inputs

_Bounds = tuple[Any, Any]


def contradicts(step: Any, other: Any) -> bool:
    """Return whether `other` cannot have been fitted on what `step` gives, which has the width that it takes."""
    ranges = _given(step)
    if not ranges:
        return False
    for part in inputs.outermost_parts(other):
        for statistic, seen in _seen(part):
            low, high = ranges.get(statistic, (-np.inf, np.inf))
            with suppress(ValueError):  # a member of an ensemble may have seen some columns only
                if np.any(seen < low) or np.any(seen > high):
                    return True
    return False


def _given(step: Any) -> dict[str, _Bounds]:
    """Return between what bounds statistics of the step's output are.

    They leave room: other rows may have been left out, or repeated, when the next part was fitted. `center` is a mean
    of rows that may have been weighted, `cell` any value.
    """
    name = type(step).__name__
    if name == "StandardScaler" and step.with_mean and step.with_std:
        # The median is at most one standard deviation from the mean, and a value at most √n.
        most = np.sqrt(np.max(step.n_samples_seen_))
        bounds = {"mean": (-0.25, 0.25), "median": (-1.25, 1.25), "low": (-np.inf, 0.25), "high": (-0.25, np.inf)}
        return {**bounds, "center": (-2.0, 2.0), "cell": (-most, most)}
    if name == "PCA":
        spread = np.ones_like(step.explained_variance_) if step.whiten else np.sqrt(step.explained_variance_)
        return {"mean": (-spread / 4, spread / 4), "center": (-2 * spread, 2 * spread)}
    if name == "MinMaxScaler":
        low, high = step.feature_range
        room = (high - low) / 4
        return dict.fromkeys(("mean", "median", "low", "high", "center", "cell"), (low - room, high + room))
    if name == "RobustScaler" and step.with_centering and step.with_scaling:
        return {"median": (-0.25, 0.25)}
    return {}


def _seen(part: Any) -> Iterator[tuple[str, Any]]:
    """Yield statistics of the columns that a part was fitted on, each an array by column; NaN: unknown."""
    imputed = {"mean": "mean", "median": "median"}.get(getattr(part, "strategy", ""))
    kept = {
        "mean": getattr(part, "mean_", None),
        "median": getattr(part, "center_", None),
        "low": getattr(part, "data_min_", None),
        "high": getattr(part, "data_max_", None),
        "center": _center(part),
        "cell": _cells(part),
    }
    if imputed:
        kept[imputed] = getattr(part, "statistics_", None)
    for statistic, values in kept.items():
        if values is not None and np.asarray(values).dtype.kind in "fiu":
            yield statistic, np.asarray(values)


def _center(model: Any) -> Any | None:
    """Return the mean of the rows that a model was fitted on, if it has kept enough of them."""
    rows = getattr(model, FITTED_ON[0], None)
    with suppress(Exception):  # other libraries, and other releases, keep other things
        if rows is not None:
            return np.asarray(rows.mean(axis=0)).ravel()
        if hasattr(model, "theta_") and hasattr(model, "class_prior_"):
            return np.average(model.theta_, axis=0, weights=model.class_prior_)
        if hasattr(model, "cluster_centers_"):
            return np.average(model.cluster_centers_, axis=0, weights=np.bincount(model.labels_))
    return getattr(model, "xbar_", None)


def _cells(model: Any) -> Any | None:
    """Return one value of each column among those that a model has seen."""
    with suppress(Exception):
        if hasattr(model, "support_vectors_"):
            return np.asarray(model.support_vectors_.mean(axis=0)).ravel()
    trees = [tree for member in (model, *inputs.members(model)) if (tree := getattr(member, "tree_", None)) is not None]
    if not trees:
        return None
    features, limits = (np.concatenate([getattr(tree, name) for tree in trees]) for name in ("feature", "threshold"))
    columns = range(trees[0].n_features)
    return np.array(
        [np.median(limits[features == column]) if (features == column).any() else np.nan for column in columns]
    )
