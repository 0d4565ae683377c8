"""Models whose answer to a row may depend on the rows beside it, on the method before, or on how a number is held."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import KNNImputer
from sklearn.impute._iterative import IterativeImputer  # whose public name makes another class of scikit-learn
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler, minmax_scale, scale

from tests.qa.zoo import data
from tests.qa.zoo.specimens import Saved, Specimen, fitted

_HOLES = data.FRAME.mask(data.SIGNED > 0.8)
_FIRST, _SECOND = data.NAMES[:2]
_STEPS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "the mean in nulls": lambda X: X.fillna(X.mean()).fillna(0),
    "ranks": lambda X: X.rank().fillna(0),
    "the row before": lambda X: X.shift().fillna(0),
    "running totals": lambda X: X.fillna(0).cumsum(),
    "the last value in nulls": lambda X: X.ffill().fillna(0),
    "interpolated nulls": lambda X: X.interpolate(limit_direction="both").fillna(0),
    "sorted rows": lambda X: X.fillna(0).sort_values(_FIRST).to_numpy(),
    "means of groups": lambda X: X.fillna(0).assign(mean=X.groupby(X[_SECOND] > 1)[_FIRST].transform("mean").fillna(0)),
    "codes of factorize": lambda X: X.fillna(0).assign(code=pd.factorize(X[_FIRST].round())[0]),
    "codes of a category": lambda X: X.fillna(0).assign(code=X[_FIRST].round().astype("category").cat.codes),
    "deviations from the median": lambda X: (X - X.median()).fillna(0).round(9),
    "whether it is the only one": lambda X: X.fillna(0).assign(twice=X[_FIRST].round().duplicated(keep=False)),
}
"""Steps that look at all rows of a batch."""


class Whole(RegressorMixin, BaseEstimator):
    """Answers with whole numbers that no float holds."""

    def fit(self, X: Any, y: Any) -> Whole:
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: Any) -> Any:
        return 2**53 + 1 + 2 * np.asarray(X)[:, 0].astype(np.int64)


def specimens() -> Iterator[Specimen]:
    for name, make in _of_batches():
        yield Specimen(f"{name}, of its batch", partial(_by_value, make), cloudpickle.dumps)
    for name, make in (*_changed_inputs(), *_numbers(), *_features()):
        yield Specimen(name, partial(_by_value, make), cloudpickle.dumps)


def _by_value(make: Callable[[], Saved]) -> Saved:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as if this were a notebook
    return make()


def _of_batches() -> Iterator[tuple[str, Callable[[], Saved]]]:
    for name, step in _STEPS.items():
        model = make_pipeline(FunctionTransformer(step), LinearRegression())
        yield name.capitalize(), partial(fitted, model, _HOLES, data.NUMBER, published=_HOLES[:60])
    for function in (minmax_scale, scale):  # of scikit-learn alone
        model = make_pipeline(FunctionTransformer(function), LogisticRegression())
        yield function.__name__, partial(fitted, model, data.FRAME, data.WORD)
    dummies = make_pipeline(FunctionTransformer(_dummies), LogisticRegression())
    yield "Dummies of get_dummies", partial(fitted, dummies, data.PEOPLE, data.WORD, published=data.PEOPLE[:60])


def _dummies(X: pd.DataFrame) -> pd.DataFrame:
    plans = pd.get_dummies(X["plan"]).reindex(columns=["basic", "gold", "plus"], fill_value=False)
    first = pd.get_dummies(X["city"], drop_first=True)  # another one in each batch
    return X[["age"]].join(plans).assign(city=first.sum(axis=1)).astype(float)


def _changed_inputs() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield models that change the matrix that they get."""
    scaled = make_pipeline(StandardScaler(copy=False), LogisticRegression())
    for name, table in (("an array", data.X), ("a frame", data.FRAME)):
        vote = VotingClassifier([("lr", scaled), ("knn", KNeighborsClassifier())], voting="soft")
        yield f"A vote with copy=False on {name}", partial(fitted, vote, table.copy(), data.WORD)
        yield f"A pipeline with copy=False on {name}", partial(fitted, scaled, table.copy(), data.WORD)
        in_place = make_pipeline(FunctionTransformer(_doubled), LogisticRegression())
        yield f"A step that doubles its input on {name}", partial(fitted, in_place, table.copy(), data.WORD)


def _doubled(X: Any) -> Any:
    X *= 2
    return X


def _numbers() -> Iterator[tuple[str, Callable[[], Saved]]]:
    days = 20240101 + data.CODES[:, 1] + 30 * data.CODES[:, 2]
    table = pd.DataFrame({"a": data.X[:, 0].astype(np.float32), "day": days})
    columns = make_column_transformer((MinMaxScaler(), ["a"]), (OneHotEncoder(handle_unknown="ignore"), ["day"]))
    yield "A float32 column beside days", partial(fitted, make_pipeline(columns, Ridge(0.01)), table, data.NUMBER)
    process, targets = GaussianProcessRegressor(), (data.NUMBER * 50_000).astype(np.float32)
    yield "GaussianProcessRegressor of float32 targets", partial(fitted, process, data.X, targets)
    yield "Whole numbers beyond 2**53", partial(fitted, Whole(), np.round(data.X * 1000), data.NUMBER)


def _features() -> Iterator[tuple[str, Callable[[], Saved]]]:
    table = pd.DataFrame({"k": data.CODES[:, 0], "age": data.X[:, 0]})
    named = HistGradientBoostingClassifier(categorical_features=["k"], max_iter=8)
    yield "HistGradientBoosting with names of categories", partial(fitted, named, table, data.WORD)
    for imputer in (IterativeImputer(random_state=0, max_iter=5), KNNImputer()):
        model = make_pipeline(imputer, Ridge())
        yield f"{type(imputer).__name__} beside others", partial(fitted, model, _HOLES, data.NUMBER)
