"""Models with what people meet once in a while: codes that look like numbers, odd labels, steps of their own."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from tests.qa.zoo import data
from tests.qa.zoo.specimens import WAYS, Saved, Specimen, fitted

_UNKNOWN_FORM = "does not show that it was fitted on an array, and gets a frame, whose numbers lie in another order"
_ENCODER = OneHotEncoder(handle_unknown="ignore")


def specimens() -> Iterator[Specimen]:
    for index, (name, make) in enumerate((*_words(), *_numbers(), *_labels(), *_steps())):
        save, suffix = WAYS[index % len(WAYS)]
        yield Specimen(name, make, save, suffix)
    for name, make in _own():
        rounding = _UNKNOWN_FORM if name.startswith("Means") else None
        yield Specimen(f"{name}, by cloudpickle", partial(_by_value, make), cloudpickle.dumps, rounding=rounding)
    for name, thing, words in _refused():
        yield Specimen(name, partial(Saved, thing, []), refused=words)
    yield Specimen(
        "A library that is not installed", partial(Saved, _of_unknown_library(), []), bytes, refused="'deepgarden'"
    )


def _choice(*words: Any) -> Any:
    return np.array(words, dtype=object)[np.resize(data.CODES[:, 0], len(data.X)) % len(words)]


def _words() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield models of words that look like something else."""
    for name, words in {
        "postcodes": ("01234", "00501", "99999"),
        "nulls": ("NA", "null", "none"),
        "booleans": ("true", "False", "yes"),
        "numbers": ("1e5", "1.0", "-3"),
        "dates": ("2024-01-01", "2024-02-01", "01.03.2024"),
        "commas and quotes": ('a,"b"', "c;d", "e\nf"),
        "blanks": (" left", "right ", "in  between"),
    }.items():
        frame = pd.DataFrame({"code": _choice(*words), "age": data.X[:, 0]})
        columns = make_column_transformer((_ENCODER, ["code"]), remainder="passthrough")
        yield (
            f"Words that look like {name}",
            partial(fitted, make_pipeline(columns, LogisticRegression()), frame, data.YES),
        )
        closed = make_column_transformer((OneHotEncoder(), ["code"]), remainder="passthrough")
        yield (
            f"Words that look like {name}, closed",
            partial(fitted, make_pipeline(closed, LogisticRegression()), frame, data.YES),
        )
    typed = data.PEOPLE.astype({"plan": "string", "city": "string"})
    columns = make_column_transformer((_ENCODER, ["plan", "city"]), remainder="passthrough")
    yield "String dtype", partial(fitted, make_pipeline(columns, LogisticRegression(max_iter=500)), typed, data.YES)
    levels = pd.Categorical(_choice("low", "mid", "high"), ["low", "mid", "high"], ordered=True)
    boosted = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")
    yield "Ordered categories", partial(fitted, boosted, pd.DataFrame({"level": levels, "age": data.X[:, 0]}), data.YES)
    zips = pd.DataFrame({"zip": pd.Categorical(_choice(1010, 1020, 8010)), "age": data.X[:, 0]})
    yield "Categories that are whole numbers", partial(fitted, boosted, zips, data.YES)
    yield (
        "Categories that are whole numbers, one-hot",
        partial(
            fitted,
            make_pipeline(make_column_transformer((_ENCODER, ["zip"]), remainder="passthrough"), LogisticRegression()),
            zips,
            data.YES,
        ),
    )


def _numbers() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield models of numbers that are categories, large or absent."""
    for name, values in {"floats": (1.0, 2.5, 3.0), "whole numbers": (1, 2, 30), "booleans": (True, False)}.items():
        frame = pd.DataFrame({"kind": pd.Series(list(_choice(*values))), "age": data.X[:, 0]})
        for encoder in (_ENCODER, OrdinalEncoder()):
            columns = make_column_transformer((encoder, ["kind"]), remainder="passthrough")
            yield (
                f"{type(encoder).__name__} of {name}",
                partial(fitted, make_pipeline(columns, LogisticRegression()), frame, data.YES),
            )
    yield "Large and small numbers", partial(fitted, Ridge(), data.X * [1e12, 1e-12, 1, -1e300 / 1e200], data.NUMBER)
    yield "One column of an array", partial(fitted, Ridge(), data.X[:, :1], data.NUMBER)
    holes = data.FRAME.mask(data.SIGNED > 1.2)
    voting = VotingRegressor(
        [("a", HistGradientBoostingRegressor(max_iter=4)), ("b", HistGradientBoostingRegressor(max_iter=2))]
    )
    yield "Nulls in a vote", partial(fitted, voting, holes, data.NUMBER)
    counts = pd.DataFrame({"a": data.CODES[:, 0], "b": data.X[:, 1], "c": data.CODES[:, 2]})
    yield "Whole numbers beside others", partial(fitted, RandomForestClassifier(5, random_state=0), counts, data.YES)
    yield (
        "Nullable Int64 with nulls",
        partial(
            fitted,
            HistGradientBoostingClassifier(max_iter=4),
            counts.astype({"a": "Int64"}).mask(data.SIGNED[:, :3] > 1.4),
            data.YES,
        ),
    )


def _labels() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield classifiers of odd labels."""
    for name, labels in {
        "long": ("x" * 300, "y" * 300, "z"),
        "quoted": ('a"b', "c\\d", "e\nf"),
        "empty": ("", " ", "a"),
        "large": (10**12, -5, 7),
        "digits": ("0", "1", "10"),
    }.items():
        y = np.array(labels)[data.CLASS]
        yield f"Labels that are {name}", partial(fitted, DecisionTreeClassifier(max_depth=3), data.X, y)
    both = np.c_[data.YES.astype(bool), data.X[:, 2] > 2]
    yield "Several labels that are booleans", partial(fitted, RandomForestClassifier(4, random_state=0), data.X, both)
    yield "All cores", partial(fitted, RandomForestClassifier(8, n_jobs=-1, random_state=0), data.X, data.WORD)


def _steps() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield pipelines in unusual forms."""
    frame = data.PEOPLE
    words = ["plan", "city"]
    forms: dict[str, Any] = {
        "a slice of names": ColumnTransformer(
            [("a", StandardScaler(), slice("age", "income")), ("b", _ENCODER, words)]
        ),
        "a mask": ColumnTransformer([("a", StandardScaler(), [True, True, False, False]), ("b", _ENCODER, words)]),
        "a pattern": make_column_transformer(
            (StandardScaler(), make_column_selector("^(age|income)$")), (_ENCODER, words)
        ),
        "the same column twice": make_column_transformer(
            (StandardScaler(), ["age"]), (FunctionTransformer(np.log1p), ["age", "income"]), (_ENCODER, words)
        ),
        "a union": FeatureUnion(
            [
                ("a", make_column_transformer((StandardScaler(), ["age"]))),
                ("b", make_column_transformer((_ENCODER, words))),
            ]
        ),
        "a named function": make_column_transformer(
            (FunctionTransformer(np.sqrt, feature_names_out="one-to-one"), ["age", "income"]), (_ENCODER, words)
        ),
    }
    for name, columns in forms.items():
        yield (
            f"Columns by {name}",
            partial(fitted, make_pipeline(columns, LogisticRegression(max_iter=300)), frame, data.YES),
        )
    yield (
        "A pipeline that ends with nothing",
        partial(fitted, Pipeline([("s", StandardScaler()), ("p", "passthrough")]), data.X),
    )
    yield (
        "A pipeline that caches",
        partial(
            fitted, Pipeline([("s", StandardScaler()), ("m", Ridge())], memory=joblib.Memory(None)), data.X, data.NUMBER
        ),
    )


class Column(TransformerMixin, BaseEstimator):
    """Takes one column of a DataFrame, as people wrote before there was a ColumnTransformer."""

    def __init__(self, name: str = "title") -> None:
        self.name = name

    def fit(self, X: Any, y: Any = None) -> Column:
        return self

    def transform(self, X: Any) -> Any:
        return X[self.name]


class Means(TransformerMixin, BaseEstimator):
    """Fills nulls with means and adds a column, without remembering its columns."""

    def fit(self, X: Any, y: Any = None) -> Means:
        self.means_ = np.nanmean(np.asarray(X, dtype=float), axis=0)
        return self

    def transform(self, X: Any) -> Any:
        X = np.asarray(X, dtype=float)
        return np.c_[np.where(np.isnan(X), self.means_, X), np.isnan(X).sum(axis=1)]


class Ensemble(BaseEstimator):
    """Averages models of its own."""

    def fit(self, X: Any, y: Any) -> Ensemble:
        self.models_ = [Ridge(alpha).fit(X, y) for alpha in (0.1, 1.0, 10.0)]
        return self

    def predict(self, X: Any) -> Any:
        return np.mean([model.predict(X) for model in self.models_], axis=0)


class Guarded(BaseEstimator):
    """Checks its columns by name."""

    def fit(self, X: Any, y: Any) -> Guarded:
        self.columns = list(X.columns)
        self.model = LinearRegression().fit(X, y)
        return self

    def predict(self, X: Any) -> Any:
        if list(X.columns) != self.columns:
            raise ValueError(f"columns are {list(X.columns)}")
        return self.model.predict(X[self.columns])


def to_days(frame: Any) -> Any:
    return (pd.to_datetime(frame.iloc[:, 0]) - pd.Timestamp("2024-01-01")).dt.days.to_frame()


def parity(X: Any) -> Any:
    return np.asarray(X) % 2


def as_words(X: Any) -> Any:
    return np.asarray(X).astype(str)


def _by_value(make: Callable[[], Saved]) -> Saved:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return make()


def _own() -> Iterator[tuple[str, Callable[[], Saved]]]:
    mail = pd.DataFrame({"title": data.TEXTS, "body": data.TEXTS[::-1]})
    both = FeatureUnion([(name, make_pipeline(Column(name), TfidfVectorizer())) for name in ("title", "body")])
    sample = mail[:9].to_csv(index=False)
    yield (
        "Columns of text by a class of one's own, with a sample",
        partial(fitted, make_pipeline(both, LogisticRegression()), mail, data.SPAM, sample=sample),
    )
    holes = np.where(data.SIGNED > 1, np.nan, data.X)
    yield (
        "Means of one's own, with a sample",
        partial(
            fitted,
            make_pipeline(Means(), Ridge()),
            holes,
            data.NUMBER,
            sample=pd.DataFrame(holes[:20], columns=list("abcd")).to_csv(index=False),
        ),
    )
    yield "An ensemble of one's own on an array", partial(fitted, Ensemble(), data.X, data.NUMBER)
    yield "An ensemble of one's own on a frame", partial(fitted, Ensemble(), data.FRAME, data.NUMBER)
    yield "A class that checks its columns", partial(fitted, Guarded(), data.FRAME, data.NUMBER)
    days = pd.DataFrame(
        {"day": pd.date_range("2024-01-05", periods=len(data.X)).strftime("%Y-%m-%d"), "age": data.X[:, 0]}
    )
    columns = make_column_transformer((FunctionTransformer(to_days), ["day"]), (StandardScaler(), ["age"]))
    dated = make_pipeline(columns, Ridge())
    yield "Dates as text, with a sample", partial(fitted, dated, days, data.NUMBER, sample=days[:9].to_csv(index=False))
    zoned = days.assign(day=pd.date_range("2024-01-05", periods=len(data.X), tz="UTC"))
    hours = make_column_transformer((FunctionTransformer(hour_of), ["day"]), (StandardScaler(), ["age"]))
    yield (
        "Dates with a zone, with a sample",
        partial(fitted, make_pipeline(hours, Ridge()), zoned, data.NUMBER, sample=zoned[:9].to_csv(index=False)),
    )
    yield (
        "Parity of whole numbers",
        partial(fitted, make_pipeline(FunctionTransformer(parity), LogisticRegression()), data.CODES, data.YES),
    )
    yield (
        "Whole numbers as words",
        partial(
            fitted,
            make_pipeline(FunctionTransformer(as_words), OneHotEncoder(handle_unknown="ignore"), LogisticRegression()),
            data.CODES,
            data.YES,
        ),
    )
    yield (
        "A lambda of a frame",
        partial(
            fitted,
            make_pipeline(FunctionTransformer(lambda X: X.assign(ratio=X["age"] / (1 + X["km/h"]))), Ridge()),
            data.FRAME,
            data.NUMBER,
        ),
    )


def hour_of(frame: Any) -> Any:
    return frame.iloc[:, 0].dt.dayofyear.to_frame()


def _refused() -> Iterator[tuple[str, Any, str]]:
    """Yield things that no model is, or whose answers JSON cannot have."""
    X = data.X
    yield "Labels that are bytes", DecisionTreeClassifier().fit(X, data.WORD.astype("S")), "cannot represent"
    yield "A data set", load_iris(), "without a model"


def _of_unknown_library() -> bytes:
    """Return the pickle of an object whose module nobody has."""
    module = ModuleType("deepgarden")
    exec("class Net:\n    def predict(self, X): return X", module.__dict__)
    sys.modules["deepgarden"] = module
    try:
        return pickle.dumps(module.Net())
    finally:
        del sys.modules["deepgarden"]
