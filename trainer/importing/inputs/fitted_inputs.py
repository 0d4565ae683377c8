"""Finds out which columns a fitted estimator takes: their names, their number, and what each may hold."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from modelgate_kernels.sklearn_internals import column_places

from contract.model.signature import Kind, Null
from scoring.sklearn_internals import CATEGORY_ENCODER, FEATURE_COUNT, allows_nan
from trainer.importing.inputs.words import hints_by_name, reads_records, reads_texts, texts_to_try
from trainer.importing.other_libraries import described
from trainer.importing.other_libraries.described import Hint

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
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d(?:\.\d+)?)([-+]\d\d:\d\d)?")
_NULL_WORDS = {"nan": Null.NAN_OBJECT, "None": Null.NONE, "<NA>": Null.NA_OBJECT, "NaT": Null.NAN}
"""How it writes nulls."""

_LARGEST_EXACT = 2**53
"""From here on a float stands for several integers."""

_NAN = frozenset({Null.NAN, Null.NAN_OBJECT})


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
            used = {
                position for inner, positions in by_columns(part) if not _is(inner, "drop") for position in positions
            }
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
    return [
        step
        for _, step in named
        if step is not None and not isinstance(step, str) and not hasattr(step, "fit_resample")
    ]


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
        unchanged = True
        for step in steps(part):
            if unchanged:
                _collect(step, columns, hints)
                unchanged = _keeps_columns(step)
            else:
                _collect_spelling(step, columns, hints)
        return
    if _indices(part) is not None:
        for transformer, positions in by_columns(part):
            _collect(transformer, [columns[position] for position in positions], hints)
        return
    for transformer in _united(part):
        _collect(transformer, columns, hints)
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
                hints[column] = hints[column].completed_by(_spelt(np.asarray(words).tolist()))


def _spelt(words: Sequence[Any]) -> Hint:
    nulls = frozenset(_NULL_WORDS[word] for word in words if word in _NULL_WORDS)
    words = [word for word in words if word not in _NULL_WORDS and word == word]
    texts = [word for word in words if isinstance(word, str)]
    for whole, pattern in ((True, _WHOLE), (False, _FRACTION)):
        if texts and len(texts) == len(words) and all(map(pattern.fullmatch, texts)):
            return Hint(values=tuple(map(float, texts[:10])), whole=whole)
    moments = [match for text in texts if (match := _MOMENT.fullmatch(text))]
    aware = any(moment[2] for moment in moments)
    # pandas writes midnight only for dates among objects, as None makes them.
    if moments and len(moments) == len(words) and {moment[1] for moment in moments} == {"00:00:00"}:
        return Hint(nulls=nulls, not_nulls=frozenset({Null.NAN}), aware=aware)
    return Hint(aware=aware)


def _keeps_columns(step: Any) -> bool:
    """Return whether the next step gets the same columns in the same positions."""
    shown = described(step)
    return shown.keeps_columns if shown else _is_imputer(step) and not step.add_indicator


def _is_imputer(step: Any) -> bool:
    return hasattr(step, "add_indicator") and hasattr(step, "missing_values")


def _is(step: Any, word: str) -> bool:
    return isinstance(step, str) and step == word


def _hint(step: Any, position: int, width: int) -> Hint:
    hint = Hint(Kind.STRING, values=tuple(texts_to_try([step], 3))) if reads_texts(step) else Hint()
    categories = _attribute(step, "categories_")
    if isinstance(categories, list) and len(categories) == width:
        hint = hint.completed_by(_of_categories(categories[position], _attribute(step, "handle_unknown") == "error"))
        held, not_held = _nulls(categories[position])
        known = not_held if _attribute(step, "categories") == "auto" else frozenset[Null]()
        hint = dataclasses.replace(hint, nulls=held, not_nulls=known)
    if _is_imputer(step):
        none = frozenset({Null.NONE}) if step.missing_values is None else frozenset[Null]()
        hint = dataclasses.replace(hint, nullable=True, nulls=none, imputed=none or _NAN)
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


def _of_categories(categories: Any, closed: bool) -> Hint:
    """Return the hint of an encoder's categories. Null among them means that the training data had nulls."""
    array = np.asarray(categories)
    # NumPy lists nanoseconds as integers.
    everything = (pd.Series(array) if array.dtype.kind in "mM" else array).tolist()
    known = [value for value in everything if value is not None and value == value]
    nullable = len(known) < len(everything)
    if not known:
        return Hint(nullable=nullable)
    if all(isinstance(value, str) for value in known):
        return Hint(Kind.STRING, nullable, tuple(known) if closed else None, tuple(known[:10]))
    if all(isinstance(value, bool) for value in known):
        return Hint(Kind.BOOLEAN, nullable, values=tuple(known))
    if all(isinstance(value, int | float) for value in known):
        whole = all(isinstance(value, int) for value in known)
        # The encoder refuses other numbers, so the column holds integers; and a float cannot tell large ones apart.
        exact = closed or any(abs(value) > _LARGEST_EXACT for value in known)
        kind = Kind.INTEGER if whole and exact else Kind.NUMBER
        values = tuple(known[:10] if whole else map(float, known[:10]))
        return Hint(kind, nullable, values=values, whole=whole, binary=set(known) <= {0, 1})
    if all(isinstance(value, datetime) for value in known):
        moments = pd.to_datetime(known[:10], utc=True)
        values = tuple(moment.isoformat() for moment in moments)
        return Hint(Kind.DATETIME, nullable, values=values, aware=known[0].tzinfo is not None)
    return Hint(nullable=nullable, unsendable=next((type(v).__name__ for v in known if not _is_sendable(v)), None))


def _is_sendable(value: Any) -> bool:
    """Return whether a value of a request can be equal to this one."""
    if isinstance(value, Decimal):
        return float(value) == value
    return isinstance(value, str | int | float | datetime | np.number | np.bool_ | np.datetime64)


def _nulls(categories: Any) -> tuple[frozenset[Null], frozenset[Null]]:
    """Return the nulls among an encoder's categories, and those that are not."""
    if np.asarray(categories).dtype.kind == "M":  # NumPy lists NaT as None
        return frozenset(), frozenset()
    values, is_object = np.asarray(categories).tolist(), np.asarray(categories).dtype.kind == "O"
    is_text = any(isinstance(value, str) for value in values)
    nan = Null.NAN_OBJECT if is_object and not is_text else Null.NAN
    held = frozenset(Null.NONE if value is None else nan for value in values if value is None or value != value)
    return held, frozenset({*_NAN, Null.NONE}) - held
