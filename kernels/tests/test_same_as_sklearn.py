"""Forests and ColumnTransformers drawn at random: the fast way answers what scikit-learn answers."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from modelgate_kernels.kernel import NotCovered
from modelgate_kernels.layout import Column, InputFormat, Kind, Layout, Row, Value
from modelgate_kernels.matrix import to_matrix
from modelgate_kernels.table import find_kernel
from scipy import sparse
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from kernels.tests.test_columns import assert_same_matrix, transform_rows

SOAK = int(os.environ.get("SOAK", "1"))
"""How many times as many as in `make test` are drawn."""

pytestmark = pytest.mark.filterwarnings("ignore")


def outcome(ask: Callable[[], Any]) -> tuple[Any, str]:
    """Return the answer, or the text of the exception."""
    try:
        return ask(), ""
    except (ValueError, TypeError, IndexError, NotCovered) as error:
        return None, f"{type(error).__name__}: {error}"


# Forests


def a_forest(draw: random.Random, generator: np.random.Generator) -> tuple[Any, Any]:
    """Return a fitted forest and its matrix; None for the forest if its parameters do not fit the data."""
    count, width, classes = draw.choice([1, 2, 60]), draw.randrange(1, 5), draw.randrange(1, 4)
    X: Any = generator.normal(size=(count, width)) * draw.choice([1e-3, 1, 1e30])
    if draw.random() < 0.3:
        X = np.where(generator.random(X.shape) < 0.15, np.nan, X)
    elif draw.random() < 0.2:
        X = sparse.csr_matrix(X)
    regression = draw.random() < 0.4
    labels = draw.choice([["a", "bb", "c"], [True, False, True], [-1, 0, 7], [1.5, 2.5, 0.0]])
    y = generator.normal(size=count) if regression else np.array(labels)[generator.integers(0, classes, size=count)]
    kinds = (RandomForestRegressor, ExtraTreesRegressor), (RandomForestClassifier, ExtraTreesClassifier)
    forest = draw.choice(kinds[not regression])(
        n_estimators=draw.choice([1, 7]),
        max_depth=draw.choice([None, 1]),
        bootstrap=draw.random() < 0.5,
        monotonic_cst=draw.choice([None, [draw.choice([-1, 0, 1]) for _ in range(width)]]),
        random_state=draw.randrange(1000),
    )
    if not regression:
        forest.class_weight = draw.choice([None, "balanced"])
    weights = generator.random(count) if draw.random() < 0.3 else None
    several = np.column_stack([y, y[::-1]]) if draw.random() < 0.1 else y
    return outcome(lambda: forest.fit(X, several, sample_weight=weights))[0], X


def answers(forest: Any, rows: Any, classes: bool) -> tuple[Any, Any]:
    kernel = find_kernel(forest)
    if kernel is None:
        return forest.predict(rows), forest.predict_proba(rows) if classes else None
    raw = kernel.raw(rows)
    return kernel.predict(raw), kernel.predict_proba(raw) if classes else None


def near_thresholds(forest: Any, X: Any, generator: np.random.Generator) -> Any:
    """Return rows of float64 at the thresholds of the trees, which compare them as float32."""
    thresholds = np.concatenate([tree.tree_.threshold for tree in forest.estimators_])
    rows = generator.choice(thresholds, size=(generator.choice([1, 20]), X.shape[1]))
    rows = rows * (1 + generator.choice([0, 1e-8, -1e-8, 1e-7, -1e-7], size=rows.shape))
    if sparse.issparse(X):
        return sparse.csr_matrix(rows)
    return np.where(generator.random(rows.shape) < 0.1 * generator.integers(2), np.nan, rows)


def test_any_forest_answers_as_scikit_learn_does() -> None:
    compared = 0
    for seed in range(80 * SOAK):
        forest, X = a_forest(random.Random(seed), generator := np.random.default_rng(seed))
        if forest is None:
            continue
        rows, classes = near_thresholds(forest, X, generator), hasattr(forest, "classes_")
        expected = outcome(lambda: (forest.predict(rows), forest.predict_proba(rows) if classes else None))  # noqa: B023
        answered = outcome(lambda: answers(forest, rows, classes))  # noqa: B023
        assert answered[1] == expected[1], seed
        if expected[0]:
            compared += 1
            assert answered[0][0].dtype == expected[0][0].dtype, seed
            for here, there in zip(answered[0], expected[0], strict=True):
                np.testing.assert_array_equal(here, np.asarray(there) if classes else there, err_msg=f"seed {seed}")
    assert compared > 40 * SOAK


# ColumnTransformers

NUMBERS: tuple[Callable[[], Any], ...] = (
    lambda: SimpleImputer(add_indicator=True, keep_empty_features=True),
    lambda: SimpleImputer(strategy="constant", fill_value=-1),
    lambda: make_pipeline(SimpleImputer(strategy="median"), "passthrough", StandardScaler()),
    lambda: make_pipeline(SimpleImputer(), make_pipeline(MaxAbsScaler(), MinMaxScaler(clip=True))),
    lambda: FunctionTransformer(),
    lambda: FunctionTransformer(np.abs),
    RobustScaler,
    lambda: OneHotEncoder(min_frequency=5, handle_unknown="infrequent_if_exist"),
    lambda: "passthrough",
    lambda: "drop",
)
WORDS: tuple[Callable[[], Any], ...] = (
    OneHotEncoder,
    lambda: OneHotEncoder(handle_unknown="ignore", sparse_output=False, drop="first", dtype=np.float32),
    lambda: OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
    lambda: make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(), StandardScaler(with_mean=False)),
    lambda: make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), OrdinalEncoder()),
    lambda: FeatureUnion([("one", OneHotEncoder()), ("two", OrdinalEncoder())]),
    lambda: "passthrough",
    lambda: "drop",
)


def some_columns(draw: random.Random) -> tuple[Column, ...]:
    kinds = draw.choices([Kind.NUMBER, Kind.INTEGER, Kind.STRING, Kind.BOOLEAN], [4, 2, 4, 1], k=draw.randrange(2, 8))
    return tuple(Column(f"f{i}", kind, nullable=draw.random() < 0.5) for i, kind in enumerate(kinds))


def some_rows(draw: random.Random, columns: Sequence[Column], count: int, *, seen: bool) -> list[Row]:
    """Return rows of values that a transformer has `seen`, or of any values."""

    def value(field: Column) -> Value:
        if field.nullable and draw.random() < 0.15:
            return None
        match field.kind:
            case Kind.STRING:
                return draw.choice(["a", "bb", "süd", "", "0"] + ([] if seen else ["nan", "unseen"]))
            case Kind.BOOLEAN:
                return draw.random() < 0.5
            case Kind.INTEGER:
                return draw.randrange(4)
        return draw.choice([draw.gauss(0, 100), float(draw.randrange(4)), -0.0, 0.0 if seen else 1e300])

    return [tuple(value(field) for field in columns) for _ in range(count)]


def selected(draw: random.Random, names: list[str], all_names: list[str], input_format: InputFormat) -> Any:
    """Return `names` in one of the ways in which columns can be named."""
    places = [all_names.index(name) for name in names]
    ways = [places, np.array([name in names for name in all_names]), lambda X: places]
    if input_format is InputFormat.ARRAY:
        return draw.choice([*ways, slice(places[0], places[0] + 1)])
    ways = [
        *ways,
        names,
        lambda X: names,
        make_column_selector("|".join(f"^{name}$" for name in names)),
        slice(names[0], names[0]),
    ]
    return draw.choice(ways)


def a_transformer(
    draw: random.Random, columns: Sequence[Column], input_format: InputFormat = InputFormat.DATAFRAME
) -> ColumnTransformer:
    all_names = [field.name for field in columns]
    words = [field.name for field in columns if field.kind is Kind.STRING]
    numbers = [field.name for field in columns if field.kind in (Kind.NUMBER, Kind.INTEGER)]
    parts = []
    for index in range(draw.randrange(1, 4)):
        names, known = draw.choice([(words, WORDS), (numbers, NUMBERS)])
        if names:
            chosen = draw.sample(names, draw.randrange(1, len(names) + 1))
            parts.append((str(index), draw.choice(known)(), selected(draw, chosen, all_names, input_format)))
    remainder = draw.choice(["drop", "drop", "passthrough", SimpleImputer(strategy="most_frequent")])
    transformer = ColumnTransformer(parts, remainder=remainder, sparse_threshold=draw.choice([0, 0.3, 1]))
    return transformer.set_output(transform="pandas") if draw.random() < 0.1 else transformer


def test_any_column_transformer_answers_as_scikit_learn_does() -> None:
    compared = left = 0
    for seed in range(80 * SOAK):
        draw = random.Random(seed)
        input_format = draw.choice([InputFormat.DATAFRAME, InputFormat.DATAFRAME, InputFormat.ARRAY])
        transformer = a_transformer(draw, columns := some_columns(draw), input_format)
        fitted_on = to_matrix(some_rows(draw, columns, 50, seen=True), columns, input_format)
        if outcome(lambda: transformer.fit(fitted_on))[1]:  # noqa: B023
            continue
        for count, seen in ((1, True), (1, False), (20, True), (20, False)):
            rows = some_rows(draw, columns, count, seen=seen)
            matrix = to_matrix(rows, columns, input_format)
            expected, raises = outcome(lambda: transformer.transform(matrix))  # noqa: B023
            transformed, raised = outcome(lambda: transform_rows(transformer, rows, Layout(columns, input_format)))  # noqa: B023
            if transformed is None and not raised:
                continue  # it takes a DataFrame
            if raised:  # then the estimator is asked
                left += not raises
                continue
            compared += 1
            assert not raises, seed
            assert_same_matrix(transformed, expected, f"seed {seed}")
    assert compared > 160 * SOAK
    assert left < 5 * SOAK
