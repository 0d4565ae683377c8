"""The encoders of category_encoders, the encoders and imputers of feature_engine, the results of statsmodels, and the
ensembles of mlxtend."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from contract.model.manifest import InputFormat
from contract.model.signature import Kind
from trainer.importing.other_libraries.described import SOME, Described, Hint, finite_ends, kind_of

# category_encoders and feature_engine


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


# statsmodels


def statsmodels(results: Any) -> Described | None:
    model = getattr(results, "model", None)
    if model is None or not hasattr(results, "params"):
        return None
    if getattr(model, "formula", None) is not None:
        return _of_formula(model.data)
    names = list(model.exog_names or ())
    if not names:  # remove_data() leaves only the position of a constant
        constant = model.data.const_idx
        inputs: list[str] = []
        width = len(results.params) - (constant is not None)
    else:
        constant = names.index("const") if "const" in names else None
        inputs = [name for name in names if name != "const"]
        width = len(inputs)
    by_name = bool(inputs) and not all(re.fullmatch(r"x\d+", name) for name in inputs)
    takes = InputFormat.DATAFRAME if by_name else InputFormat.ARRAY
    hints = [Hint(Kind.NUMBER)] * width
    if model.exog is not None:
        columns = model.exog if constant is None else np.delete(model.exog, constant, axis=1)
        hints = [Hint(Kind.NUMBER, values=finite_ends(column)) for column in columns.T]
    warning = "it was fitted on a constant beside its inputs (add_constant); Modelgate adds it, and rows have none"
    warnings = () if constant is None else (warning,)
    return Described(tuple(hints), tuple(inputs) if by_name else None, takes, constant=constant, warnings=warnings)


def _of_formula(data: Any) -> Described:
    """Return the columns of the training data that the right side of the formula uses."""
    frame = data.frame
    spec = getattr(data, "model_spec", None) or getattr(data, "design_info", None)
    used = _variables(spec)
    names = [name for name in map(str, frame.columns) if name in used]
    return Described(tuple(_of_series(frame[name]) for name in names), tuple(names), InputFormat.DATAFRAME)


def _variables(spec: Any) -> set[str]:
    if hasattr(spec, "required_variables"):  # formulaic
        return set(map(str, spec.required_variables))
    nodes = [node for factor in spec.factor_infos for node in ast.walk(ast.parse(factor.name()))]
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _of_series(column: pd.Series[Any]) -> Hint:
    """Return the hint of a column of training data. A formula refuses words that it has not seen."""
    seen = column.dropna()
    kind = kind_of(column.dtype)
    if kind is Kind.STRING:
        words = tuple(map(str, seen.cat.categories if hasattr(seen, "cat") else seen.unique()))
        return Hint(kind, categories=words, values=words[:SOME])
    if kind is Kind.NUMBER and len(seen):
        return Hint(kind, values=(float(seen.min()), float(seen.max())))
    return Hint(kind)


# mlxtend


def mlxtend(ensemble: Any) -> Described | None:
    """Return what the members of an ensemble know of their columns."""
    members = getattr(ensemble, "clfs_", None) or getattr(ensemble, "regr_", None)
    if not members:
        return None
    names = getattr(members[0], "feature_names_in_", None)
    takes = InputFormat.ARRAY if names is None else InputFormat.DATAFRAME
    hints = (Hint(),) * members[0].n_features_in_
    return Described(hints, None if names is None else tuple(map(str, names)), takes)
