"""The private names of scikit-learn that we use: the only module beside those of the kernels that knows them.

Each use has a slower way on scikit-learn's public interface with the same answers. Any object may lack an attribute.
"""

from __future__ import annotations

import warnings
from typing import Any

# Neither scikit-learn nor numpy is imported here: processes that never load a model import this module, too.

THREAD_COUNT = "_n_threads"
"""How many threads KMeans uses, from when it was fitted."""
CATEGORY_ENCODER = "_preprocessor"
"""The ColumnTransformer in a HistGradientBoosting, which encodes categories."""
FEATURE_COUNT = "_n_features"
"""The number of columns an estimator takes, before scikit-learn 0.24."""
FITTED_ON = ("_fit_X", "_fit_dtype")
"""The rows, or their dtype, that an estimator keeps from `fit`."""


def estimator_type(estimator: Any) -> str | None:
    """Return whether it is a `classifier`, a `regressor`, a `clusterer`, an `outlier_detector` or a
    `density_estimator`; None for others. Raises what its tags raise."""
    if get_tags := _get_tags():
        kind: str | None = get_tags(estimator).estimator_type
        return kind
    kind = getattr(estimator, "_estimator_type", None)
    return "density_estimator" if kind == "DensityEstimator" else kind


def allows_nan(estimator: Any) -> bool:
    """Return whether an estimator says that it takes NaN. Raises what its tags raise."""
    if get_tags := _get_tags():
        return bool(get_tags(estimator).input_tags.allow_nan)
    return bool(estimator._get_tags()["allow_nan"])


def needs_fit(estimator: Any) -> bool:
    """Return whether an estimator that `check_is_fitted` refuses has to be fitted: before scikit-learn 1.6 that
    does not look whether there is anything to learn."""
    tags = None if _get_tags() else getattr(estimator, "_get_tags", None)
    return tags is None or bool(tags()["requires_fit"])


def _get_tags() -> Any:
    """Return what reads the tags of an estimator; None before scikit-learn 1.6, where they are a dict."""
    import sklearn.utils

    return getattr(sklearn.utils, "get_tags", None)


def pls_coefficients(pls: Any) -> Any:
    """Return the coefficients of a fitted PLS as targets × columns, as `fit` makes them since scikit-learn 1.5."""
    if hasattr(pls, "_x_std") and hasattr(pls, "_y_std"):
        return (pls.x_rotations_ @ pls.y_loadings_.T * pls._y_std).T / pls._x_std
    return _measured_pls_coefficients(pls)


def _measured_pls_coefficients(pls: Any) -> Any:
    """How the components change with each column, times how each target changes with the components."""
    import numpy as np

    columns, components = pls.x_rotations_.shape
    with warnings.catch_warnings(action="ignore"):  # an array has no names of columns
        by_column = pls.transform(np.eye(columns)) - pls.transform(np.zeros((1, columns)))
    unit, none = np.eye(components), np.zeros((1, components))
    by_component = pls.inverse_transform(unit, unit)[1] - pls.inverse_transform(none, none)[1]
    return (by_column @ by_component).T
