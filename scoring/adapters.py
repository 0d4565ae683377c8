"""Gives models of other libraries what scikit-learn's have: a `predict` that takes the inputs as they are.

Artifacts name these classes, so their names, attributes and answers must never change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from contract.signature import OTHER_METHODS

# No other library is imported at the top: most workers never need it.


class XGBoostModel:
    """A `Booster` of XGBoost, which itself predicts only from a `DMatrix`."""

    def __init__(self, booster: Any) -> None:
        self.booster = booster

    def predict(self, X: Any) -> Any:
        """Return what `booster.predict` returns for an array or a DataFrame of rows × features."""
        from xgboost import DMatrix

        known = {} if isinstance(X, pd.DataFrame) else {"feature_types": self.booster.feature_types}
        matrix = DMatrix(X, feature_names=self.booster.feature_names, **known, enable_categorical=True, nthread=1)
        return self.booster.predict(matrix)


class WithConstant:
    """Results of statsmodels, fitted on a column of ones among the inputs; `place` is its position."""

    def __init__(self, results: Any, index: int) -> None:
        self.results = results
        self.place = index

    def predict(self, X: Any) -> Any:
        if isinstance(X, pd.DataFrame):
            X = X.copy(deep=False)
            X.insert(self.place, "const", 1.0)
            return self.results.predict(X)
        return self.results.predict(np.insert(np.asarray(X, dtype=float), self.place, 1.0, axis=1))


class WithCategories:
    """An estimator, fitted on a DataFrame with columns of the dtype `category`; its methods take their plain values.

    `categories` has those of each such column, by its position, in their order. Any other value is missing, as when
    pandas converts the column.
    """

    def __init__(self, estimator: Any, categories: Mapping[int, Sequence[Any]]) -> None:
        self.estimator = estimator
        self.categories = categories

    def __getattr__(self, name: str) -> Any:
        if name in OTHER_METHODS:
            return partial(self._called, getattr(self.estimator, name))
        if name.endswith("_") and not name.startswith("_"):  # learnt by fit
            return getattr(self.estimator, name)
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def predict(self, X: pd.DataFrame) -> Any:
        return self._called(self.estimator.predict, X)

    def _called(self, method: Any, X: pd.DataFrame) -> Any:
        columns: dict[Any, Any] = dict(X.items())
        for position, categories in self.categories.items():
            known = pd.Index(categories)
            codes = known.get_indexer(X.iloc[:, position])
            columns[X.columns[position]] = pd.Categorical.from_codes(codes, known)
        return method(pd.DataFrame(columns))
