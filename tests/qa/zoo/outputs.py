"""Models with several outputs, and the methods of models that have none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
from sklearn.neighbors import (
    KernelDensity,
    KNeighborsClassifier,
    KNeighborsRegressor,
    NearestNeighbors,
    RadiusNeighborsRegressor,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, SVR, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

from tests.qa.zoo import data
from tests.qa.zoo.specimens import WAYS, Saved, Specimen, fitted


def specimens() -> Iterator[Specimen]:
    for index, (name, make) in enumerate((*_numbers(), *_classes(), *_methods(), *_own())):
        save, suffix = WAYS[index % len(WAYS)]
        if "cloudpickle" in name:
            save, suffix = cloudpickle.dumps, ".pkl"
        yield Specimen(name, make, save, suffix)


def _numbers() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield regressors of two numbers."""
    frame = pd.DataFrame(data.NUMBERS, columns=["price", "days"])
    models: list[Any] = [
        LinearRegression(),
        Ridge(),
        RandomForestRegressor(5, random_state=0),
        ExtraTreesRegressor(5, random_state=0),
        DecisionTreeRegressor(max_depth=4),
        KNeighborsRegressor(),
        RadiusNeighborsRegressor(radius=20.0),
        KernelRidge(),
        MLPRegressor(hidden_layer_sizes=(5,), max_iter=50, random_state=0),
        GaussianProcessRegressor(alpha=0.1),
        PLSRegression(),
        DummyRegressor(),
        MultiOutputRegressor(SVR()),
        make_pipeline(StandardScaler(), Ridge()),
        GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2),
        TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
    ]
    for model in models:
        yield f"{type(model).__name__} of two numbers", partial(fitted, model, data.X, data.NUMBERS)
    yield "Ridge of two numbers of a frame", partial(fitted, Ridge(), data.FRAME, frame)
    yield (
        "RandomForestRegressor of two numbers of a frame",
        partial(fitted, RandomForestRegressor(5, random_state=0), data.FRAME, frame),
    )


def _classes() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield classifiers of two classes each, and of labels that hold or not."""
    models: list[Any] = [
        RandomForestClassifier(5, random_state=0),
        DecisionTreeClassifier(max_depth=4),
        ExtraTreeClassifier(max_depth=4, random_state=0),
        KNeighborsClassifier(),
        DummyClassifier(),
        MultiOutputClassifier(LogisticRegression()),
        MultiOutputClassifier(SVC()),
        MultiOutputClassifier(HistGradientBoostingClassifier(max_iter=3)),
    ]
    for model in models:
        inner = getattr(model, "estimator", None)
        name = type(model).__name__ + (f" of {type(inner).__name__}" if inner is not None else "")
        yield f"{name}, words and words", partial(fitted, model, data.X, data.WORDS)
    labels: list[Any] = [
        RandomForestClassifier(5, random_state=0),
        MLPClassifier(hidden_layer_sizes=(5,), max_iter=50, random_state=0),
        RidgeClassifier(),
        OneVsRestClassifier(LogisticRegression()),
        ClassifierChain(LogisticRegression(), order=[1, 0]),
        KNeighborsClassifier(),
        make_pipeline(StandardScaler(), MultiOutputClassifier(LogisticRegression())),
        GridSearchCV(RandomForestClassifier(4, random_state=0), {"max_depth": [2]}, cv=2),
    ]
    for model in labels:
        yield f"{type(model).__name__} of several labels", partial(fitted, model, data.X, data.YESES)
    frame = pd.DataFrame({"level": data.CLASS, "high": data.YESES[:, 1]})
    yield (
        "RandomForestClassifier of a frame of classes",
        partial(fitted, RandomForestClassifier(5, random_state=0), data.FRAME, frame),
    )


def _methods() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield models whose other methods people ask."""
    X, frame = data.SIGNED, data.FRAME
    scale = StandardScaler()
    yield (
        "IsolationForest in a pipeline",
        partial(fitted, make_pipeline(scale, IsolationForest(n_estimators=6, random_state=0)), frame),
    )
    yield "OneClassSVM in a pipeline", partial(fitted, make_pipeline(scale, OneClassSVM()), X)
    yield "GaussianMixture in a pipeline", partial(fitted, make_pipeline(scale, GaussianMixture(2, random_state=0)), X)
    yield "KMeans in a pipeline", partial(fitted, make_pipeline(scale, KMeans(3, n_init=1, random_state=0)), frame)
    yield "KernelDensity in a pipeline", partial(fitted, make_pipeline(scale, KernelDensity()), X)
    yield "PCA in a pipeline", partial(fitted, make_pipeline(scale, PCA(2, random_state=0)), frame)
    yield "PCA that keeps a share", partial(fitted, PCA(0.9, random_state=0, whiten=True), X)
    yield "Scaled polynomials in a pipeline", partial(fitted, make_pipeline(PolynomialFeatures(2), scale), frame)
    yield "NearestNeighbors of a frame", partial(fitted, NearestNeighbors(n_neighbors=3), frame)
    yield "NearestNeighbors by cosine", partial(fitted, NearestNeighbors(n_neighbors=2, metric="cosine"), X)
    yield (
        "KNeighborsClassifier in a pipeline",
        partial(fitted, make_pipeline(scale, KNeighborsClassifier()), X, data.WORD),
    )
    yield "SVC of two classes", partial(fitted, SVC(), X, data.YES)
    yield "SVC one against one", partial(fitted, SVC(decision_function_shape="ovo"), X, data.WORD)
    yield (
        "OneHotEncoder of a frame as pandas",
        partial(fitted, OneHotEncoder(sparse_output=False).set_output(transform="pandas"), data.PEOPLE[["plan"]]),
    )
    yield "SelectKBest of a frame", partial(fitted, SelectKBest(k=2), frame, data.CLASS)


class ByName(BaseEstimator):
    """Predicts an object for each row."""

    def fit(self, X: Any, y: Any) -> ByName:
        self.inner_ = LinearRegression().fit(X, y)
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: Any) -> Any:
        return [{"price": row[0], "days": row[1]} for row in self.inner_.predict(X)]


class AsFrame(ByName):
    """Predicts a DataFrame with a number and a word."""

    def predict(self, X: Any) -> Any:
        values = self.inner_.predict(X)
        return pd.DataFrame({"price": values[:, 0], "level": np.where(values[:, 1] > 0, "high", "low")})


class AsSeries(ByName):
    """Predicts a Series."""

    def predict(self, X: Any) -> Any:
        return pd.Series(self.inner_.predict(X)[:, 0], name="price")


class AsList(ByName):
    """Predicts a list of words."""

    def predict(self, X: Any) -> Any:
        return ["high" if row[0] > 3 else "low" for row in self.inner_.predict(X)]


def _by_value(model: Any) -> Saved:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return fitted(model, data.X, data.NUMBERS)


def _own() -> Iterator[tuple[str, Callable[[], Saved]]]:
    for kind in (ByName, AsFrame, AsSeries, AsList):
        yield f"Own class that predicts {kind.__name__}, by cloudpickle", partial(_by_value, kind())
