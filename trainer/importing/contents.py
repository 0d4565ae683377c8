"""Finds the one model among the contents of a file, with its columns and their types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import LabelBinarizer, LabelEncoder

from contract.manifest import Kind
from contract.wording import listed
from trainer.importing import Refused
from trainer.importing.thresholds import thresholds, with_threshold


@dataclass(frozen=True)
class Contents:
    """`alone`: the file holds only the estimator. `kinds` are the known kinds of columns; `warnings` are about objects
    beside the model."""

    estimator: Any
    alone: bool = True
    columns: tuple[str, ...] | None = None
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def find_model(thing: Any) -> Contents:
    """Return the model in `thing`: `thing` itself, or the only one in a dict, list or tuple. Raises `Refused`."""
    if isinstance(thing, type):
        raise Refused(f"holds the class {thing.__name__} and no fitted model; save the object that fit() returned")
    if callable(getattr(thing, "predict", None)):
        return Contents(thing)
    if isinstance(thing, Mapping):
        return _from_container({str(key): value for key, value in thing.items()}, "dict")
    if isinstance(thing, list | tuple):
        return _from_container({str(key): value for key, value in enumerate(thing)}, type(thing).__name__)
    raise Refused(_no_model(thing))


def _no_model(thing: Any) -> str:
    save = "save the fitted model itself with joblib.dump"
    if isinstance(thing, np.ndarray):
        return (
            f"holds a bare array of the shape {thing.shape} and no model (so does a joblib file that went through"
            f" pickle.load and was saved again); {save}"
        )
    if isinstance(thing, pd.DataFrame | pd.Series):
        return f"holds a {type(thing).__name__} of {len(thing)} rows, and no model; {save}"
    if thing is None or isinstance(thing, str | bytes | int | float):
        return f"holds {'nothing (None)' if thing is None else f'a {type(thing).__name__}'} and no model; {save}"
    if hasattr(thing, "transform"):
        return (
            f"holds a {type(thing).__name__}, which transforms and has no predict; save the whole pipeline, with the"
            " model as its last step"
        )
    return f"holds a {type(thing).__name__}, which has no predict; {save}"


def _from_container(parts: Mapping[str, Any], what: str) -> Contents:
    models = {key: part for key, part in parts.items() if _is_model(part)}
    if not models:
        inside = listed([f"{key}: {type(part).__name__}" for key, part in parts.items()]) or "nothing"
        raise Refused(f"holds a {what} without a model ({inside}); save the fitted model itself with joblib.dump")
    if len(models) > 1:
        names = listed([f"{key}: {type(model).__name__}" for key, model in models.items()])
        raise Refused(f"holds a {what} with {len(models)} models ({names}); save each in its own file")
    rest = {key: part for key, part in parts.items() if key not in models}
    encoders = [key for key, part in rest.items() if isinstance(part, LabelEncoder | LabelBinarizer)]
    if encoders:
        raise Refused(
            f"holds a {what} with a model and a {type(rest[encoders[0]]).__name__} ({listed(encoders)}), which would"
            " not be used; fit the model on the labels themselves, which scikit-learn takes as they are, and save it"
            " alone; for columns, put an OrdinalEncoder and the model into one Pipeline"
        )
    steps = {key: part for key, part in rest.items() if _is_preprocessing(part)}
    if steps:
        names = listed([f"{key}: {type(step).__name__}" for key, step in steps.items()])
        raise Refused(
            f"holds a {what} with a model and what prepares its data ({names}), which would not be used;"
            " put both into one Pipeline, and save that"
        )
    functions = [key for key, part in rest.items() if _is_function(part)]
    if functions:
        raise Refused(
            f"holds a {what} with a model and a function ({listed(functions)}), which would not be used; put it into"
            " one Pipeline with the model, as a FunctionTransformer, and save that with cloudpickle.dump"
        )
    (model,) = models.values()
    kinds, columns = _kinds(parts.values()), _columns(parts)
    unused = [key for key, part in rest.items() if not _is_known(part, model, columns)]
    warnings = []
    found = thresholds(rest)
    if found:
        model, decides = with_threshold(model, found)
        warnings.append(decides)
        unused = [key for key in unused if key not in found]
    if unused:
        warnings.append(
            f"the file has {listed(unused)} beside the model, which Modelgate does not use: put every step that changes"
            " rows or answers into one Pipeline with the model"
        )
    return Contents(model, False, columns or tuple(kinds) or None, kinds, tuple(warnings))


def _is_function(part: Any) -> bool:
    """Return whether it may be a step before or after the model; a metric only measures answers."""
    measures = str(getattr(part, "__module__", "")).startswith("sklearn.metrics.")
    return callable(part) and not isinstance(part, type) and not measures


def _is_known(part: Any, model: Any, columns: Sequence[str]) -> bool:
    """Return whether `part` is used, repeats what `model` has, or cannot change an answer."""
    if part is None or isinstance(part, str | bytes | bool | date | type) or _kinds([part]):
        return True
    labels = np.asarray(getattr(model, "classes_", ())).tolist()
    return bool(labels and np.ndim(part) == 1 and np.asarray(part).tolist() == labels) or (
        bool(columns) and _words(part) == tuple(columns)
    )


def _is_model(part: Any) -> bool:
    return not isinstance(part, type) and callable(getattr(part, "predict", None))


def _is_preprocessing(part: Any) -> bool:
    """Return whether it transforms data, or holds objects that do, such as encoders by column."""
    inside = part.values() if isinstance(part, Mapping) else part if isinstance(part, list | tuple) else ()
    return any(map(_transforms, (part, *inside)))


def _transforms(part: Any) -> bool:
    # Objects of pandas have a `transform` too, but are not steps of a model.
    return hasattr(part, "transform") and not isinstance(part, pd.DataFrame | pd.Series | type)


def _columns(parts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the list of words that is named like columns or features; else the only list, unless it names classes."""
    words = {key.lower(): found for key, part in parts.items() if (found := _words(part))}
    for hint in ("feature", "column", "input"):
        for key, found in words.items():
            if hint in key and "target" not in key:
                return found
    others = [found for key, found in words.items() if not any(hint in key for hint in ("class", "label", "target"))]
    return others[0] if len(others) == 1 else ()


def _words(part: Any) -> tuple[str, ...]:
    if not isinstance(part, list | tuple | np.ndarray | pd.Index | pd.Series) or not np.ndim(np.asarray(part, object)):
        return ()
    found = tuple(part)
    return tuple(map(str, found)) if found and all(isinstance(word, str) for word in found) else ()


def _kinds(parts: Iterable[Any]) -> dict[str, Kind]:
    """Return the kinds from the first mapping of column to dtype, such as `df.dtypes`."""
    for part in parts:
        if not isinstance(part, Mapping | pd.Series) or not len(part):
            continue
        pairs = dict(part.items())
        if any(isinstance(dtype, np.ndarray | np.generic) for dtype in pairs.values()):
            continue  # arrays have a dtype, but are not dtypes
        try:
            kinds = {str(name): _kind(pd.api.types.pandas_dtype(dtype)) for name, dtype in pairs.items()}
        except (TypeError, ValueError):
            continue
        if all(isinstance(name, str) for name in pairs):
            return kinds
    return {}


def _kind(dtype: Any) -> Kind:
    if pd.api.types.is_bool_dtype(dtype):
        return Kind.BOOLEAN
    if pd.api.types.is_integer_dtype(dtype):
        return Kind.INTEGER
    if pd.api.types.is_numeric_dtype(dtype):
        return Kind.NUMBER
    return Kind.DATETIME if pd.api.types.is_datetime64_any_dtype(dtype) else Kind.STRING
