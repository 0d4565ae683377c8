"""Classes of a user: `fit.py` saves models of them by value, and by name with this file beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.ensemble import RandomForestClassifier


class Ratios(BaseEstimator, TransformerMixin):  # type: ignore[misc]
    """Puts the ratio of the first two columns beside the others."""

    def fit(self, X: Any, y: Any = None) -> Ratios:
        self.n_features_in_ = np.shape(X)[1]
        return self

    def transform(self, X: Any) -> Any:
        X = np.asarray(X, dtype=float)
        return np.column_stack([X, X[:, 0] / (1 + np.abs(X[:, 1]))])


class Wrapped(BaseEstimator, ClassifierMixin):  # type: ignore[misc]
    """Holds a forest."""

    def fit(self, X: Any, y: Any) -> Wrapped:
        self.forest_ = RandomForestClassifier(5, max_depth=4, random_state=0).fit(X, y)
        self.classes_ = self.forest_.classes_
        self.n_features_in_ = np.shape(X)[1]
        return self

    def predict(self, X: Any) -> Any:
        return self.forest_.predict(X)

    def predict_proba(self, X: Any) -> Any:
        return self.forest_.predict_proba(X)
