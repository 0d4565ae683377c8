"""The encoders of category_encoders, and the encoders and imputers of feature_engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from contract.model.manifest import InputFormat
from contract.model.signature import Kind
from trainer.importing.hints import Hint
from trainer.importing.other_libraries.described import SOME, Described, finite_ends, kind_of


def category_encoders(encoder: Any) -> Described | None:
    names = getattr(encoder, "feature_names_in_", None)
    if names is None:
        return None
    encoded, closed = set(encoder.cols or ()), getattr(encoder, "handle_unknown", None) == "error"
    nullable = getattr(encoder, "handle_missing", None) != "error"
    dtypes = getattr(encoder, "feature_dtypes_in_", [None] * len(names))
    words = _known_words(encoder)
    hints = tuple(
        _of_encoded(dtype, nullable, closed, words.get(name, ())) if name in encoded else Hint()
        for name, dtype in zip(names, dtypes, strict=True)
    )
    by_name = all(isinstance(name, str) for name in names)
    takes = InputFormat.DATAFRAME if by_name else InputFormat.ARRAY
    return Described(hints, tuple(names) if by_name else None, takes)


def _of_encoded(dtype: Any, nullable: bool, closed: bool, words: tuple[str, ...]) -> Hint:
    # Some encoders tell 7 from 7.0, and a column of integers had no nulls.
    if dtype is not None and pd.api.types.is_integer_dtype(dtype):
        return Hint(Kind.INTEGER)
    return Hint(kind_of(dtype), nullable, words if closed and words else None, words[:SOME])


def _known_words(encoder: Any) -> dict[str, tuple[str, ...]]:
    mappings = getattr(getattr(encoder, "ordinal_encoder", encoder), "category_mapping", ())
    words_by_name = {entry["col"]: [word for word, _ in entry["mapping"].items() if word == word] for entry in mappings}
    return {name: tuple(words) for name, words in words_by_name.items() if all(isinstance(word, str) for word in words)}


def feature_engine(step: Any) -> Described | None:
    names = getattr(step, "feature_names_in_", None)
    if names is None:
        return None
    encoded, imputed = (dict(getattr(step, name, None) or {}) for name in ("encoder_dict_", "imputer_dict_"))
    unaware = getattr(step, "missing_values", None) == "raise"
    hints_by_name = {name: _of_values([*words], nullable=not unaware) for name, words in encoded.items()}
    hints_by_name |= {name: _of_values([value], nullable=True) for name, value in imputed.items()}
    hints = tuple(hints_by_name.get(name, Hint()) for name in names)
    return Described(hints, tuple(map(str, names)), InputFormat.DATAFRAME, keeps_columns=bool(imputed))


def _of_values(values: Sequence[Any], nullable: bool) -> Hint:
    if values and all(isinstance(value, str) for value in values):
        return Hint(Kind.STRING, nullable, values=tuple(values[:SOME]))
    numbers = all(isinstance(value, int | float) for value in values)
    return Hint(nullable=nullable, values=finite_ends(values) if numbers else ())
