"""Fits every kind of estimator under the scikit-learn that runs this file, and saves each with its own answers.

`python tests/zoo/fit.py FOLDER` writes `<kind>.pkl` and `<kind>.json` for each kind. It runs under releases since 1.1
and therefore imports nothing of Modelgate.
"""

from __future__ import annotations

import json
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, LocalOutlierFactor, NearestCentroid
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

ROWS = 240
NEW_ROWS = 400

ON_NUMBERS: dict[str, Any] = {
    "LogisticRegression": LogisticRegression(),
    "LogisticRegressionCV": LogisticRegressionCV(Cs=3),
    "RidgeClassifier": RidgeClassifier(),
    "SGDClassifier": SGDClassifier(loss="modified_huber", random_state=0),
    "LinearRegression": LinearRegression(),
    "Ridge": Ridge(),
    "ElasticNet": ElasticNet(alpha=0.01),
    "PoissonRegressor": PoissonRegressor(),
    "LinearDiscriminantAnalysis": LinearDiscriminantAnalysis(),
    "QuadraticDiscriminantAnalysis": QuadraticDiscriminantAnalysis(),
    "SVC": SVC(),
    "SVC (probability=True)": SVC(probability=True, random_state=0),
    "LinearSVC": LinearSVC(),
    "SVR": SVR(),
    "KNeighborsClassifier": KNeighborsClassifier(),
    "KNeighborsRegressor": KNeighborsRegressor(weights="distance"),
    "NearestCentroid": NearestCentroid(),
    "GaussianNB": GaussianNB(),
    "BernoulliNB": BernoulliNB(),
    "MultinomialNB": make_pipeline(MinMaxScaler(), MultinomialNB()),
    "MLPClassifier": MLPClassifier(hidden_layer_sizes=(8,), max_iter=60, random_state=0),
    "MLPRegressor": MLPRegressor(hidden_layer_sizes=(8,), max_iter=60, random_state=0),
    "GaussianProcessClassifier": GaussianProcessClassifier(),
    "GaussianProcessRegressor": GaussianProcessRegressor(alpha=0.1),
    "DecisionTreeClassifier": DecisionTreeClassifier(max_depth=4, random_state=0),
    "DecisionTreeRegressor": DecisionTreeRegressor(max_depth=4, random_state=0),
    "RandomForestClassifier": RandomForestClassifier(10, max_depth=4, random_state=0),
    "RandomForestRegressor": RandomForestRegressor(10, max_depth=4, random_state=0),
    "ExtraTreesClassifier": ExtraTreesClassifier(10, max_depth=4, random_state=0),
    "ExtraTreesRegressor": ExtraTreesRegressor(10, max_depth=4, random_state=0),
    "BaggingClassifier": BaggingClassifier(n_estimators=5, random_state=0),
    "AdaBoostClassifier": AdaBoostClassifier(n_estimators=8, random_state=0),
    "AdaBoostRegressor": AdaBoostRegressor(n_estimators=8, random_state=0),
    "GradientBoostingClassifier": GradientBoostingClassifier(n_estimators=8, random_state=0),
    "GradientBoostingRegressor": GradientBoostingRegressor(n_estimators=8, random_state=0),
    "HistGradientBoostingClassifier": HistGradientBoostingClassifier(max_iter=8, random_state=0),
    "HistGradientBoostingRegressor": HistGradientBoostingRegressor(max_iter=8, random_state=0),
    "VotingClassifier (linear)": VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft"),
    "VotingClassifier (with a tree)": VotingClassifier(
        [("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=3))], voting="soft"
    ),
    "StackingClassifier (linear)": StackingClassifier([("a", GaussianNB())], LogisticRegression(), cv=3),
    "StackingClassifier (with a forest)": StackingClassifier(
        [("a", RandomForestClassifier(5, max_depth=3, random_state=0))], LogisticRegression(), cv=3
    ),
    "CalibratedClassifierCV (linear)": CalibratedClassifierCV(LogisticRegression(), cv=3),
    "CalibratedClassifierCV (isotonic)": CalibratedClassifierCV(LogisticRegression(), method="isotonic", cv=3),
    "CalibratedClassifierCV (forest)": CalibratedClassifierCV(
        RandomForestClassifier(5, max_depth=3, random_state=0), cv=3
    ),
    "OneVsRestClassifier": OneVsRestClassifier(LogisticRegression()),
    "OneVsOneClassifier": OneVsOneClassifier(LinearSVC()),
    "GridSearchCV": GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=3),
    "KMeans": KMeans(3, n_init=1, random_state=0),
    "MiniBatchKMeans": MiniBatchKMeans(3, n_init=1, random_state=0),
    "GaussianMixture": GaussianMixture(3, random_state=0),
    "BayesianGaussianMixture": BayesianGaussianMixture(n_components=3, random_state=0),
    "IsolationForest": IsolationForest(n_estimators=10, random_state=0),
    "LocalOutlierFactor": LocalOutlierFactor(novelty=True),
    "OneClassSVM": OneClassSVM(),
    "TransformedTargetRegressor": TransformedTargetRegressor(LinearRegression(), func=np.log1p, inverse_func=np.expm1),
    **{
        f"{type(step).__name__} + LogisticRegression": make_pipeline(step, LogisticRegression())
        for step in (
            StandardScaler(),
            PCA(2),
            PolynomialFeatures(),
            SplineTransformer(),
            KBinsDiscretizer(4),
            PowerTransformer(),
            QuantileTransformer(n_quantiles=20),
            FunctionTransformer(np.arctan),
        )
    },
    "SimpleImputer + LogisticRegression": make_pipeline(SimpleImputer(), LogisticRegression()),
}
"""By the name that the table has; fitted on an array of four numbers."""

if "algorithm" in AdaBoostClassifier().get_params():  # until 1.7; the default was another one until 1.5
    ON_NUMBERS["AdaBoostClassifier (SAMME)"] = AdaBoostClassifier(n_estimators=8, algorithm="SAMME", random_state=0)


def _columns(numbers: Any, encoder: Any) -> Any:
    return ColumnTransformer([("numbers", numbers, ["age", "km"]), ("words", encoder, ["plan"])])


ON_A_TABLE: dict[str, Any] = {
    "ColumnTransformer": make_pipeline(
        _columns(StandardScaler(), OneHotEncoder(handle_unknown="ignore")), LogisticRegression()
    ),
    "ColumnTransformer (with an OrdinalEncoder)": make_pipeline(
        _columns("passthrough", OrdinalEncoder()), LogisticRegression()
    ),
    "ColumnTransformer (with an imputer)": make_pipeline(
        _columns(make_pipeline(SimpleImputer(), StandardScaler()), OneHotEncoder(handle_unknown="ignore")),
        LogisticRegression(),
    ),
    "ColumnTransformer (with a forest)": make_pipeline(
        _columns(StandardScaler(), OneHotEncoder(handle_unknown="ignore")),
        RandomForestClassifier(10, max_depth=4, random_state=0),
    ),
    "TfidfVectorizer": make_pipeline(ColumnTransformer([("words", TfidfVectorizer(), "text")]), LogisticRegression()),
}
"""Fitted on a DataFrame with words."""


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    X = rng.normal(size=(ROWS + NEW_ROWS, 4))
    y = (X[:, 0] + X[:, 1] ** 2 + rng.normal(scale=0.3, size=len(X)) > np.array([[0.3], [1.5]])).sum(axis=0)
    plans, words = np.array(["basic", "gold", "plus"]), np.array(["good", "bad", "so so", "very good"])
    frame = pd.DataFrame(
        {
            "age": 40 + 10 * X[:, 0],
            "km": np.exp(X[:, 1]),
            "plan": plans[rng.integers(3, size=len(X))],
            "text": words[rng.integers(4, size=len(X))],
        }
    )
    for name, estimator in ON_NUMBERS.items():
        _save(folder, name, estimator, X, y)
    for name, estimator in ON_A_TABLE.items():
        _save(folder, name, estimator, frame, y)


def _save(folder: Path, name: str, estimator: Any, X: Any, y: Any) -> None:
    """A kind that a release does not have, or cannot fit, leaves no file."""
    new = X[ROWS:]
    target = np.abs(X[:, 0]) + 2 * np.abs(X[:, 1]) if is_regressor(estimator) else y
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator.fit(X[:ROWS], target[:ROWS])
            answers = {
                "columns": list(X.columns) if hasattr(X, "columns") else None,
                "rows": new.to_numpy().tolist() if hasattr(new, "to_numpy") else new.tolist(),
                "predictions": estimator.predict(new).tolist(),
                "probabilities": estimator.predict_proba(new).tolist() if hasattr(estimator, "predict_proba") else None,
            }
            (folder / f"{name}.pkl").write_bytes(pickle.dumps(estimator, protocol=4))
    except (AttributeError, TypeError, ValueError) as error:
        sys.stderr.write(f"{name}: {error}\n")
        return
    (folder / f"{name}.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
