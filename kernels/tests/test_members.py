"""What the members of composites get that have no kernel: what scikit-learn would hand over."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelgate_kernels import find, own_answers
from modelgate_kernels.layout import Column, Kind, Layout, Row
from modelgate_kernels.same import same
from modelgate_kernels.table import find_kernel
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import StackingClassifier, VotingClassifier, VotingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from kernels.tests.composite_data import tree

draw = np.random.default_rng(0)
ROWS: list[Row] = [
    (float(a), float(b), int(c), "yes" if d > 0 else "no")
    for a, b, c, d in zip(*draw.normal(size=(2, 80)), draw.integers(5, size=80), draw.normal(size=80), strict=True)
]
NUMBERS = [(a, b) for a, b, *_ in ROWS]
MIXED = [(a, b, c) for a, b, c, _ in ROWS]
TARGET = np.where(np.array([a + b * c > 0 for a, b, c, _ in ROWS]), "high", "low")
COLUMNS = (
    Column("a", Kind.NUMBER),
    Column("b", Kind.NUMBER),
    Column("c", Kind.INTEGER),
    Column("d", Kind.STRING),
)


class Widened(TransformerMixin, BaseEstimator):
    """A transformer of somebody's own, which takes columns by name and keeps no names."""

    def fit(self, X: Any, y: Any = None) -> Any:
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        return np.column_stack([X["a"] * X["b"], X["b"].astype(str).str.len(), X["a"]])


def by_kind() -> Any:
    return make_column_transformer((StandardScaler(), ["b", "a"]), (OneHotEncoder(), ["d"]))


MEMBERS = [("svc", SVC()), ("tree", tree()), ("linear", LogisticRegression())]
CUSTOM = [("custom", make_pipeline(Widened(), LogisticRegression())), *MEMBERS[1:]]
PIPED = [(name, make_pipeline(by_kind(), member)) for name, member in MEMBERS]
FITTED: dict[str, tuple[Any, Sequence[Row]]] = {
    "numbers": (VotingClassifier(MEMBERS), NUMBERS),
    "columns of two dtypes": (VotingClassifier(MEMBERS), MIXED),
    "passthrough": (StackingClassifier([("near", KNeighborsClassifier()), *MEMBERS], cv=2, passthrough=True), MIXED),
    "somebody's own transformer first": (VotingClassifier(CUSTOM, voting="soft"), NUMBERS),
    "somebody's own transformer first, two dtypes": (StackingClassifier(CUSTOM, cv=2), MIXED),
    "composites in each other": (
        GridSearchCV(
            VotingClassifier([("stacking", StackingClassifier(MEMBERS, cv=2)), *MEMBERS]), {"weights": [None]}, cv=2
        ),
        NUMBERS,
    ),
    "a ColumnTransformer in each member": (VotingClassifier(PIPED), ROWS),
    "a ColumnTransformer before them": (make_pipeline(by_kind(), VotingClassifier(MEMBERS)), ROWS),
}


@pytest.mark.parametrize("name", FITTED)
def test_a_composite_fitted_on_a_dataframe_answers_the_same_without_warnings(name: str) -> None:
    estimator, rows = FITTED[name]
    estimator.fit(frame_of(rows), TARGET)
    assert_same_answers(estimator, rows)


def test_a_regressor_with_a_transformed_target_takes_words() -> None:
    inner = VotingRegressor([("piped", make_pipeline(by_kind(), LinearRegression()))])
    estimator = TransformedTargetRegressor(inner, func=np.log1p, inverse_func=np.expm1)
    assert_same_answers(estimator.fit(frame_of(ROWS), range(len(ROWS))), ROWS)


def test_a_pipeline_whose_transformer_returns_a_dataframe_has_no_kernel() -> None:
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), VotingClassifier(MEMBERS))
    pipeline.fit(frame_of(NUMBERS), TARGET)
    assert find_kernel(pipeline) is None
    assert find(pipeline, Layout(COLUMNS[:2])) is None


def frame_of(rows: Sequence[Row]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[field.name for field in COLUMNS[: len(rows[0])]])


def assert_same_answers(estimator: Any, rows: Sequence[Row]) -> None:
    layout = Layout(COLUMNS[: len(rows[0])])
    methods = [name for name in ("predict", "predict_proba") if hasattr(estimator, name)]
    kernel = find(estimator, layout)
    assert kernel
    for some in (rows, rows[:1], rows[3:5]):
        with warnings.catch_warnings(action="error"):
            answers = kernel.answers(some, methods)
        assert all(map(same, answers, own_answers(estimator, some, layout, methods)))
