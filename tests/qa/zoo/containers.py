"""A model among other things in one file: a dict, a tuple or a list, as notebooks save them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import accuracy_score
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    LabelEncoder,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC

from tests.qa.zoo import data
from tests.qa.zoo.specimens import WAYS, Saved, Specimen, called

_KNOWN, _ASKED = slice(data.ROWS), slice(data.ROWS, None)


def specimens() -> Iterator[Specimen]:
    for index, (name, make) in enumerate((*_steps(), *_labels(), *_several(), *_facts())):
        save, suffix = WAYS[index % len(WAYS)]
        yield Specimen(name, make, save, suffix)
    yield from _refused()


def _chain(put: Callable[..., Any], X: Any, y: Any, *steps: Any) -> Saved:
    """Fit steps one after the other; `put` puts them into a container."""
    made: Any = X[_KNOWN]
    for step in steps[:-1]:
        made = step.fit(made, y[_KNOWN]).transform(made)
    steps[-1].fit(made, y[_KNOWN])
    return Saved(put(*steps), X[_ASKED], answers=make_pipeline(*steps))


class _Instead:
    """A model with another `predict`."""

    def __init__(self, model: Any, predict: Callable[[Any], Any], classes: Any) -> None:
        self._model = model
        self.predict = predict
        self.classes_ = classes

    def __getattr__(self, name: str) -> Any:
        return partial(called, self._model, name)


def _steps() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield containers with what prepares the rows."""
    X, frame, texts = data.X, data.FRAME, data.TEXTS
    word, spam = data.WORD, data.SPAM
    scaled = {
        "dict of scaler and model": lambda scaler, model: {"scaler": scaler, "model": model},
        "dict of model and scaler": lambda scaler, model: {"model": model, "scaler": scaler},
        "dict of clf and preprocessor": lambda scaler, model: {"clf": model, "preprocessor": scaler},
        "tuple of scaler and model": lambda scaler, model: (scaler, model),
        "tuple of model and scaler": lambda scaler, model: (model, scaler),
        "list of scaler and model": lambda scaler, model: [scaler, model],
        "dict with scaler, model and columns": lambda scaler, model: {
            "model": model,
            "scaler": scaler,
            "features": data.NAMES,
        },
    }
    for name, put in scaled.items():
        yield f"A {name}", partial(_chain, put, X, word, StandardScaler(), LogisticRegression())
    put = scaled["dict of scaler and model"]
    yield "A dict of scaler and model of a frame", partial(_chain, put, frame, word, StandardScaler(), SVC())
    yield (
        "A dict of scaler and forest",
        partial(_chain, put, X, word, MinMaxScaler(), RandomForestClassifier(5, random_state=0)),
    )
    yield "A dict of scaler and regression", partial(_chain, put, X, data.NUMBER, StandardScaler(), LinearRegression())
    yield (
        "A dict of pca and model",
        partial(
            _chain,
            lambda pca, model: {"pca": pca, "model": model},
            X,
            word,
            PCA(2, random_state=0),
            LogisticRegression(),
        ),
    )
    yield (
        "A dict of imputer and model",
        partial(
            _chain,
            lambda step, model: {"imputer": step, "model": model},
            X,
            word,
            SimpleImputer(),
            LogisticRegression(),
        ),
    )
    yield (
        "A dict of scaler, pca and model",
        partial(
            _chain,
            lambda scaler, pca, model: {"scaler": scaler, "pca": pca, "model": model},
            X,
            word,
            StandardScaler(),
            PCA(2, random_state=0),
            LogisticRegression(),
        ),
    )
    yield (
        "A list of imputer, scaler, selector and model",
        partial(
            _chain,
            lambda *steps: list(steps),
            X,
            word,
            SimpleImputer(),
            StandardScaler(),
            SelectKBest(k=2),
            LogisticRegression(),
        ),
    )
    for name, put in {
        "dict of vectorizer and model": lambda vectorizer, model: {"vectorizer": vectorizer, "model": model},
        "tuple of vectorizer and model": lambda vectorizer, model: (vectorizer, model),
        "tuple of model and vectorizer": lambda vectorizer, model: (model, vectorizer),
    }.items():
        yield f"A {name}", partial(_chain, put, texts, spam, TfidfVectorizer(), MultinomialNB())
    yield (
        "A dict of cv and clf",
        partial(_chain, lambda cv, clf: {"cv": cv, "clf": clf}, texts, spam, CountVectorizer(), LinearSVC()),
    )
    columns = make_column_transformer((StandardScaler(), ["age", "income"]), (OneHotEncoder(), ["plan", "city"]))
    yield (
        "A dict of preprocessor of columns and model",
        partial(
            _chain,
            lambda step, model: {"preprocessor": step, "model": model},
            data.PEOPLE,
            word,
            columns,
            LogisticRegression(),
        ),
    )
    words = data.PEOPLE[["plan", "city"]]
    yield (
        "A dict of encoder and model",
        partial(
            _chain,
            lambda step, model: {"encoder": step, "model": model},
            words,
            word,
            OneHotEncoder(),
            LogisticRegression(),
        ),
    )
    yield (
        "A dict of ordinal encoder and model",
        partial(
            _chain,
            lambda step, model: {"encoder": step, "model": model},
            words,
            word,
            OrdinalEncoder(),
            RandomForestClassifier(5, random_state=0),
        ),
    )


def _labels() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield containers whose encoder gives the labels back."""

    def labelled(put: Callable[..., Any], *steps: Any) -> Saved:
        encoder = LabelEncoder().fit(data.WORD)
        chain = _chain(lambda *made: made, data.X, encoder.transform(data.WORD), *steps)
        numbered = chain.answers
        answers = _Instead(numbered, lambda X: encoder.inverse_transform(numbered.predict(X)), encoder.classes_)
        return Saved(put(encoder, *steps), chain.asked, answers=answers)

    forest = RandomForestClassifier(5, random_state=0)
    yield (
        "A dict of model and label_encoder",
        partial(labelled, lambda le, model: {"model": model, "label_encoder": le}, forest),
    )
    yield (
        "A dict of model and le",
        partial(labelled, lambda le, model: {"model": model, "le": le}, LogisticRegression()),
    )
    yield "A tuple of model and LabelEncoder", partial(labelled, lambda le, model: (model, le), forest)
    yield (
        "A dict of model, scaler and label encoder",
        partial(
            labelled,
            lambda le, scaler, model: {"model": model, "scaler": scaler, "target_encoder": le},
            StandardScaler(),
            forest,
        ),
    )


def _several() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield containers with encoders of columns, with a scaler of the target, or with several models."""

    def by_column(put: Callable[..., Any]) -> Saved:
        words = ["plan", "city"]
        encoders = {name: LabelEncoder().fit(data.PEOPLE[name]) for name in words}

        def encoded(frame: pd.DataFrame) -> pd.DataFrame:
            return frame.assign(**{name: encoder.transform(frame[name]) for name, encoder in encoders.items()})

        model = RandomForestClassifier(5, random_state=0).fit(encoded(data.PEOPLE[_KNOWN]), data.WORD[_KNOWN])
        answers = make_pipeline(FunctionTransformer(encoded), model)
        return Saved(put(encoders, model), data.PEOPLE[_ASKED], answers=answers)

    yield (
        "A dict of encoders by column and model",
        partial(by_column, lambda encoders, model: {"encoders": encoders, "model": model}),
    )
    yield (
        "A dict of le_plan, le_city and model",
        partial(
            by_column,
            lambda encoders, model: {"model": model, **{f"le_{name}": encoder for name, encoder in encoders.items()}},
        ),
    )

    def scaled_target() -> Saved:
        x, y = StandardScaler().fit(data.X[_KNOWN]), StandardScaler().fit(data.NUMBER[_KNOWN, None])
        model = Ridge().fit(x.transform(data.X[_KNOWN]), y.transform(data.NUMBER[_KNOWN, None]).ravel())
        put = {"model": model, "x_scaler": x, "y_scaler": y}
        answers = _Instead(
            make_pipeline(x, model),
            lambda X: y.inverse_transform(model.predict(x.transform(X)).reshape(-1, 1)).ravel(),
            None,
        )
        return Saved(put, data.X[_ASKED], answers=answers)

    yield "A dict of x_scaler, y_scaler and model", scaled_target

    def models() -> Saved:
        price, other = (Ridge().fit(data.FRAME[_KNOWN], data.NUMBERS[_KNOWN, index]) for index in (0, 1))
        answers = SimpleNamespace(predict=lambda X: pd.DataFrame({"price": price.predict(X), "days": other.predict(X)}))
        return Saved({"price": price, "days": other}, data.FRAME[_ASKED], answers=answers)

    yield "A dict of models by target", models


def _facts() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield containers with facts about the model."""

    def told(X: Any = data.X, **facts: Any) -> Saved:
        model = RandomForestClassifier(5, random_state=0).fit(X[_KNOWN], data.YES[_KNOWN])
        return Saved({"model": model, **facts}, X[_ASKED], answers=model)

    yield "A dict of model and columns", partial(told, columns=data.NAMES)
    yield "A dict of model and feature_names as an index", partial(told, feature_names=pd.Index(data.NAMES))
    yield (
        "A dict of model and metrics",
        partial(told, accuracy=0.9, metrics={"f1": 0.8}, trained_on="2024-01-01", version=3),
    )
    yield (
        "A dict of model, parameters and notes",
        partial(told, params={"n_estimators": 5}, notes="for the demo", target="y"),
    )
    yield "A dict of model and a metric", partial(told, scorer=accuracy_score)

    def threshold() -> Saved:
        model = LogisticRegression().fit(data.X[_KNOWN], data.YES[_KNOWN])
        answers = _Instead(model, lambda X: (model.predict_proba(X)[:, 1] >= 0.3).astype(int), model.classes_)
        return Saved({"model": model, "threshold": 0.3}, data.X[_ASKED], answers=answers)

    def scaled_threshold() -> Saved:
        scaler = StandardScaler().fit(data.X[_KNOWN])
        model = LogisticRegression().fit(scaler.transform(data.X[_KNOWN]), data.YES[_KNOWN])
        both = make_pipeline(scaler, model)
        answers = _Instead(both, lambda X: (both.predict_proba(X)[:, 1] >= 0.3).astype(int), model.classes_)
        return Saved({"scaler": scaler, "model": model, "threshold": 0.3}, data.X[_ASKED], answers=answers)

    yield "A dict of model and threshold", threshold
    yield "A dict of scaler, model and threshold", scaled_threshold

    def inside() -> Saved:
        model = Ridge().fit(data.FRAME[_KNOWN], data.NUMBER[_KNOWN])
        return Saved({"artifacts": {"model": model}, "version": 2}, data.FRAME[_ASKED], answers=model)

    yield "A dict in a dict", inside


def _refused() -> Iterator[Specimen]:
    """Yield containers that cannot be put together without guessing."""
    X, y = data.X, data.CLASS
    model = LogisticRegression().fit(X, y)
    scaler = StandardScaler().fit(X)
    wide = StandardScaler().fit(np.c_[X, X])
    for name, thing, words in (
        ("A dict of a scaler of other columns and a model", {"scaler": wide, "model": model}, "8"),
        (
            "A dict of two scalers and a model",
            {"x": scaler, "z": StandardScaler().fit(X + 1), "model": model},
            "have seen other numbers",
        ),
        ("A dict of a function and a model", {"clean": np.nan_to_num, "model": model}, "function"),
        ("A list of two models", [model, model], "without names"),
        ("A dict without a model", {"weights": [1, 2], "bias": 3}, "without a model"),
    ):
        yield Specimen(name, partial(Saved, thing, []), refused=words)
