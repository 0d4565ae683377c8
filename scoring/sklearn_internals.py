"""The private names of scikit-learn that we use, each with a guard: the only module that knows them.

Each use has a slower way on scikit-learn's public interface with the same answers. A caller takes it when the guard
finds that a name is missing or has other parameters, as after an upgrade.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

# Nothing of scikit-learn is imported at the top: processes that never load a model import this module, too.

THREAD_COUNT = "_n_threads"
"""How many threads KMeans uses, from when it was fitted."""
CATEGORY_ENCODER = "_preprocessor"
"""The ColumnTransformer in a HistGradientBoosting, which encodes categories."""
FEATURE_COUNT = "_n_features"
"""The number of columns an estimator takes, before scikit-learn 0.24."""
FITTED_ON = ("_fit_X", "_fit_dtype")
"""The rows, or their dtype, that an estimator keeps from `fit`."""
# Attributes that any object may lack: these names need no guard.


@cache
def can_stack() -> bool:
    """Return whether `stack` works. Otherwise the ColumnTransformer has to transform a DataFrame itself."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import StandardScaler

    of_pandas = StandardScaler().set_output(transform="pandas")
    return _has_method(ColumnTransformer, "_hstack", "Xs", "n_samples") and _output_of(of_pandas) == "pandas"


def stack(transformer: Any, blocks: Sequence[Any], rows: int) -> Any:
    """Join the outputs of a ColumnTransformer's parts, each of `rows` rows, as the ColumnTransformer does: dense or
    sparse."""
    return transformer._hstack(blocks, n_samples=rows)


def returns_arrays(transformer: Any) -> bool:
    """Return whether `set_output` leaves the output of `transform` an array. Only right if `can_stack`."""
    return _output_of(transformer) == "default"


def _output_of(transformer: Any) -> str:
    return str(getattr(transformer, "_sklearn_output_config", {}).get("transform", "default"))


@cache
def can_check_forest_rows() -> bool:
    """Return whether `forest_rows` works. Otherwise the forest's own methods have to predict."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    return all(
        _has_method(kind, "_validate_X_predict", "X") for kind in (RandomForestClassifier, RandomForestRegressor)
    )


def forest_rows(forest: Any, matrix: Any) -> Any:
    """Return the matrix as the trees of a forest take it. Raises what the forest's `predict` raises."""
    return forest._validate_X_predict(matrix)


def _has_method(kind: type, name: str, *parameters: str) -> bool:
    method = getattr(kind, name, None)
    return callable(method) and [*inspect.signature(method).parameters] == ["self", *parameters]


def column_places(transformer: Any) -> Mapping[str, Sequence[int]] | None:
    """Return the places of the columns of each part of a fitted ColumnTransformer, by the part's name.

    None for other estimators, or if the places are unknown.
    """
    found = getattr(transformer, "_transformer_to_input_indices", None)
    if isinstance(found, dict):
        return found
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


def pls_coefficients(pls: Any) -> Any:
    """Return the coefficients of a fitted PLS as targets × columns, as `fit` makes them since scikit-learn 1.5."""
    if hasattr(pls, "_x_std") and hasattr(pls, "_y_std"):
        return (pls.x_rotations_ @ pls.y_loadings_.T * pls._y_std).T / pls._x_std
    return _measured_pls_coefficients(pls)


def _measured_pls_coefficients(pls: Any) -> Any:
    """How the components change with each column, times how each target changes with the components."""
    columns, components = pls.x_rotations_.shape
    with warnings.catch_warnings(action="ignore"):  # an array has no names of columns
        by_column = pls.transform(np.eye(columns)) - pls.transform(np.zeros((1, columns)))
    each, none = np.eye(components), np.zeros((1, components))
    by_component = pls.inverse_transform(each, each)[1] - pls.inverse_transform(none, none)[1]
    return (by_column @ by_component).T
