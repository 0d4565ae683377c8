"""Finds the only order in which fitted steps can follow one another, from what each shows of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise, permutations
from typing import Any

import numpy as np

from contract.wording import listed
from trainer.importing import Refused
from trainer.importing.inputs import fitted_inputs as inputs
from trainer.importing.inputs.seen_values import contradicts

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
    orders = [order for order in orders if not any(map(contradicts, *_pairs([*map(steps.get, order), *last])))]
    if len(orders) > 1:
        orders = [order for order in orders if not any(map(_contradicts_names, *_pairs([*map(steps.get, order)])))]
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


def _pairs(chain: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return each part but the last, and the one that follows it."""
    return chain[:-1], chain[1:]


def _contradicts_names(step: Any, other: Any) -> bool:
    """Return whether `other` was fitted on a DataFrame and `one` on an array, as steps after the first are."""
    return names_in(step) is None and names_in(other) is not None
