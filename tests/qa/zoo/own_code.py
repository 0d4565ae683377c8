"""Models that need code of the script that has saved them, `__main__`, with and without that code beside them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import cloudpickle
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from tests.qa.zoo import data
from tests.qa.zoo.specimens import Saved, Specimen, compressed, fitted, with_joblib

CODE = '''\
"""What the notebook defined before it fitted the model."""
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin

FACTOR = 2.5


def ratios(X):
    X = np.asarray(X, dtype=float)
    return np.c_[X, X[:, 0] / X[:, 1] * FACTOR]


def tokens(text):
    return [word for word in text.lower().split() if word not in ("now", "lunch")]


def months(X):
    return pd.DataFrame({name: pd.to_datetime(X[name]).dt.month for name in X})


class Clip(BaseEstimator, TransformerMixin):
    def __init__(self, share=0.1):
        self.share = share

    def fit(self, X, y=None):
        self.low_, self.high_ = np.quantile(np.asarray(X), [self.share, 1 - self.share], axis=0)
        self.n_features_in_ = np.shape(X)[1]
        return self

    def transform(self, X):
        return np.clip(np.asarray(X), self.low_, self.high_)

    def get_feature_names_out(self, names=None):
        return names


class Nearest(ClassifierMixin, BaseEstimator):
    """A classifier written by hand."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.n_features_in_ = np.shape(X)[1]
        self.centers_ = np.array([np.asarray(X)[np.asarray(y) == label].mean(axis=0) for label in self.classes_])
        return self

    def predict_proba(self, X):
        near = np.exp(-np.linalg.norm(np.asarray(X)[:, None] - self.centers_, axis=2))
        return near / near.sum(axis=1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Wrapper:
    """A wrapper around a model, which is no estimator."""

    def __init__(self, model):
        self.model = model

    def predict(self, X):
        return np.round(self.model.predict(X), 1)


class Offer(Wrapper):
    def predict(self, X):
        return [{"price": float(price), "cheap": bool(price < 3)} for price in self.model.predict(X)]
'''


def specimens() -> Iterator[Specimen]:
    for name, make in _KINDS.items():
        yield Specimen(f"{name} of __main__ with its code", partial(_of_main, make, CODE))
        yield Specimen(f"{name} of __main__ without its code", partial(_of_main, make, None), refused="__main__")
        yield Specimen(f"{name} of __main__ by cloudpickle", partial(_of_main, make, None), cloudpickle.dumps)
    first = _KINDS["A transformer"]
    yield Specimen(
        "joblib, a transformer of __main__ with its code", partial(_of_main, first, CODE), with_joblib, ".joblib"
    )
    yield Specimen(
        "compressed, a transformer of __main__ with its code", partial(_of_main, first, CODE), compressed, ".joblib"
    )
    yield Specimen(
        "A transformer of __main__ with code that lacks it",
        partial(_of_main, first, "import numpy as np\n"),
        refused="Clip",
    )
    yield Specimen(
        "A transformer of __main__ with code that does not run",
        partial(_of_main, first, "import nothing_there\n"),
        refused="nothing_there",
    )


def _of_main(make: Any, code: str | None) -> Saved:
    """Fit with the names that CODE defines in `__main__`, as in a script."""
    main = sys.modules["__main__"].__dict__
    exec(CODE, main)  # the classes below get the module __main__
    saved: Saved = make(main)
    saved.code = code
    return saved


def _wrapped(kind: str, main: dict[str, Any]) -> Saved:
    thing = main[kind](LinearRegression().fit(data.FRAME[: data.ROWS], data.NUMBER[: data.ROWS]))
    return Saved(thing, data.FRAME[data.ROWS :])


_ACCOUNTS = data.FRAME.assign(
    opened=pd.date_range("2021-01-01", periods=len(data.FRAME), freq="11D").strftime("%Y-%m-%d")
)

_KINDS: dict[str, Any] = {
    # A class of one's own does not remember the names of columns, so a sample names them.
    "A transformer": lambda main: fitted(
        make_pipeline(main["Clip"](), LogisticRegression()),
        data.FRAME,
        data.WORD,
        sample=data.FRAME[:9].to_csv(index=False),
    ),
    "A transformer of an array": lambda main: fitted(make_pipeline(main["Clip"](0.2), Ridge()), data.X, data.NUMBER),
    "A function": lambda main: fitted(
        make_pipeline(FunctionTransformer(main["ratios"]), StandardScaler(), LogisticRegression()), data.X, data.WORD
    ),
    "A function of columns": lambda main: fitted(
        make_pipeline(
            make_column_transformer(
                (FunctionTransformer(main["ratios"]), ["age", "income"]), (OneHotEncoder(), ["plan", "city"])
            ),
            LogisticRegression(max_iter=400),
        ),
        data.PEOPLE,
        data.WORD,
    ),
    "A function of dates": lambda main: fitted(
        make_pipeline(
            make_column_transformer((FunctionTransformer(main["months"]), ["opened"]), remainder="passthrough"),
            LogisticRegression(max_iter=400),
        ),
        _ACCOUNTS,
        data.WORD,
    ),
    "A tokenizer": lambda main: fitted(
        make_pipeline(TfidfVectorizer(tokenizer=main["tokens"], token_pattern=None), LogisticRegression()),
        data.TEXTS,
        data.SPAM,
    ),
    "A tokenizer in a union": lambda main: fitted(
        make_pipeline(
            FeatureUnion([("a", TfidfVectorizer(analyzer=main["tokens"])), ("b", TfidfVectorizer())]),
            LogisticRegression(),
        ),
        data.TEXTS,
        data.SPAM,
    ),
    "A classifier": lambda main: fitted(main["Nearest"](), data.X, data.WORD),
    "A classifier in a pipeline": lambda main: fitted(
        make_pipeline(StandardScaler(), main["Nearest"]()), data.FRAME, data.WORD
    ),
    "A wrapper": partial(_wrapped, "Wrapper"),
    "A wrapper that answers objects": partial(_wrapped, "Offer"),
}
