"""Models of one column of each kind with each null: None, NaN, pandas' NA, and None beside NaN."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, TargetEncoder

from tests.qa.zoo.specimens import Saved, Specimen

_ROWS, _SAMPLED = 120, 20
_NAN, _DAY = float("nan"), pd.Timestamp("2024-02-03")


@dataclass(frozen=True)
class Column:
    """A column of two values, which holds both of the nulls or has a dtype of its own."""

    values: tuple[Any, Any]
    nulls: tuple[Any, Any] = (None, None)
    dtype: Any = "object"

    def filled(self, rows: int, period: int, offset: int) -> pd.Series:
        """Return the column: null in one row of each `period`, `offset` rows after its start."""
        cells = [
            self.nulls[row // period % 2] if row % period == offset else self.values[row // (offset % 5 + 1) % 2]
            for row in range(rows)
        ]
        return pd.Series(cells, dtype=object).astype(self.dtype)


_VALUES: Mapping[str, tuple[Any, Any]] = {
    "texts": ("a", "b"),
    "floats": (1.5, 2.5),
    "whole numbers": (3, 2),
    "booleans": (True, False),
    "dates": (_DAY, _DAY + pd.Timedelta("9D")),
}
_DTYPES: Mapping[str, Mapping[str, str]] = {
    "texts": {"NaN in str": "str", "NaN in a category": "category", "NA in string": "string"},
    "floats": {"NaN in float64": "float64", "NA in Float64": "Float64"},
    "whole numbers": {"NA in Int64": "Int64"},
    "booleans": {"NA in boolean": "boolean"},
    "dates": {"NaT": "M8[us]"},
}
_NULLS: Mapping[str, tuple[Any, Any]] = {
    "None": (None, None),
    "NaN": (_NAN, _NAN),
    "NA": (pd.NA, pd.NA),
    "None and NaN": (None, _NAN),
}
COLUMNS: Mapping[tuple[str, str], Column] = {
    **{(kind, held): Column(values, nulls) for kind, values in _VALUES.items() for held, nulls in _NULLS.items()},
    **{(kind, held): Column(_VALUES[kind], dtype=d) for kind, dtypes in _DTYPES.items() for held, d in dtypes.items()},
}
"""By what they hold and what their nulls are."""


class Nulls(TransformerMixin, BaseEstimator):
    """Tells the nulls apart, as code of one's own with `is None` does."""

    def fit(self, X: Any, y: Any = None) -> Nulls:
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        told = {type(None): 1.0, type(pd.NA): 2.0, type(pd.NaT): 3.0, float: 4.0}
        return np.array([[told[type(v)] if v is None or pd.isna(v) else 0.0] for v in X.iloc[:, 0].tolist()])


def _without_none(X: Any) -> Any:
    return X.astype(object).map(lambda value: "?" if value is None else str(value))


def _hot() -> Any:
    return OneHotEncoder(handle_unknown="ignore")


_STEPS: Mapping[str, Callable[[], Any]] = {
    "OneHotEncoder": OneHotEncoder,
    "OrdinalEncoder": lambda: make_pipeline(OrdinalEncoder(encoded_missing_value=-1), _hot()),
    "SimpleImputer constant": lambda: make_pipeline(SimpleImputer(strategy="constant"), _hot()),
    "SimpleImputer most_frequent": lambda: make_pipeline(SimpleImputer(strategy="most_frequent"), _hot()),
    "TargetEncoder": lambda: TargetEncoder(cv=2),
    "a step of one's own": Nulls,
    "is None": lambda: make_pipeline(FunctionTransformer(_without_none), _hot()),
}
_OWN = ("a step of one's own", "is None")
_BOOSTING = "HistGradientBoostingClassifier"


def specimens() -> Iterator[Specimen]:
    """Yield for each step a table of all columns that it takes, which the client publishes with its rows; and columns
    alone, which go into the inbox with a sample or without."""
    alone = [(name, step) for name in COLUMNS for step in (*_STEPS, _BOOSTING) if _is_fitted(*name, step)]
    for step in (*_STEPS, _BOOSTING):
        columns = {f"{kind} and {held}": COLUMNS[kind, held] for (kind, held), other in alone if other == step}
        make = partial(_saved, columns, step, published=True)
        yield Specimen(f"Nulls of {len(columns)} kinds, {step}", make, cloudpickle.dumps)
    for index, ((kind, held), step) in enumerate(alone[::2]):
        sampled = index % 3 > 0 or step in _OWN
        name = f"{kind.capitalize()} and {held}, {step}, {'CSV' if sampled else 'no'} sample"
        make = partial(_saved, {"c": COLUMNS[kind, held]}, step, sampled=sampled)
        yield Specimen(name, make, cloudpickle.dumps, may_refuse_null=True)


def _is_fitted(kind: str, held: str, step: str) -> bool:
    """Return whether scikit-learn fits such a step on such a column."""
    if step in _OWN:
        return True
    if held in ("NA", "NA in string"):
        return False
    if held == "NaT":
        return step == "TargetEncoder"
    if step == _BOOSTING:
        return kind not in ("texts", "dates") or held == "NaN in a category"
    return step != "SimpleImputer constant" or kind == "texts" or held not in ("NaN", "None and NaN")


def _saved(columns: Mapping[str, Column], step: str, *, published: bool = False, sampled: bool = False) -> Saved:
    period = max(3, len(columns) + 1)
    rows = max(_ROWS, 10 * period)
    X = pd.DataFrame({name: column.filled(rows, period, index) for index, (name, column) in enumerate(columns.items())})
    X["n"] = np.arange(rows) % 3 / 10
    y = np.random.default_rng(5).integers(0, 2, rows)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    model: Any = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5)
    if step != _BOOSTING:
        steps = make_column_transformer(*((_STEPS[step](), [name]) for name in columns), remainder="passthrough")
        model = make_pipeline(steps, LogisticRegression())
    # A null reaches a model as the first of those that it knows, None before NaN, and a warning says so.
    frame = X[np.arange(rows) // period % 2 == 0][: max(6, period)].copy()
    sample = X[:_SAMPLED].to_csv(index=False) if sampled else None
    return Saved(model.fit(X, y), frame, frame=frame, published=X if published else None, sample=sample)
