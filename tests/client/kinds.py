"""Thirty kinds of fitted estimators, each with rows that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import make_multilabel_classification
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge, SGDClassifier
from sklearn.mixture import GaussianMixture
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

_random = np.random.default_rng(0)
X = _random.normal(size=(120, 4)).round(3)
FRAME = pd.DataFrame(X, columns=["a", "b", "c", "d"])
NUMBERS = X[:, 0] * 3 - X[:, 1] + 0.5
INTS = (NUMBERS > 0).astype(np.int64) + (NUMBERS > 2)
WORDS = np.array(["no", "maybe", "certainly"])[INTS]
BOOLS = NUMBERS > 0
MIXED = pd.DataFrame(
    {"age": _random.integers(18, 80, 120), "city": _random.choice(["Rome", "Oslo", "Lima"], 120), "paid": BOOLS}
)
HOLES = FRAME.mask(_random.random(FRAME.shape) < 0.2)
TEXTS = [f"{word} {'win money now' if bad else 'see you at lunch'}" for word, bad in zip(WORDS, BOOLS, strict=True)]
RECORDS = [{"city": city, "visits": visits} for city, visits in zip(MIXED.city, MIXED.age.tolist(), strict=True)]


class Doubles:
    """An estimator of the user's own, which answers with a Series."""

    n_features_in_ = 4

    def fit(self, X: Any, y: Any) -> Doubles:
        return self

    def predict(self, X: Any) -> Any:
        return pd.Series(np.asarray(X, dtype=float)[:, 0] * 2, index=getattr(X, "index", None))


def _pandas_scaler() -> Any:
    return make_pipeline(StandardScaler(), PCA(2)).set_output(transform="pandas").fit(FRAME)


def _mixed() -> Any:
    columns = ColumnTransformer([("city", OneHotEncoder(), ["city"])], remainder="passthrough")
    return make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(MIXED, WORDS)


KINDS: Mapping[str, tuple[Callable[[], Any], Any]] = {
    "logistic_words": (lambda: LogisticRegression().fit(FRAME, WORDS), FRAME),
    "logistic_objects": (lambda: LogisticRegression().fit(FRAME, pd.Series(WORDS, dtype=object)), FRAME),
    "linear": (lambda: LinearRegression().fit(FRAME, NUMBERS), FRAME),
    "linear_column": (lambda: LinearRegression().fit(X, NUMBERS.reshape(-1, 1)), X),
    "ridge_two_targets": (lambda: Ridge().fit(X, np.column_stack([NUMBERS, -NUMBERS])), X),
    "poisson": (lambda: PoissonRegressor().fit(X, INTS), X),
    "sgd": (lambda: SGDClassifier(random_state=0).fit(FRAME, BOOLS), FRAME),
    "tree_floats": (lambda: DecisionTreeClassifier(random_state=0).fit(X, INTS.astype(float)), X),
    "tree_regressor": (lambda: DecisionTreeRegressor(random_state=0).fit(FRAME, NUMBERS), FRAME),
    "forest": (lambda: RandomForestClassifier(10, random_state=0).fit(FRAME, INTS.astype(np.int32)), FRAME),
    "extra_trees": (lambda: ExtraTreesRegressor(10, random_state=0).fit(X, NUMBERS), X),
    "gradient_boosting": (lambda: GradientBoostingClassifier(n_estimators=5).fit(FRAME, WORDS), FRAME),
    "hist_boosting_holes": (lambda: HistGradientBoostingClassifier(max_iter=5).fit(HOLES, INTS), HOLES),
    "neighbors": (lambda: KNeighborsClassifier(3).fit(FRAME, WORDS), FRAME),
    "svc": (lambda: SVC().fit(FRAME, INTS), FRAME),
    "naive_bayes": (lambda: GaussianNB().fit(X, BOOLS), X),
    "network": (lambda: MLPClassifier((5,), max_iter=30, random_state=0).fit(FRAME, WORDS), FRAME),
    "discriminant": (lambda: LinearDiscriminantAnalysis().fit(X, INTS.astype(np.uint8)), X),
    "gaussian_process": (lambda: GaussianProcessRegressor().fit(X[:40], NUMBERS[:40]), X),
    "calibrated": (lambda: CalibratedClassifierCV(GaussianNB(), cv=2).fit(FRAME, WORDS), FRAME),
    "stacking": (
        lambda: StackingClassifier([("tree", DecisionTreeClassifier(random_state=0))], cv=2).fit(FRAME, WORDS),
        FRAME,
    ),
    "voting": (
        lambda: VotingRegressor([("a", LinearRegression()), ("b", DecisionTreeRegressor())]).fit(FRAME, NUMBERS),
        FRAME,
    ),
    "transformed_target": (
        lambda: TransformedTargetRegressor(Ridge(), func=np.sinh, inverse_func=np.arcsinh).fit(FRAME, NUMBERS),
        FRAME,
    ),
    "isotonic": (lambda: IsotonicRegression(out_of_bounds="clip").fit(X[:, :1], NUMBERS), X[:, :1]),
    "dummy": (lambda: DummyClassifier().fit(FRAME, WORDS), FRAME),
    "multi_output": (
        lambda: MultiOutputClassifier(DecisionTreeClassifier(random_state=0)).fit(
            FRAME, np.column_stack([INTS, BOOLS])
        ),
        FRAME,
    ),
    "multi_label": (
        lambda: MLPClassifier((5,), max_iter=30, random_state=0).fit(
            *make_multilabel_classification(120, 4, n_classes=3, random_state=0)
        ),
        X,
    ),
    "kmeans": (lambda: KMeans(3, n_init=1, random_state=0).fit(FRAME), FRAME),
    "isolation_forest": (lambda: IsolationForest(n_estimators=10, random_state=0).fit(FRAME), FRAME),
    "one_class": (lambda: OneClassSVM().fit(X), X),
    "mixture": (lambda: GaussianMixture(2, random_state=0).fit(X), X),
    "mixed_columns": (_mixed, MIXED),
    "texts": (lambda: make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, BOOLS), TEXTS),
    "word_counts": (lambda: make_pipeline(CountVectorizer(), MultinomialNB()).fit(TEXTS, WORDS), pd.Series(TEXTS)),
    "records": (lambda: make_pipeline(DictVectorizer(), Ridge()).fit(RECORDS, NUMBERS), RECORDS),
    "own_class": (lambda: Doubles().fit(FRAME, NUMBERS), FRAME),
    "scaler": (lambda: StandardScaler().fit(FRAME), FRAME),
    "pandas_output": (_pandas_scaler, FRAME),
    "vectorizer": (lambda: TfidfVectorizer().fit(TEXTS), TEXTS),
    "nearest": (lambda: NearestNeighbors(n_neighbors=2).fit(X), X),
}
"""What fits each kind, and rows for it."""

METHODS = (
    *("predict", "predict_proba", "predict_log_proba", "decision_function"),
    *("score_samples", "transform", "kneighbors", "apply"),
)
