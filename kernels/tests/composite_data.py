"""What the tests of composites fit their members on."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

X, y = make_classification(200, 5, n_informative=4, n_redundant=1, n_classes=3, random_state=1)
X[:, 3] = X[:, 3].round(1)
WORDS = np.array(["no", "perhaps", "yes"])[y]
BINARY_WORDS = np.where(y > 0, "yes", "no")
NUMBERS = np.abs(X[:, 0] * 3 + y) + 1


def fitted(estimator: Any, target: Any) -> tuple[Any, Any]:
    return estimator.fit(X, target), X


def linear() -> LogisticRegression:
    return LogisticRegression()


def scaled() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression())


def tree() -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=4, random_state=0)


def tree_of_numbers(depth: int = 4) -> DecisionTreeRegressor:
    return DecisionTreeRegressor(max_depth=depth, random_state=0)
