"""The models whose kernels are measured, as recipes: one or more of each kind that has a kernel, and what `tabular`
makes."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from modelgate_kernels.matrix import to_matrix
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from bench.models import SEED, TABLE_NUMBERS, TABLE_WORDS, numeric_rows, table_rows, texts
from contract.jobs import Row
from contract.manifest import ArtifactDraft, ArtifactFormat, InputFormat
from contract.signature import Field, Kind, Signature
from scoring.artifacts import use_one_thread
from trainer import recipes
from trainer.recipe import Recipe, Run, Table
from trainer.tables.training_rows import read_table

ROWS = 2000


@dataclass(frozen=True)
class FittedModel:
    """A fitted estimator, what a manifest would say of it, and the rows that it was fitted on."""

    name: str
    estimator: Any
    signature: Signature
    artifact: ArtifactDraft
    rows: Sequence[Row]


def fitted(recipe: Recipe) -> FittedModel:
    data = read_table(recipe, None)
    rows, targets = [tuple(row[:-1]) for row in data.rows], np.array([row[-1] for row in data.rows])
    matrix = to_matrix(rows, recipe.signature().inputs, recipe.input_format)
    estimator = recipe.run_fit(matrix, targets, Run(*recipe.fields), {})
    use_one_thread(estimator)
    artifact = ArtifactDraft(ArtifactFormat.JOBLIB, recipe.input_format)
    return FittedModel(recipe.name, estimator, recipe.signature(estimator), artifact, rows)


def all_models() -> list[Recipe]:
    return [*_linear(), *_tables(), *_texts(), *_others(), *_trees(), *_composites(), *_other_libraries()]


# The rows


def classes() -> Table:
    """Return 20 columns of numbers and a class: 0 or 1."""
    return _with_target(numeric_rows(ROWS), lambda row: int(row[-1]))


def three_classes() -> Table:
    return _with_target(numeric_rows(ROWS), lambda row: int(row[-1]) + int(row[5] > 1))


def numbers() -> Table:
    """Return 20 columns of numbers and a number."""
    return _with_target(numeric_rows(ROWS), lambda row: row[0] + row[1] * row[2] + row[-1])


def nulls() -> Table:
    """Return `classes` with 5 % of the cells null."""
    draw = np.random.default_rng(SEED)
    table = classes()
    rows = [[*(None if draw.random() < 0.05 else cell for cell in row[:-1]), row[-1]] for row in table.rows]
    return dataclasses.replace(table, rows=rows)


def mixed() -> Table:
    """Return 7 columns of numbers and 5 of words with nulls, and a class."""
    return _with_target(table_rows(ROWS), lambda row: int(row[-1]))


def mixed_numbers() -> Table:
    """Return the columns of `mixed`, and a number."""
    return _with_target(table_rows(ROWS), lambda row: (row[0] or 0.0) + 2 * (row[1] or 0.0) + row[-1])


def _with_target(table: Table, target: Callable[[Any], Any]) -> Table:
    """Return the table with another last column: `target` of each row."""
    return dataclasses.replace(table, rows=[[*row[:-1], target(row)] for row in table.rows])


def documents() -> Table:
    """Return a text and a class, which depends on the letters of the text."""
    found = texts(ROWS)
    amounts = [text.count("e") for text in found]
    middle = np.median(amounts)
    return Table("generated", ("text", "target"), [[t, int(a > middle)] for t, a in zip(found, amounts, strict=True)])


def _model(name: str, estimator: Any, data: Callable[[], Table] = classes) -> Recipe:
    return _recipe(name, lambda X, y: estimator.fit(X, y), data)


def _recipe(name: str, fit: Callable[..., Any], data: Callable[[], Table]) -> Recipe:
    *names, target = data().columns
    has_nulls = data in (nulls, mixed, mixed_numbers)
    inputs = [Field(i, Kind.STRING if i in (*TABLE_WORDS, "text") else Kind.NUMBER, has_nulls) for i in names]
    formats = {mixed: InputFormat.DATAFRAME, mixed_numbers: InputFormat.DATAFRAME, documents: InputFormat.TEXTS}
    kind = Kind.NUMBER if data in (numbers, mixed_numbers) else Kind.INTEGER
    return Recipe(
        name, tuple(inputs), Field(target, kind), fit, data, input_format=formats.get(data, InputFormat.ARRAY)
    )


# The models


def _linear() -> Iterator[Recipe]:
    yield _model("LinearRegression", LinearRegression(), numbers)
    yield _model("StandardScaler, Ridge", make_pipeline(StandardScaler(), Ridge()), numbers)
    yield _model("LogisticRegression", LogisticRegression())
    yield _model("LogisticRegression, 3 classes", LogisticRegression(), three_classes)
    yield _model("StandardScaler, LogisticRegression", make_pipeline(StandardScaler(), LogisticRegression()))
    yield _model("MinMaxScaler, LogisticRegression", make_pipeline(MinMaxScaler(), LogisticRegression()))
    reduced = make_pipeline(StandardScaler(), PCA(8), LogisticRegression())
    yield _model("StandardScaler, PCA, LogisticRegression", reduced)
    yield _model("StandardScaler, LinearSVC", make_pipeline(StandardScaler(), LinearSVC()))
    yield _model("StandardScaler, SGDClassifier", make_pipeline(StandardScaler(), SGDClassifier(random_state=SEED)))
    yield _model("OneVsRest of LogisticRegression", OneVsRestClassifier(LogisticRegression()), three_classes)


def _tables() -> Iterator[Recipe]:
    yield _model("ColumnTransformer, LogisticRegression", make_pipeline(_columns(), LogisticRegression()), mixed)
    forest = RandomForestClassifier(100, random_state=SEED)
    yield _model("ColumnTransformer, forest", make_pipeline(_columns(), forest), mixed)
    for name in ("linear", "boosting", "forest", "blend"):
        yield _tabular(name, mixed)
    yield _tabular("blend", mixed_numbers)


def _columns() -> Any:
    numeric = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    return ColumnTransformer([("numbers", numeric, list(TABLE_NUMBERS)), ("words", words, list(TABLE_WORDS))])


def _tabular(candidate: str, data: Callable[[], Table]) -> Recipe:
    def fit(X: Any, y: Any, run: Run) -> Any:
        return recipes.get("tabular").fit(X, y, run, estimator=candidate)

    return _recipe(f"`tabular`: {candidate}{' of numbers' if data is mixed_numbers else ''}", fit, data)


def _texts() -> Iterator[Recipe]:
    for estimator in (LogisticRegression(), LinearSVC()):
        yield _model(f"TF-IDF, {type(estimator).__name__}", make_pipeline(TfidfVectorizer(), estimator), documents)
    yield _model("CountVectorizer, MultinomialNB", make_pipeline(CountVectorizer(), MultinomialNB()), documents)


def _others() -> Iterator[Recipe]:
    yield _model("GaussianNB", GaussianNB())
    yield _model("StandardScaler, SVC", make_pipeline(StandardScaler(), SVC()))
    yield _model("StandardScaler, KNeighborsClassifier", make_pipeline(StandardScaler(), KNeighborsClassifier()))
    network = MLPClassifier((64, 32), max_iter=40, random_state=SEED)
    yield _model("StandardScaler, MLPClassifier", make_pipeline(StandardScaler(), network))


def _trees() -> Iterator[Recipe]:
    yield _model("DecisionTree", DecisionTreeClassifier(max_depth=10, random_state=SEED))
    yield _model("RandomForest, 100 trees", RandomForestClassifier(100, random_state=SEED))
    yield _model("RandomForest with nulls", RandomForestClassifier(100, random_state=SEED), nulls)
    yield _model("RandomForest of numbers", RandomForestRegressor(100, random_state=SEED), numbers)
    yield _model("ExtraTrees, 100 trees", ExtraTreesClassifier(100, random_state=SEED))
    yield _model("GradientBoosting", GradientBoostingClassifier(random_state=SEED))
    yield _model("GradientBoosting of numbers", GradientBoostingRegressor(random_state=SEED), numbers)
    yield _model("HistGradientBoosting", HistGradientBoostingClassifier(random_state=SEED))
    yield _model("HistGradientBoosting, 3 classes", HistGradientBoostingClassifier(random_state=SEED), three_classes)
    yield _model("HistGradientBoosting with nulls", HistGradientBoostingClassifier(random_state=SEED), nulls)
    yield _model("HistGradientBoosting of numbers", HistGradientBoostingRegressor(random_state=SEED), numbers)
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer([("words", codes, list(TABLE_WORDS)), ("numbers", "passthrough", list(TABLE_NUMBERS))])
    boosting = HistGradientBoostingClassifier(random_state=SEED, categorical_features=range(len(TABLE_WORDS)))
    yield _model("HistGradientBoosting with categories", make_pipeline(columns, boosting), mixed)


def _composites() -> Iterator[Recipe]:
    members = [
        ("linear", make_pipeline(StandardScaler(), LogisticRegression())),
        ("boosting", HistGradientBoostingClassifier(random_state=SEED)),
        ("forest", RandomForestClassifier(100, random_state=SEED)),
    ]
    yield _model("soft vote of three", VotingClassifier(members, voting="soft"))
    yield _model("hard vote of three", VotingClassifier(members))
    forest = RandomForestRegressor(100, random_state=SEED)
    logarithm = TransformedTargetRegressor(Ridge(), func=np.arcsinh, inverse_func=np.sinh)
    yield _model("TransformedTargetRegressor of Ridge", logarithm, numbers)
    yield _model("mean of two", VotingRegressor([("linear", Ridge()), ("forest", forest)]), numbers)
    yield _model("StackingClassifier of three", StackingClassifier(members, cv=3))
    calibrated = CalibratedClassifierCV(make_pipeline(StandardScaler(), LinearSVC()))
    yield _model("CalibratedClassifierCV of LinearSVC", calibrated)
    yield _model("CalibratedClassifierCV of forests", CalibratedClassifierCV(members[2][1], method="isotonic", cv=3))
    yield _model("Bagging of 10 trees", BaggingClassifier(DecisionTreeClassifier(), random_state=SEED))
    yield _model("AdaBoost, 50 stumps", AdaBoostClassifier(random_state=SEED))


def _other_libraries() -> Iterator[Recipe]:
    if importlib.util.find_spec("xgboost"):
        from xgboost import XGBClassifier  # the environments of the services need not have it

        yield _model("XGBoost", XGBClassifier(n_jobs=1, random_state=SEED), nulls)
    if importlib.util.find_spec("lightgbm"):
        from lightgbm import LGBMClassifier  # the same

        yield _model("LightGBM", LGBMClassifier(n_jobs=1, random_state=SEED, verbose=-1), nulls)
