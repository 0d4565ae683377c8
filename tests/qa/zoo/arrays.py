"""Models of arrays of every type, and of targets of every shape and type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor

from tests.qa.zoo import data
from tests.qa.zoo.specimens import WAYS, Saved, Specimen, fitted

_SPARSE = "was asked with a sparse matrix, whose sums leave out the zeros and add up in another order"


def specimens() -> Iterator[Specimen]:
    for index, (name, make) in enumerate((*_arrays(), *_targets())):
        save, suffix = WAYS[index % len(WAYS)]
        yield Specimen(
            name, make, save, suffix, rounding=_SPARSE if "a sparse matrix" in name and "Forest" not in name else None
        )


def _arrays() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield models of arrays of other types, and steps before a model."""
    for name, X in {
        "float32": data.X.astype("float32"),
        "whole numbers": data.CODES,
        "Fortran order": np.asfortranarray(data.X),
        "a list of lists": data.X.tolist(),
    }.items():
        for model in (LogisticRegression(), RandomForestClassifier(5, random_state=0), SVC(), KNeighborsClassifier()):
            yield f"{type(model).__name__} on {name}", partial(fitted, model, X, data.WORD)
    words = data.PEOPLE[["plan", "city"]].to_numpy(dtype=object)
    yield "An array of words", partial(fitted, make_pipeline(OneHotEncoder(), LogisticRegression()), words, data.WORD)
    mixed = data.PEOPLE.to_numpy(dtype=object)
    columns = make_column_transformer((StandardScaler(), [0, 1]), (OneHotEncoder(), [2, 3]))
    yield (
        "An array of numbers and words",
        partial(fitted, make_pipeline(columns, LogisticRegression()), mixed, data.WORD),
    )
    sparse = csr_matrix(np.where(data.X > 0.8, data.X, 0))
    for model in (
        LogisticRegression(),
        MultinomialNB(),
        RandomForestClassifier(5, random_state=0),
        LinearRegression(),
        TruncatedSVD(2, random_state=0),
        KNeighborsRegressor(),
    ):
        yield f"{type(model).__name__} on a sparse matrix", partial(fitted, model, sparse, data.CLASS)
    steps: list[Any] = [
        RobustScaler(),
        PowerTransformer(),
        PolynomialFeatures(2),
        SplineTransformer(),
        KBinsDiscretizer(3),
        PCA(2, random_state=0),
        VarianceThreshold(),
        SelectKBest(k=2),
        FunctionTransformer(np.log1p),
        FunctionTransformer(),
        "passthrough",
    ]
    for step in steps:
        name = (
            step
            if isinstance(step, str)
            else type(step).__name__ + (" of nothing" if getattr(step, "func", 0) is None else "")
        )
        yield (
            f"{name} + LogisticRegression",
            partial(fitted, Pipeline([("s", step), ("m", LogisticRegression(max_iter=300))]), data.X, data.WORD),
        )


def _targets() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield models with targets of every shape and type."""
    column = data.NUMBER.reshape(-1, 1)
    regressors: list[Any] = [
        LinearRegression(),
        Ridge(),
        RandomForestRegressor(5, random_state=0),
        KNeighborsRegressor(),
        DecisionTreeRegressor(max_depth=3),
        make_pipeline(StandardScaler(), LinearRegression()),
        GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2),
    ]
    for model in regressors:
        name = type(model).__name__
        yield f"{name} with a target of one column", partial(fitted, model, data.X, column)
    yield (
        "LinearRegression with a target in a frame",
        partial(fitted, LinearRegression(), data.FRAME, pd.DataFrame({"price": data.NUMBER})),
    )
    for model in (LogisticRegression(), KNeighborsClassifier(), RandomForestClassifier(5, random_state=0)):
        yield (
            f"{type(model).__name__} with classes in one column",
            partial(fitted, model, data.X, data.CLASS.reshape(-1, 1)),
        )
    for name, y in {
        "booleans": data.YES.astype(bool),
        "floats": data.CLASS.astype(float),
        "-1 and 1": 2 * data.YES - 1,
        "words of a Series": pd.Series(data.WORD),
        "words as categories": pd.Series(data.WORD).astype("category"),
        "objects": data.WORD.astype(object),
        "one class only": np.zeros(len(data.X), int),
        "letters": np.array(["ß", "日本", "a b"])[data.CLASS],
    }.items():
        for model in (RandomForestClassifier(5, random_state=0), GaussianNB()):
            yield f"{type(model).__name__} with classes that are {name}", partial(fitted, model, data.FRAME, y)
