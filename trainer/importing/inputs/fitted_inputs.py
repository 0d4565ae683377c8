"""Finds out which columns a fitted estimator takes: their names, their number, and what each may hold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from modelgate_kernels.sklearn_internals import column_places
from sklearn.utils import check_array

from contract.model.signature import Kind, Null
from scoring.sklearn_internals import CATEGORY_ENCODER, FEATURE_COUNT, allows_nan
from trainer.importing.inputs.words import hints_by_name, reads_records, reads_texts, texts_to_try
from trainer.importing.other_libraries import described
from trainer.importing.other_libraries.described import NAN, Hint, nulls_of_categories, of_categories, of_spelling

_INSIDE = (
    *("best_estimator_", "regressor_", "estimator_", "estimators_", "calibrated_classifiers_", CATEGORY_ENCODER),
    "estimator",
)
"""Attributes in which an estimator keeps another one that gets the same columns."""


def names(estimator: Any, written: Collection[str] = ()) -> tuple[str, ...] | None:
    """Return the columns' names, spelt as in `written` (those beside it); None if it was not fitted on a DataFrame."""
    for part in outermost_parts(estimator):
        if shown := described(part):
            return shown.names and tuple(shown.original(name, written) for name in shown.names)
        known = _attribute(part, "feature_names_in_")
        if known is not None:
            return tuple(_with_blanks(list(map(str, known)), members(part)))
    return None


def _with_blanks(names: Sequence[str], members: Sequence[Any]) -> Iterator[str]:
    """Yield the names as a member has them that has kept their blanks: an ensemble may have its names from LightGBM."""
    known = (_attribute(member, "feature_names_in_") for member in members)
    others = {str(name) for spelt in known if spelt is not None for name in spelt}
    for name in names:
        yield next((other for other in others.difference(names) if other.replace(" ", "_") == name), name)


def count(estimator: Any) -> int | None:
    """Return the number of columns, or None if it is unknown."""
    for part in outermost_parts(estimator):
        if shown := described(part):
            return len(shown.hints)
        # Before 0.24 nothing had n_features_in_.
        for attribute in ("n_features_in_", "n_features_", FEATURE_COUNT):
            width = _attribute(part, attribute)
            if isinstance(width, int | np.integer):
                return int(width)
        shape = np.shape(_attribute(part, "coef_")) or np.shape(_attribute(part, "support_vectors_"))
        if shape:
            return int(shape[-1])
        if _attribute(part, "X_min_") is not None:  # an IsotonicRegression
            return 1
    return None


def takes_nan(estimator: Any) -> bool:
    """Return whether the part of `estimator` that answers says that it takes NaN."""
    seen: set[int] = set()
    while id(estimator) not in seen:
        seen.add(id(estimator))
        inside = steps(estimator)[-1:] or [part for part in members(estimator) if hasattr(part, "predict")]
        estimator = inside[0] if inside else estimator
    with suppress(Exception):  # other libraries may have no tags, or unusual ones
        return allows_nan(estimator)
    return False


def vectorizers(estimator: Any) -> list[Any]:
    """Return the vectorizers that get the rows of `estimator` as they are sent, or after steps of which none knows
    columns; none: its rows are a table."""
    if reads_texts(estimator) or reads_records(estimator):
        return [estimator]
    if _knows_columns(estimator):
        return []
    for step in steps(estimator):
        if readers := vectorizers(step):
            return readers
        if _knows_columns(step):
            return []
    if parts := _united(estimator):
        return [vectorizer for part in parts for vectorizer in vectorizers(part)]
    return next(filter(None, map(vectorizers, members(estimator) or _in_attributes(estimator))), [])


def reads_texts_first(estimator: Any) -> bool:
    """Return whether nothing comes before its vectorizers of texts."""
    for part in outermost_parts(estimator):
        if parts := _united(part):
            return all(map(reads_texts_first, parts))
        if reads_texts(part):
            return True
    return False


def unused(estimator: Any) -> frozenset[str]:
    """Return the columns that its ColumnTransformer drops: rows need not have them."""
    for part in outermost_parts(estimator):
        columns = _attribute(part, "feature_names_in_")
        if columns is not None and _indices(part) is not None:
            used = {place for inner, places in by_columns(part) if not _is(inner, "drop") for place in places}
            return frozenset(str(name) for position, name in enumerate(columns) if position not in used)
    return frozenset()


def has_column_transformer(estimator: Any) -> bool:
    """Return whether it contains a ColumnTransformer."""
    return any(_indices(part) is not None for part in outermost_parts(estimator))


def hints(estimator: Any, width: int) -> list[Hint]:
    """Return a hint for each column."""
    all_hints = [Hint()] * width
    for part in outermost_parts(estimator):
        _collect(part, range(width), all_hints)
        for step in filter(reads_records, steps(part)):
            known = hints_by_name(step)
            for position, name in enumerate(names(part) or ()):
                all_hints[position] = all_hints[position].completed_by(known.get(name, Hint()))
    return all_hints


def known_null_words(estimator: Any) -> dict[str, tuple[str, ...]]:
    """Return the words of each column that the estimator knows and that mean null in a CSV file elsewhere."""
    columns = names(estimator) or ()
    return {name: hint.words for name, hint in zip(columns, hints(estimator, len(columns)), strict=True) if hint.words}


def outermost_parts(estimator: Any) -> Iterator[Any]:
    """Yield the estimator, its first step or member, and so on inwards: the parts that get the columns unchanged."""
    seen: set[int] = set()
    while estimator is not None and id(estimator) not in seen:
        seen.add(id(estimator))
        yield estimator
        inside = steps(estimator)[:1] or members(estimator) or held(estimator)
        estimator = inside[0] if inside else None


def members(estimator: Any) -> list[Any]:
    """Return the estimators in it that get the same columns, such as all members of an ensemble."""
    candidates = (member for name in _INSIDE for member in _flat(_attribute(estimator, name)))
    # CalibratedClassifierCV holds wrappers that are not estimators.
    inner = (thing if hasattr(thing, "get_params") else getattr(thing, "estimator", None) for thing in candidates)
    return [thing for thing in inner if hasattr(thing, "get_params")]


def held(estimator: Any) -> list[Any]:
    """Return the estimators in the attributes of a class of the user's own that knows no columns, and in their lists
    and dicts: those with names first. Empty if they take different numbers of columns, since it is unknown which gets
    the rows."""
    parts = [part for part in _in_attributes(estimator) if _knows_columns(part)]
    parts.sort(key=lambda part: _attribute(part, "feature_names_in_") is None)
    return parts if len({_attribute(part, "n_features_in_") for part in parts}) == 1 else []


def borrowed_names(estimator: Any) -> tuple[str, ...]:
    """Return the columns' names, if they are those of an estimator in a class of the user's own: its rows may have
    others, of which it makes these."""
    return (names(estimator) or ()) if any(map(held, outermost_parts(estimator))) else ()


def _in_attributes(estimator: Any) -> list[Any]:
    if type(estimator).__module__.startswith("sklearn.") or _knows_columns(estimator) or steps(estimator):
        return []
    inside = vars(estimator).values() if hasattr(estimator, "__dict__") else ()
    return [part for attribute in inside for part in _members_of(attribute) if hasattr(part, "get_params")]


def _members_of(attribute: Any) -> Iterable[Any]:
    if isinstance(attribute, Mapping):
        return attribute.values()
    return attribute if isinstance(attribute, list | tuple) else (attribute,)


def _flat(thing: Any) -> Iterator[Any]:
    """Yield the items of lists, lists of lists and arrays of objects."""
    thing = thing.tolist() if isinstance(thing, np.ndarray) else thing
    if not isinstance(thing, list | tuple):
        yield thing
        return
    for inner in thing:
        yield from _flat(inner)


def steps(estimator: Any) -> list[Any]:
    """Return a pipeline's steps, without those that do nothing when it predicts: imbalanced-learn's samplers, too."""
    named = _attribute(estimator, "steps")
    if not isinstance(named, list):
        return []
    return [step for _, step in named if not (isinstance(step, str | None) or hasattr(step, "fit_resample"))]


def _united(part: Any) -> list[Any]:
    """Return the parts of a FeatureUnion, which all get the same rows."""
    return [transformer for _, transformer, *_ in _attribute(part, "transformer_list") or ()]


def _knows_columns(part: Any) -> bool:
    """Return whether it was fitted on a table."""
    fitted_on = (_attribute(part, "feature_names_in_"), _attribute(part, "n_features_in_"), _indices(part))
    return any(value is not None for value in fitted_on)


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


def _collect(part: Any, columns: Sequence[int], hints: list[Hint]) -> None:
    """Add the hints of `part`, which gets these `columns`."""
    if steps(part):
        unchanged: Sequence[int] | None = columns
        for step in steps(part):
            if unchanged is None:
                _collect_spelling(step, columns, hints)
            else:
                _collect(step, unchanged, hints)
                unchanged = _columns_after(step, unchanged, unknown=len(hints))
        return
    if _indices(part) is not None:
        for transformer, positions in by_columns(part):
            _collect(transformer, [columns[position] for position in positions], hints)
        return
    for inner in (*_united(part), *members(part)[:1]):
        _collect(inner, columns, hints)
    shown = described(part)
    for position, column in enumerate(columns):
        if column < len(hints):
            hints[column] = hints[column].completed_by(_hint(part, position, len(columns)))
            if shown and len(shown.hints) == len(columns):
                hints[column] = hints[column].completed_by(shown.hints[position])


def _collect_spelling(step: Any, columns: Sequence[int], hints: list[Hint]) -> None:
    """Add hints from an encoder of words: how an earlier custom step has written the numbers of these `columns`."""
    categories = _attribute(step, "categories_")
    if isinstance(categories, list) and len(categories) == len(columns):
        for column, words in zip(columns, categories, strict=True):
            if column < len(hints):
                hints[column] = hints[column].completed_by(of_spelling(np.asarray(words).tolist()))


def _columns_after(step: Any, columns: Sequence[int], unknown: int) -> Sequence[int] | None:
    """Return which of `columns` the next step gets in each position, `unknown` where `step` has changed them; None if
    it has changed all."""
    if _keeps_columns(step):
        return columns
    positions, places = _indices(step) or {}, _attribute(step, "output_indices_") or {}
    after = [unknown] * max((place.stop for place in places.values()), default=0)
    for name, transformer, _ in (_attribute(step, "transformers_") or ()) if positions else ():
        place = places.get(name, slice(0))  # ColumnSteps does not say where its parts go
        if _keeps_columns(transformer) and len(after[place]) == len(positions.get(name, ())):
            after[place] = [columns[position] for position in positions[name]]
    return after if {*after} - {unknown} else None


def _keeps_columns(step: Any) -> bool:
    """Return whether the next step gets the same columns in the same positions."""
    if _is(step, "passthrough") or getattr(step, "func", step) is None:
        return True
    shown = described(step)
    return shown.keeps_columns if shown else _is_imputer(step) and not step.add_indicator


def only_casts(step: Any) -> bool:
    """Return whether its function makes floats of numbers and booleans, as in HistGradientBoosting."""
    function = getattr(step, "func", None)
    return isinstance(function, partial) and function.func is check_array


def _is_imputer(step: Any) -> bool:
    return hasattr(step, "add_indicator") and hasattr(step, "missing_values")


def _is(step: Any, word: str) -> bool:
    return isinstance(step, str) and step == word


def _hint(step: Any, position: int, width: int) -> Hint:
    if only_casts(step):
        return Hint(Kind.NUMBER, binary=True)
    hint = Hint(Kind.STRING, values=tuple(texts_to_try([step], 3))) if reads_texts(step) else Hint()
    categories = _attribute(step, "categories_")
    if isinstance(categories, list) and len(categories) == width:
        closed = _attribute(step, "handle_unknown") == "error"
        hint = hint.completed_by(of_categories(categories[position], closed))
        held, not_held = nulls_of_categories(categories[position])
        known = not_held if _attribute(step, "categories") == "auto" else frozenset[Null]()
        hint = dataclasses.replace(hint, nulls=held, not_nulls=known)
    if _is_imputer(step):
        none = frozenset({Null.NONE}) if step.missing_values is None else frozenset[Null]()
        hint = dataclasses.replace(hint, nullable=True, nulls=none, imputed=none or NAN)
    for attribute in ("statistics_", "initial_imputer_", "mean_", "center_", "data_min_"):
        numbers = _attribute(step, attribute)
        numbers = _attribute(numbers, "statistics_") if attribute == "initial_imputer_" else numbers
        if isinstance(numbers, np.ndarray) and numbers.shape == (width,):
            statistic = _of_statistic(numbers[position], _spread(step, position, width))
            # What replaces nulls may be of another kind than the column.
            is_fill = _attribute(step, "strategy") == "constant"
            return hint.completed_by(Hint(fill=statistic.kind) if is_fill else statistic)
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
    values = tuple(n for n in (number, number + spread) if math.isfinite(n))
    return Hint(Kind.NUMBER, values=values, binary=0 <= number <= 1)
