"""Models of twelve inputs, and rows for them. `.venv-shap` imports this, too, so it needs scikit-learn alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelgate_artifacts import days, floats, remainder

NUMBERS, WORDS, DATES = [f"n{number}" for number in range(8)], ["town", "kind"], ["since", "until"]
NAMES = [*NUMBERS, *WORDS, *DATES]
_EPOCH = pd.Timestamp("2020-01-01", tz="UTC")


def rows(count: int, seed: int = 0) -> list[list[Any]]:
    """Return rows as JSON has them: eight numbers, two words and two dates; some are null."""
    random = np.random.default_rng(seed)
    numbers: list[list[Any]] = np.round(random.normal(size=(count, 8)), 2).tolist()
    towns, kinds = random.choice(["Ulm", "Rom", "Wien", None], count), random.choice(["a", "b"], count)
    dates = [
        [(_EPOCH + pd.Timedelta(days=int(day))).isoformat() for day in random.integers(0, 900, 2)] for _ in numbers
    ]
    for row in numbers[::7]:
        row[2] = None
    return [[*row, town, kind, *when] for row, town, kind, when in zip(numbers, towns, kinds, dates, strict=True)]


def frame(table: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Return rows as the models of a DataFrame were fitted on them."""
    columns = dict(zip(NAMES, zip(*table, strict=True), strict=True))
    words = {
        name: pd.Series([np.nan if word is None else word for word in columns[name]], dtype=object) for name in WORDS
    }
    dates = {name: pd.to_datetime(pd.Series(columns[name], dtype=object), utc=True, format="ISO8601") for name in DATES}
    return pd.DataFrame({name: np.array(columns[name], float) for name in NUMBERS} | words | dates)


def array(table: Sequence[Sequence[Any]]) -> Any:
    """Return rows of numbers as an array."""
    return np.array(table, dtype=float)


def numbers(count: int, width: int = 12, seed: int = 0) -> list[list[Any]]:
    """Return rows of numbers, of which some are whole and often the same."""
    values = np.round(np.random.default_rng(seed).normal(size=(count, width)), 2)
    values[:, ::3] = np.round(values[:, ::3])
    found: list[list[Any]] = values.tolist()
    return found


def with_nulls(table: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [
        [None if (row + column) % 11 == 0 else value for column, value in enumerate(values)]
        for row, values in enumerate(table)
    ]


def _prepared() -> ColumnTransformer:
    scaled = (SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    cycles = FeatureUnion([("days", "passthrough"), ("year", FunctionTransformer(remainder, kw_args={"of": 365.2425}))])
    dates = make_pipeline(FunctionTransformer(days), cycles, *scaled)
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    numeric = make_pipeline(FunctionTransformer(floats), *scaled)
    return ColumnTransformer([("n", numeric, NUMBERS), ("w", words, WORDS), ("d", dates, DATES)], sparse_threshold=0)


def _target(X: Any) -> Any:
    return X[:, 0] * X[:, 1] + np.abs(X[:, 2]) + 2 * (X[:, 3] > 0.5) - X[:, 4]


def models() -> Mapping[str, Any]:
    """Return fitted models by name; what begins with `table` takes a DataFrame, others an array of numbers."""
    plain, mixed = array(numbers(400)), rows(400)
    y, z = _target(plain), _target(np.nan_to_num(array([row[:8] for row in mixed])))
    c, d, three = (y > y.mean()).astype(int), np.where(z > 1, "yes", "no"), np.digitize(y, [0.0, 1.5])
    small = {"n_estimators": 12, "random_state": 0}
    fitted: dict[str, Any] = {
        "linear regression": LinearRegression().fit(plain, y),
        "linear regression of a column": LinearRegression().fit(plain, y[:, None]),
        "linear decision": make_pipeline(StandardScaler(), LinearSVC()).fit(plain, c),
        "linear decisions": RidgeClassifier().fit(plain, three),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()).fit(plain, c),
        "tree of numbers": DecisionTreeRegressor(max_depth=7, random_state=0).fit(plain, y),
        "tree of classes": DecisionTreeClassifier(random_state=0).fit(plain, three),
        "forest of classes": RandomForestClassifier(max_depth=8, **small).fit(plain, three),
        "forest of numbers": make_pipeline(StandardScaler(), RandomForestRegressor(**small)).fit(plain, y),
        "extra trees": ExtraTreesRegressor(**small).fit(plain, y),
        "boosting of numbers": GradientBoostingRegressor(**small).fit(plain, y),
        "boosting of classes": GradientBoostingClassifier(**small).fit(plain, c),
        "histograms of numbers": HistGradientBoostingRegressor(max_iter=12).fit(array(with_nulls(plain.tolist())), y),
        "histograms of classes": HistGradientBoostingClassifier(max_iter=12).fit(plain, c),
        "table: ridge": make_pipeline(_prepared(), Ridge()).fit(frame(mixed), z),
        "table: logistic regression": make_pipeline(_prepared(), LogisticRegression(max_iter=300)).fit(frame(mixed), d),
        "table: forest": make_pipeline(_prepared(), RandomForestClassifier(**small)).fit(frame(mixed), d),
        "table: boosting": make_pipeline(_prepared(), GradientBoostingRegressor(**small)).fit(frame(mixed), z),
        "support vectors": SVC().fit(plain, c),
    }
    return fitted


BY_STRUCTURE = (
    *("linear regression", "linear regression of a column", "linear decision", "linear decisions"),
    *("tree of numbers", "tree of classes", "forest of classes", "forest of numbers"),
    *(
        "extra trees",
        "boosting of numbers",
        "histograms of numbers",
        "table: ridge",
        "table: forest",
        "table: boosting",
    ),
)
"""Those that need no row of the model for each coalition."""


def cases(name: str) -> tuple[list[list[Any]], list[list[Any]]]:
    """Return a background of 20 rows for a model, and rows to explain."""
    table = rows(23, seed=5) if name.startswith("table") else numbers(23, seed=5)
    table = with_nulls(table) if name == "histograms of numbers" else table
    return table[:20], table[20:]


def answers(name: str, model: Any, table: Sequence[Sequence[Any]]) -> Any:
    """Return what is explained: numbers, the probability of the last class, or the decision about it."""
    X = frame(table) if name.startswith("table") else array(table)
    if hasattr(model, "predict_proba"):
        return model.predict_proba(X)[:, -1]
    found = model.decision_function(X) if hasattr(model, "decision_function") else model.predict(X)
    return found if np.ndim(found) == 1 else found[:, -1]
