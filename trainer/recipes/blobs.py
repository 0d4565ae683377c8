"""Logistic regression on two made-up clouds of points: the smallest model that gives probabilities."""

from __future__ import annotations

from typing import Any

from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from contract.model.signature import Field, Kind
from trainer.recipe import Table, recipe


def data() -> Table:
    """Return 100 rows, always the same."""
    X, y = make_classification(n_samples=100, n_features=2, n_classes=2, n_informative=2, n_redundant=0, random_state=0)
    rows = [[*row, label] for row, label in zip(X.tolist(), y.tolist(), strict=True)]
    return Table("scikit-learn: make_classification", ("feature_1", "feature_2", "class"), rows)


@recipe(
    inputs=(Field("feature_1", Kind.NUMBER), Field("feature_2", Kind.NUMBER)),
    target=Field("class", Kind.INTEGER),
    data=data,
)
def fit(X: Any, y: Any, *, C: float = 1.0) -> Any:
    return LogisticRegression(C=C).fit(X, y)
