"""Results of statsmodels."""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np
import pandas as pd

from contract.model.manifest import InputFormat
from contract.model.signature import Kind
from trainer.importing.hints import Hint
from trainer.importing.other_libraries.described import SOME, Described, finite_ends, kind_of


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
