"""The models whose kernels are measured: one or more of each kind that has a kernel."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from modelgate_kernels.layout import Row
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    RANSACRegressor,
    Ridge,
    SGDClassifier,
)
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

ROWS = 2000
SEED = 7
NUMBERS = ("age", "income", "amount", "months", "rate", "debt", "children")
WORDS = {
    "housing": ("own", "rent", "free"),
    "job": ("clerk", "nurse", "driver", "teacher", "engineer", "other"),
    "region": ("north", "south", "east", "west"),
    "purpose": ("car", "house", "study", "travel", "repair"),
    "education": ("none", "school", "bachelor", "master"),
}
TEXT_FEATURES, TEXT_WORDS = 10_000, 80


@dataclass(frozen=True)
class Sample:
    """What an estimator is fitted on, and its rows: a DataFrame, an array or texts."""

    table: Any
    rows: Sequence[Row]
    target: Any


@dataclass(frozen=True)
class Model:
    """An estimator that is not fitted, and the sample to fit it on."""

    name: str
    estimator: Any
    sample: Callable[[], Sample]


@dataclass(frozen=True)
class FittedModel:
    name: str
    estimator: Any
    sample: Sample


def fitted(model: Model) -> FittedModel:
    sample = model.sample()
    return FittedModel(model.name, model.estimator.fit(sample.table, sample.target), sample)


def all_models() -> list[Model]:
    return [*_linear(), *_tables(), *_texts(), *_others(), *_trees(), *_composites(), *_other_libraries()]


# The samples


def classes() -> Sample:
    """Return 20 columns of numbers and a class: 0 or 1. It depends on a few of them, and on noise that makes the trees
    grow."""
    matrix, label = _numbers()
    return Sample(matrix, matrix.tolist(), label)


def three_classes() -> Sample:
    matrix, label = _numbers()
    return Sample(matrix, matrix.tolist(), label + (matrix[:, 5] > 1))


def numbers() -> Sample:
    """Return 20 columns of numbers and a number."""
    matrix, label = _numbers()
    return Sample(matrix, matrix.tolist(), matrix[:, 0] + matrix[:, 1] * matrix[:, 2] + label)


def two_numbers() -> Sample:
    matrix, label = _numbers()
    return Sample(matrix, matrix.tolist(), np.column_stack([matrix[:, 0] + label, matrix[:, 1] * matrix[:, 2]]))


def counts() -> Sample:
    """Return 20 columns of numbers and a number that is not negative."""
    matrix, label = _numbers()
    return Sample(matrix, matrix.tolist(), np.exp(matrix[:, 0]) + label)


def nulls() -> Sample:
    """Return `classes` with 5 % of the cells null."""
    matrix, label = _numbers()
    matrix = np.where(np.random.default_rng(SEED).random(matrix.shape) < 0.05, np.nan, matrix)
    return Sample(matrix, [[None if cell != cell else cell for cell in row] for row in matrix.tolist()], label)


@cache
def mixed() -> Sample:
    """Return 7 columns of numbers and 5 of words, each null in 5 % of the rows, and a class."""
    draw = np.random.default_rng(SEED)
    cells = draw.normal(size=(ROWS, len(NUMBERS))).round(4)
    words = {name: draw.choice(choices, ROWS) for name, choices in WORDS.items()}
    score = cells[:, 0] + cells[:, 1] * cells[:, 2] + (words["job"] == "nurse") - (words["housing"] == "rent")
    rows = np.column_stack([cells.astype(object), *(column.astype(object) for column in words.values())])
    label = (score + draw.normal(scale=0.5, size=ROWS) > 0).astype(int)
    rows[draw.random(rows.shape) < 0.05] = None
    table = pd.DataFrame(rows, columns=[*NUMBERS, *WORDS])
    return Sample(table.astype(dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(WORDS, "str")), rows.tolist(), label)


@cache
def documents() -> Sample:
    """Return texts of made-up words, of which few are frequent and many are rare, as in any language, and a class that
    depends on their letters."""
    draw = np.random.default_rng(SEED)
    letters = draw.choice(list("etaoinshrdlucmfw"), size=(2 * TEXT_FEATURES, 8))
    words = np.array(["".join(word[: 3 + number % 6]) for number, word in enumerate(letters)])
    shares = 1 / np.arange(10, 10 + len(words))
    texts = [" ".join(row) for row in draw.choice(words, (ROWS, TEXT_WORDS), p=shares / shares.sum())]
    amounts = np.array([text.count("e") for text in texts])
    return Sample(texts, [[text] for text in texts], (amounts > np.median(amounts)).astype(int))


@cache
def _numbers() -> tuple[Any, Any]:
    draw = np.random.default_rng(SEED)
    matrix = draw.normal(size=(ROWS, 20)).round(4)
    score = matrix[:, 0] + matrix[:, 1] * matrix[:, 2] - matrix[:, 3] + draw.normal(scale=0.5, size=ROWS)
    return matrix, (score > 0).astype(int)


# The models


def _linear() -> Iterator[Model]:
    yield Model("LinearRegression", LinearRegression(), numbers)
    yield Model("StandardScaler, Ridge", make_pipeline(StandardScaler(), Ridge()), numbers)
    yield Model("LogisticRegression", LogisticRegression(), classes)
    yield Model("LogisticRegression, 3 classes", LogisticRegression(), three_classes)
    yield Model("StandardScaler, LogisticRegression", make_pipeline(StandardScaler(), LogisticRegression()), classes)
    yield Model("MinMaxScaler, LogisticRegression", make_pipeline(MinMaxScaler(), LogisticRegression()), classes)
    reduced = make_pipeline(StandardScaler(), PCA(8), LogisticRegression())
    yield Model("StandardScaler, PCA, LogisticRegression", reduced, classes)
    yield Model("StandardScaler, LinearSVC", make_pipeline(StandardScaler(), LinearSVC()), classes)
    yield Model(
        "StandardScaler, SGDClassifier", make_pipeline(StandardScaler(), SGDClassifier(random_state=SEED)), classes
    )
    yield Model("PoissonRegressor", PoissonRegressor(), counts)
    yield Model("OneVsRest of LogisticRegression", OneVsRestClassifier(LogisticRegression()), three_classes)
    yield Model("OneVsOne of LinearSVC", OneVsOneClassifier(LinearSVC()), three_classes)
    yield Model("RANSACRegressor", RANSACRegressor(random_state=SEED), numbers)
    chosen = make_pipeline(StandardScaler(), SelectKBest(k=8), LogisticRegression())
    yield Model("StandardScaler, SelectKBest, LogisticRegression", chosen, classes)
    union = FeatureUnion([("scaled", StandardScaler()), ("reduced", PCA(4))])
    yield Model("FeatureUnion, LogisticRegression", make_pipeline(union, LogisticRegression()), classes)


def _tables() -> Iterator[Model]:
    yield Model("ColumnTransformer, LogisticRegression", make_pipeline(_columns(), LogisticRegression()), mixed)
    forest = RandomForestClassifier(100, random_state=SEED)
    yield Model("ColumnTransformer, forest", make_pipeline(_columns(), forest), mixed)


def _columns() -> Any:
    numeric = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    return ColumnTransformer([("numbers", numeric, list(NUMBERS)), ("words", words, list(WORDS))])


def _texts() -> Iterator[Model]:
    for estimator in (LogisticRegression(), LinearSVC()):
        yield Model(f"TF-IDF, {type(estimator).__name__}", make_pipeline(TfidfVectorizer(), estimator), documents)
    hashing = make_pipeline(HashingVectorizer(n_features=2**14), LogisticRegression())
    yield Model("HashingVectorizer, LogisticRegression", hashing, documents)
    yield Model("CountVectorizer, MultinomialNB", make_pipeline(CountVectorizer(), MultinomialNB()), documents)


def _others() -> Iterator[Model]:
    yield Model("GaussianNB", GaussianNB(), classes)
    yield Model("BernoulliNB", BernoulliNB(), classes)
    yield Model("QuadraticDiscriminantAnalysis", QuadraticDiscriminantAnalysis(), classes)
    yield Model("StandardScaler, KMeans", make_pipeline(StandardScaler(), KMeans(8, random_state=SEED)), classes)
    yield Model("StandardScaler, SVC", make_pipeline(StandardScaler(), SVC()), classes)
    yield Model(
        "StandardScaler, KNeighborsClassifier", make_pipeline(StandardScaler(), KNeighborsClassifier()), classes
    )
    network = MLPClassifier((64, 32), max_iter=40, random_state=SEED)
    yield Model("StandardScaler, MLPClassifier", make_pipeline(StandardScaler(), network), classes)


def _trees() -> Iterator[Model]:
    yield Model("DecisionTree", DecisionTreeClassifier(max_depth=10, random_state=SEED), classes)
    yield Model("RandomForest, 100 trees", RandomForestClassifier(100, random_state=SEED), classes)
    yield Model("RandomForest with nulls", RandomForestClassifier(100, random_state=SEED), nulls)
    yield Model("RandomForest of numbers", RandomForestRegressor(100, random_state=SEED), numbers)
    yield Model("ExtraTrees, 100 trees", ExtraTreesClassifier(100, random_state=SEED), classes)
    yield Model("IsolationForest", IsolationForest(random_state=SEED), classes)
    yield Model("GradientBoosting", GradientBoostingClassifier(random_state=SEED), classes)
    yield Model("GradientBoosting of numbers", GradientBoostingRegressor(random_state=SEED), numbers)
    yield Model("HistGradientBoosting", HistGradientBoostingClassifier(random_state=SEED), classes)
    yield Model("HistGradientBoosting, 3 classes", HistGradientBoostingClassifier(random_state=SEED), three_classes)
    yield Model("HistGradientBoosting with nulls", HistGradientBoostingClassifier(random_state=SEED), nulls)
    yield Model("HistGradientBoosting of numbers", HistGradientBoostingRegressor(random_state=SEED), numbers)
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer([("words", codes, list(WORDS)), ("numbers", "passthrough", list(NUMBERS))])
    boosting = HistGradientBoostingClassifier(random_state=SEED, categorical_features=range(len(WORDS)))
    yield Model("HistGradientBoosting with categories", make_pipeline(columns, boosting), mixed)


def _composites() -> Iterator[Model]:
    members = [
        ("linear", make_pipeline(StandardScaler(), LogisticRegression())),
        ("boosting", HistGradientBoostingClassifier(random_state=SEED)),
        ("forest", RandomForestClassifier(100, random_state=SEED)),
    ]
    yield Model("soft vote of three", VotingClassifier(members, voting="soft"), classes)
    yield Model("hard vote of three", VotingClassifier(members), classes)
    forest = RandomForestRegressor(100, random_state=SEED)
    logarithm = TransformedTargetRegressor(Ridge(), func=np.arcsinh, inverse_func=np.sinh)
    yield Model("TransformedTargetRegressor of Ridge", logarithm, numbers)
    yield Model("mean of two", VotingRegressor([("linear", Ridge()), ("forest", forest)]), numbers)
    yield Model("StackingClassifier of three", StackingClassifier(members, cv=3), classes)
    calibrated = CalibratedClassifierCV(make_pipeline(StandardScaler(), LinearSVC()))
    yield Model("CalibratedClassifierCV of LinearSVC", calibrated, classes)
    yield Model(
        "CalibratedClassifierCV of forests", CalibratedClassifierCV(members[2][1], method="isotonic", cv=3), classes
    )
    yield Model("FixedThresholdClassifier", FixedThresholdClassifier(LogisticRegression(), threshold=0.3), classes)
    yield Model("MultiOutputRegressor of Ridge", MultiOutputRegressor(Ridge()), two_numbers)
    yield Model("RegressorChain of Ridge", RegressorChain(Ridge()), two_numbers)
    yield Model("Bagging of 10 trees", BaggingClassifier(DecisionTreeClassifier(), random_state=SEED), classes)
    yield Model("AdaBoost, 50 stumps", AdaBoostClassifier(random_state=SEED), classes)


def _other_libraries() -> Iterator[Model]:
    if importlib.util.find_spec("xgboost"):
        from xgboost import XGBClassifier  # the environments of the services need not have it

        yield Model("XGBoost", XGBClassifier(n_jobs=1, random_state=SEED), nulls)
    if importlib.util.find_spec("lightgbm"):
        from lightgbm import LGBMClassifier  # the same

        yield Model("LightGBM", LGBMClassifier(n_jobs=1, random_state=SEED, verbose=-1), nulls)
