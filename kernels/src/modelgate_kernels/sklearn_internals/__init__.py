"""The private names of scikit-learn that kernels use, each with a guard: the only package here that knows them.

Each use has a slower way on scikit-learn's public interface with the same answers. A caller takes it when the guard
finds that a name is missing or has other parameters, as after an upgrade.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

IMPUTED_DTYPE = "_fill_dtype"
"""The dtype of the matrix that a SimpleImputer was fitted on."""
TFIDF = "_tfidf"
"""The fitted TfidfTransformer of a TfidfVectorizer."""
# Attributes that any object may lack: these names need no guard.


@cache
def can_see_outputs() -> bool:
    """Return whether `returns_arrays` works. Otherwise no transformer has a kernel."""
    from sklearn.preprocessing import StandardScaler

    return _output_of(StandardScaler().set_output(transform="pandas")) == "pandas"


def returns_arrays(transformer: Any) -> bool:
    """Return whether `set_output` leaves the output of `transform` an array."""
    return can_see_outputs() and _output_of(transformer) == "default"


def _output_of(transformer: Any) -> str:
    return str(getattr(transformer, "_sklearn_output_config", {}).get("transform", "default"))


def has_one_label(classifier: Any) -> bool:
    """Return whether a RidgeClassifier or a neural network was fitted on one label a row. False if it does not tell."""
    binarizer = getattr(classifier, "_label_binarizer", None)
    return getattr(binarizer, "y_type_", None) in ("binary", "multiclass")


def has_method(kind: type, name: str, *parameters: str) -> bool:
    """Return whether the methods of a class include this one, with these parameters."""
    method = getattr(kind, name, None)
    return callable(method) and [*inspect.signature(method).parameters] == ["self", *parameters]


def frozen_estimators() -> Sequence[type]:
    """Return the class of frozen estimators; none before scikit-learn 1.6."""
    if find_spec("sklearn.frozen") is None:
        return ()
    from sklearn.frozen import FrozenEstimator

    return (FrozenEstimator,)


def tuned_positive_class(classifier: Any) -> Any:
    """Return the positive class of a fitted TunedThresholdClassifierCV, or None for the second of its classes. Raises
    AttributeError if it is unknown: then the classifier's own methods have to predict."""
    return classifier._curve_scorer._get_pos_label()


def column_places(transformer: Any) -> Mapping[str, Sequence[int]] | None:
    """Return the places of the columns of each part of a fitted ColumnTransformer, by the part's name.

    None for other estimators, or if the places are unknown.
    """
    places = getattr(transformer, "_transformer_to_input_indices", None)
    if isinstance(places, dict):
        return places
    parts = getattr(transformer, "transformers_", None)
    if not isinstance(parts, list) or not hasattr(transformer, "n_features_in_"):
        return None
    names = list(getattr(transformer, "feature_names_in_", range(transformer.n_features_in_)))
    try:
        return {name: list(_places(columns, names)) for name, _, columns in parts}
    except (ValueError, IndexError, TypeError):
        return None


def _places(columns: Any, names: list[Any]) -> Iterator[int]:
    """Yield the places that a fitted part's `columns` stand for: names, places, a slice of either, or a mask."""
    if isinstance(columns, slice):
        start, stop = columns.start, columns.stop
        start = names.index(start) if isinstance(start, str) else start
        stop = names.index(stop) + 1 if isinstance(stop, str) else stop  # the last name is among them
        yield from range(len(names))[start : stop : columns.step]
        return
    columns = [columns] if np.isscalar(columns) else list(columns)
    if columns and all(isinstance(column, bool | np.bool_) for column in columns):
        columns = np.flatnonzero(columns)
    for column in columns:
        yield names.index(column) if isinstance(column, str) else range(len(names))[column]
