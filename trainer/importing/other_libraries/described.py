"""What a fitted estimator shows about one of its columns, and what an object of another library says of all of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from contract.model.manifest import InputFormat
from contract.model.signature import Kind, Null
from contract.row import Value
from contract.rows.csv_cells import NULLS
from contract.wording import listed
from trainer.importing import Refused

_WHOLE, _FRACTION = re.compile(r"-?(0|[1-9]\d*)"), re.compile(r"-?\d+\.\d+")
"""How Python writes integers and floats."""
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d(?:\.\d+)?)([-+]\d\d:\d\d)?")
_NULL_WORDS = {"nan": Null.NAN_OBJECT, "None": Null.NONE, "<NA>": Null.NA_OBJECT, "NaT": Null.NAN}
"""How it writes nulls."""

_LARGEST_EXACT = 2**53
"""From here on a float stands for several integers."""

NAN = frozenset({Null.NAN, Null.NAN_OBJECT})


@dataclass(frozen=True)
class Hint:
    """What a step shows about one column.

    `values` are some that it has seen, or similar ones; `whole`: whether its numbers were integers when it was fitted,
    None if that is unknown; `aliases` are other spellings of its name; `binary`: its numbers may have been booleans.
    `nulls` are those that it was fitted on, `not_nulls` those that it would know and does not; it replaces `imputed`
    ones. `fill` is the kind of what it replaces them by. `aware`: its dates had a time zone. `unsendable`: the type of
    values that it has seen and no request holds. `words`: those that it knows, of those that mean null in CSV files.
    """

    kind: Kind | None = None
    nullable: bool = False
    categories: tuple[str, ...] | None = None
    values: tuple[Value, ...] = ()
    whole: bool | None = None
    aliases: tuple[str, ...] = ()
    binary: bool = False
    nulls: frozenset[Null] = frozenset()
    not_nulls: frozenset[Null] = frozenset()
    imputed: frozenset[Null] = frozenset()
    fill: Kind | None = None
    aware: bool = False
    unsendable: str | None = None
    words: tuple[str, ...] = ()

    def completed_by(self, other: Hint) -> Hint:
        """Return `self` with unknown parts from `other`, the hint of a later step of the pipeline."""
        known = {field.name: getattr(self, field.name) or getattr(other, field.name) for field in fields(self)}
        return replace(
            Hint(**known),
            categories=other.categories if self.categories is None else self.categories,
            # Prefer categories, which are many values, to a statistic, which is one.
            values=max(self.values, other.values, key=len),
            whole=other.whole if self.whole is None else self.whole,
            nulls=self.nulls | other.nulls,
            not_nulls=self.not_nulls | (other.not_nulls - self.imputed),
            imputed=self.imputed | other.imputed,
        )


SOME = 10
"""Values of a column that are enough to try a model."""


@dataclass(frozen=True)
class Described:
    """What an object says of its columns: a hint for each.

    `names` is None if it was fitted on an array. `categories` are those of pandas' dtype `category`, by the column's
    position. `constant` is the position of a column of ones, which has no hint. `renames`: blanks in names are
    underscores now. `keeps_columns`: the next step of a pipeline gets the same columns.
    """

    hints: tuple[Hint, ...]
    names: tuple[str, ...] | None
    takes: InputFormat
    categories: Mapping[int, Sequence[Any]] = field(default_factory=dict)
    constant: int | None = None
    renames: bool = False
    keeps_columns: bool = False
    warnings: tuple[str, ...] = ()

    def original(self, name: str, written: Collection[str]) -> str:
        """Return the spelling of a name in `written`, if LightGBM has put underscores for its blanks."""
        if not self.renames or name in written:
            return name
        return next((other for other in written if other.replace(" ", "_") == name), name)


def of_pandas_categories(words: Sequence[Any]) -> Hint:
    """Return the hint of a column of the dtype `category`. It takes any other value as missing."""
    kinds = {bool: Kind.BOOLEAN, int: Kind.INTEGER, float: Kind.NUMBER, str: Kind.STRING}
    types = {type(word) for word in words}
    if len(types) != 1 or (kind := kinds.get(types.pop())) is None:
        raise Refused(f"has categories that are not all texts, or all numbers ({listed(list(words))}); convert them")
    return Hint(kind, nullable=True, values=tuple(words[:SOME]))


def finite_ends(numbers: Sequence[float]) -> tuple[float, ...]:
    """Return the least and the greatest of the finite numbers, if there are any."""
    finite = [float(number) for number in numbers if np.isfinite(number)]
    return (min(finite), max(finite)) if finite else ()


def exact_kind(dtype: Any) -> Kind:
    """Return the kind of a column with this dtype of pandas, which tells integers from other numbers."""
    return Kind.INTEGER if pd.api.types.is_integer_dtype(dtype) else kind_of(dtype)


def kind_of(dtype: Any) -> Kind:
    """Return the kind of a column with this dtype of pandas; None: it held words."""
    if dtype is not None:
        with suppress(TypeError):
            if pd.api.types.is_bool_dtype(dtype):
                return Kind.BOOLEAN
            if pd.api.types.is_numeric_dtype(dtype):
                return Kind.NUMBER
            if pd.api.types.is_datetime64_any_dtype(dtype):
                return Kind.DATETIME
    return Kind.STRING


def of_categories(categories: Any, closed: bool) -> Hint:
    """Return the hint of an encoder's categories. Null among them means that the training data had nulls."""
    array = np.asarray(categories)
    # NumPy lists nanoseconds as integers.
    everything = (pd.Series(array) if array.dtype.kind in "mM" else array).tolist()
    known = [value for value in everything if value is not None and value == value]
    nullable = len(known) < len(everything)
    if not known:
        return Hint(nullable=nullable)
    if all(isinstance(value, str) for value in known):
        words = tuple(sorted(NULLS.intersection(known)))
        return Hint(Kind.STRING, nullable, tuple(known) if closed else None, tuple(known[:10]), words=words)
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
        values = tuple(moment.isoformat() for moment in pd.to_datetime(known[:10], utc=True))
        return Hint(Kind.DATETIME, nullable, values=values, aware=known[0].tzinfo is not None)
    return Hint(nullable=nullable, unsendable=next((type(v).__name__ for v in known if not _is_sendable(v)), None))


def _is_sendable(value: Any) -> bool:
    """Return whether a value of a request can be equal to this one."""
    if isinstance(value, Decimal):
        return float(value) == value
    return isinstance(value, str | int | float | datetime | np.number | np.bool_ | np.datetime64)


def nulls_of_categories(categories: Any) -> tuple[frozenset[Null], frozenset[Null]]:
    """Return the nulls among an encoder's categories, and those that are not."""
    if np.asarray(categories).dtype.kind == "M":  # NumPy lists NaT as None
        return frozenset(), frozenset()
    values, is_object = np.asarray(categories).tolist(), np.asarray(categories).dtype.kind == "O"
    is_text = any(isinstance(value, str) for value in values)
    nan = Null.NAN_OBJECT if is_object and not is_text else Null.NAN
    held = frozenset(Null.NONE if value is None else nan for value in values if value is None or value != value)
    return held, frozenset({*NAN, Null.NONE}) - held


def of_spelling(words: Sequence[Any]) -> Hint:
    """Return the hint of categories in which an earlier step has written values as texts."""
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
