"""Finds out which columns a fitted estimator takes: their names, their number, and what each may hold."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.jobs import Value
from contract.manifest import Kind
from scoring.sklearn_internals import CATEGORY_ENCODER, FEATURE_COUNT, column_places
from trainer.importing import Refused

_INSIDE = (
    "best_estimator_",
    "regressor_",
    "estimator_",
    "estimators_",
    "calibrated_classifiers_",
    CATEGORY_ENCODER,
    "estimator",
)
"""Attributes in which an estimator keeps another one that gets the same columns."""


_WHOLE, _FRACTION = re.compile(r"-?(0|[1-9]\d*)"), re.compile(r"-?\d+\.\d+")
"""How Python writes integers and floats."""


@dataclass(frozen=True)
class Hint:
    """What a step shows about one column. `values` are some that it has seen, or similar ones; `whole`: whether its
    numbers were integers when it was fitted, None if that is unknown."""

    kind: Kind | None = None
    nullable: bool = False
    categories: tuple[str, ...] | None = None
    values: tuple[Value, ...] = ()
    whole: bool | None = None

    def completed_by(self, other: Hint) -> Hint:
        """Return `self` with unknown parts from `other`, the hint of a later step of the pipeline."""
        return Hint(
            self.kind or other.kind,
            self.nullable or other.nullable,
            other.categories if self.categories is None else self.categories,
            # Prefer categories, which are many values, to a statistic, which is one.
            max(self.values, other.values, key=len),
            other.whole if self.whole is None else self.whole,
        )


def names(estimator: Any) -> tuple[str, ...] | None:
    """Return the columns' names, or None if it was not fitted on a DataFrame."""
    for part in _outermost_parts(estimator):
        found = _attribute(part, "feature_names_in_")
        if found is not None:
            return tuple(map(str, found))
    return None


def count(estimator: Any) -> int | None:
    """Return the number of columns, or None if it is unknown."""
    for part in _outermost_parts(estimator):
        # Before 0.24 nothing had n_features_in_.
        for attribute in ("n_features_in_", "n_features_", FEATURE_COUNT):
            found = _attribute(part, attribute)
            if isinstance(found, int | np.integer):
                return int(found)
        shape = np.shape(_attribute(part, "coef_")) or np.shape(_attribute(part, "support_vectors_"))
        if shape:
            return int(shape[-1])
    return None


def refuse_bare_text(estimator: Any) -> None:
    """Raise `Refused` for a text vectorizer: it takes a list of texts and would silently misread rows of columns."""
    for part in _outermost_parts(estimator):
        for step in (part, *(step for _, step in _attribute(part, "transformer_list") or ())):
            if _reads_texts(step):
                raise Refused(
                    f"takes bare texts ({type(step).__name__}), but Modelgate sends rows of named columns; fit it on"
                    f" a DataFrame, with make_column_transformer(({type(part).__name__}(…), 'text')) as the first step"
                )


def unused(estimator: Any) -> frozenset[str]:
    """Return the columns that its ColumnTransformer drops: rows need not have them."""
    for part in _outermost_parts(estimator):
        columns = _attribute(part, "feature_names_in_")
        if columns is not None and _indices(part) is not None:
            used = {place for inner, places in by_columns(part) if not _is(inner, "drop") for place in places}
            return frozenset(str(name) for place, name in enumerate(columns) if place not in used)
    return frozenset()


def has_column_transformer(estimator: Any) -> bool:
    """Return whether it contains a ColumnTransformer."""
    return any(_indices(part) is not None for part in _outermost_parts(estimator))


def hints(estimator: Any, width: int) -> list[Hint]:
    """Return a hint for each column."""
    found = [Hint()] * width
    for part in _outermost_parts(estimator):
        _collect(part, range(width), found)
    return found


def _outermost_parts(estimator: Any) -> Iterator[Any]:
    """Yield the estimator, its first step or member, and so on inwards: the parts that get the columns unchanged."""
    seen: set[int] = set()
    while estimator is not None and id(estimator) not in seen:
        seen.add(id(estimator))
        yield estimator
        inside = steps(estimator)[:1] or members(estimator)
        estimator = inside[0] if inside else None


def members(estimator: Any) -> list[Any]:
    """Return the estimators in it that get the same columns, such as all members of an ensemble."""
    found = (member for name in _INSIDE for member in _flat(_attribute(estimator, name)))
    # CalibratedClassifierCV holds wrappers that are not estimators.
    inner = (thing if hasattr(thing, "get_params") else getattr(thing, "estimator", None) for thing in found)
    return [thing for thing in inner if hasattr(thing, "get_params")]


def _flat(thing: Any) -> Iterator[Any]:
    """Yield the items of lists, lists of lists and arrays of objects."""
    thing = thing.tolist() if isinstance(thing, np.ndarray) else thing
    if not isinstance(thing, list | tuple):
        yield thing
        return
    for inner in thing:
        yield from _flat(inner)


def steps(estimator: Any) -> list[Any]:
    """Return a pipeline's steps, without those that do nothing."""
    named = _attribute(estimator, "steps")
    if not isinstance(named, list):
        return []
    return [step for _, step in named if step is not None and not isinstance(step, str)]


def by_columns(part: Any) -> Iterator[tuple[Any, Sequence[int]]]:
    """Yield the parts of a ColumnTransformer, each with the positions of its columns."""
    indices = _indices(part) or {}
    for name, transformer, _ in (_attribute(part, "transformers_") or ()) if indices else ():
        yield transformer, indices.get(name, ())


def _attribute(thing: Any, name: str) -> Any:
    """Return an attribute, or None: properties of wrappers may raise anything."""
    with suppress(Exception):
        return getattr(thing, name)
    return None


def _indices(part: Any) -> Mapping[str, Sequence[int]] | None:
    """Return the column positions of each part of a ColumnTransformer; None for other objects."""
    with suppress(Exception):
        return column_places(part)
    return None


def _collect(part: Any, columns: Sequence[int], found: list[Hint]) -> None:
    """Add the hints of `part`, which gets these `columns`."""
    if steps(part):
        unchanged = True
        for step in steps(part):
            if unchanged:
                _collect(step, columns, found)
                unchanged = _keeps_columns(step)
            else:
                _collect_spelling(step, columns, found)
        return
    if _indices(part) is not None:
        for transformer, places in by_columns(part):
            _collect(transformer, [columns[place] for place in places], found)
        return
    for _, transformer, *_ in _attribute(part, "transformer_list") or ():
        _collect(transformer, columns, found)
    for position, column in enumerate(columns):
        if column < len(found):
            found[column] = found[column].completed_by(_hint(part, position, len(columns)))


def _collect_spelling(step: Any, columns: Sequence[int], found: list[Hint]) -> None:
    """Add hints from an encoder of words: how an earlier custom step has written the numbers of these `columns`."""
    categories = _attribute(step, "categories_")
    if isinstance(categories, list) and len(categories) == len(columns):
        for column, words in zip(columns, categories, strict=True):
            if column < len(found):
                found[column] = found[column].completed_by(_spelt(np.asarray(words).tolist()))


def _spelt(words: Sequence[Any]) -> Hint:
    texts = [word for word in words if isinstance(word, str)]
    for whole, pattern in ((True, _WHOLE), (False, _FRACTION)):
        if texts and len(texts) == len(words) and all(map(pattern.fullmatch, texts)):
            return Hint(values=tuple(map(float, texts[:10])), whole=whole)
    return Hint()


def _keeps_columns(step: Any) -> bool:
    """Return whether the next step gets the same columns in the same positions."""
    return _is_imputer(step) and not step.add_indicator


def _is_imputer(step: Any) -> bool:
    return hasattr(step, "add_indicator") and hasattr(step, "missing_values")


def _is(step: Any, word: str) -> bool:
    return isinstance(step, str) and step == word


def _reads_texts(step: Any) -> bool:
    return hasattr(step, "build_analyzer")


def _hint(step: Any, position: int, width: int) -> Hint:
    hint = Hint(Kind.STRING) if _reads_texts(step) else Hint()
    categories = _attribute(step, "categories_")
    if isinstance(categories, list) and len(categories) == width:
        hint = hint.completed_by(_of_categories(categories[position], _attribute(step, "handle_unknown") == "error"))
    if _is_imputer(step):
        hint = dataclasses.replace(hint, nullable=True)
    for attribute in ("statistics_", "initial_imputer_", "mean_", "center_", "data_min_"):
        numbers = _attribute(step, attribute)
        numbers = _attribute(numbers, "statistics_") if attribute == "initial_imputer_" else numbers
        if isinstance(numbers, np.ndarray) and numbers.shape == (width,):
            return hint.completed_by(_of_statistic(numbers[position], _spread(step, position, width)))
    return hint


def _spread(step: Any, position: int, width: int) -> float:
    for attribute in ("scale_", "data_range_"):
        numbers = _attribute(step, attribute)
        if isinstance(numbers, np.ndarray) and numbers.shape == (width,):
            return float(numbers[position])
    return 1.0


def _of_statistic(value: Any, spread: float) -> Hint:
    if isinstance(value, str):
        return Hint(Kind.STRING, values=(value,))
    try:
        number = float(value)
    except (TypeError, ValueError):
        return Hint()
    if not math.isfinite(number):
        return Hint()
    return Hint(Kind.NUMBER, values=tuple(n for n in (number, number + spread) if math.isfinite(n)))


def _of_categories(categories: Any, closed: bool) -> Hint:
    """Return the hint of an encoder's categories. Null among them means that the training data had nulls."""
    everything = np.asarray(categories).tolist()
    known = [value for value in everything if value is not None and value == value]
    nullable = len(known) < len(everything)
    if not known:
        return Hint(nullable=nullable)
    if all(isinstance(value, str) for value in known):
        return Hint(Kind.STRING, nullable, tuple(known) if closed else None, tuple(known[:10]))
    if all(isinstance(value, bool) for value in known):
        return Hint(Kind.BOOLEAN, nullable, values=tuple(known))
    if all(isinstance(value, int | float) for value in known):
        whole = not nullable and all(isinstance(value, int) for value in known)
        # The encoder refuses other numbers, so the column holds integers.
        kind = Kind.INTEGER if whole and closed else Kind.NUMBER
        return Hint(kind, nullable, values=tuple(known[:10] if whole else map(float, known[:10])), whole=whole)
    return Hint(nullable=nullable)
