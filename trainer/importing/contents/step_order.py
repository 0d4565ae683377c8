"""Finds the only order in which fitted steps can follow one another, from what each shows of its columns, and from what
it has seen: a scaler of columns with the mean 40 did not follow another scaler."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise, permutations, starmap
from typing import Any

import numpy as np

from contract.wording import listed
from scoring.sklearn_internals import FITTED_ON
from trainer.importing import Refused
from trainer.importing.inputs import fitted_inputs as inputs

_MOST_STEPS = 6
TEXT = "text"
"""The width of texts, and of records."""


def in_order(steps: Mapping[str, Any], model: Any | None) -> list[str] | None:
    """Return the names of `steps` in their order before `model`, or None if their columns fit in no order. Raises
    `Refused` if they fit in several, or if no step has seen what another one gives."""
    if len(steps) > _MOST_STEPS:
        return None
    last = [] if model is None else [model]
    # A model of one's own may not count its columns.
    counted = [] if model is None or width_in(model) is None else [model]
    orders = [
        order
        for order in permutations(steps)
        if all(_fits(step, other) for step, other in pairwise([*(steps[name] for name in order), *counted]))
    ]
    fitting = orders
    orders = [order for order in orders if not any(starmap(_contradicts, pairwise([*map(steps.get, order), *last])))]
    if len(orders) > 1:
        orders = [order for order in orders if not any(starmap(_contradicts_names, pairwise(map(steps.get, order))))]
    if fitting and not orders:
        parts = {**steps, **({} if model is None else {"the model": model})}
        described = listed([f"{name}: {type(step).__name__}" for name, step in parts.items()])
        raise Refused(
            f"holds parts that were not fitted on what the others give ({described}): they have seen other numbers;"
            " save the model alone, or in one Pipeline with the steps that it needs"
        )
    if len(orders) > 1:
        shown = " or ".join(" → ".join(order) for order in orders[:2])
        raise Refused(
            f"holds steps whose order it does not show ({shown}): both fit; put them into one Pipeline with the model,"
            " and save that"
        )
    return list(orders[0]) if orders else None


def width_in(step: Any) -> int | str | None:
    """Return the number of columns that a step takes, or None if it is unknown."""
    if hasattr(step, "build_analyzer") or type(step).__name__ in ("DictVectorizer", "FeatureHasher"):
        return TEXT
    return inputs.count(step)


def width_out(step: Any) -> int | None:
    """Return the number of columns that a step gives, or None if it is unknown."""
    if hasattr(step, "build_analyzer") and hasattr(step, "n_features"):
        return int(step.n_features)
    names = names_out(step)
    if names is not None:
        return len(names)
    width = width_in(step)
    with suppress(Exception):
        return int(np.shape(step.transform(np.zeros((1, int(width or 0)))))[1])
    return None


def names_in(step: Any) -> tuple[str, ...] | None:
    return inputs.names(step)


def names_out(step: Any) -> tuple[str, ...] | None:
    """Return the names of the columns that a step gives, or None if it does not know them."""
    with suppress(Exception):
        return tuple(map(str, step.get_feature_names_out()))
    return None


def keeps_names(step: Any) -> bool:
    """Return whether a step gives the columns that it takes, under the same names."""
    taken = names_in(step)
    return taken is not None and taken == names_out(step)


def _fits(step: Any, other: Any) -> bool:
    """Return whether `other` can take what `one` gives."""
    width, taken = width_out(step), width_in(other)
    if width is None or taken is None or width != taken:
        return False
    names = names_in(other)
    return names is None or not keeps_names(step) or names == names_out(step)


def _contradicts_names(step: Any, other: Any) -> bool:
    """Return whether `other` was fitted on a DataFrame and `one` on an array, as steps after the first are."""
    return names_in(step) is None and names_in(other) is not None


# What a step has seen


def _contradicts(step: Any, other: Any) -> bool:
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


def _given(step: Any) -> dict[str, tuple[Any, Any]]:
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
