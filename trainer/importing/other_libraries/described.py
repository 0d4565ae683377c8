"""What a fitted estimator shows about one of its columns, and what an object of another library says of all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from contract.model.manifest import InputFormat
from contract.model.signature import Kind, Null
from contract.row import Value
from contract.wording import listed
from trainer.importing import Refused


@dataclass(frozen=True)
class Hint:
    """What a step shows about one column.

    `values` are some that it has seen, or similar ones; `whole`: whether its numbers were integers when it was fitted,
    None if that is unknown; `aliases` are other spellings of its name; `binary`: its numbers may have been booleans.
    `nulls` are those that it was fitted on, `not_nulls` those that it would know and does not; it replaces `imputed`
    ones. `fill` is the kind of what it replaces them by. `aware`: its dates had a time zone. `unsendable`: the type of
    values that it has seen and no request holds.
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
