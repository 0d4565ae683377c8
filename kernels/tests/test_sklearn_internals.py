"""Each use of a private name of scikit-learn has a way around it that gives the same answers."""

from __future__ import annotations

import importlib
import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelgate_kernels import boosting, find, forests, joined_trees, own_answers, predict, sklearn_internals
from modelgate_kernels.layout import InputFormat
from modelgate_kernels.matrix import to_matrix
from modelgate_kernels.sklearn_internals import trees
from modelgate_kernels.table import find_kernel
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from kernels.tests.test_columns import COLUMNS, FREQUENT, LAYOUT, MEAN, NUMBERS, WORDS, made_up, transform_rows
from kernels.tests.test_same_as_sklearn import a_transformer, outcome, some_columns, some_rows

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 4))
LABELS = np.array(["no", "perhaps", "yes"])[np.digitize(X.sum(axis=1), [-1, 1])]
TARGETS = X @ [1.0, 2.0, 3.0, 4.0]
GAPS = np.where(RANDOM.random(X.shape) < 0.1, np.nan, X)


def no(*_: Any) -> bool:
    return False


@pytest.mark.parametrize("matrix", [X, GAPS, sparse.csr_matrix(X)], ids=["dense", "gaps", "sparse"])
@pytest.mark.parametrize(
    ("forest", "y"),
    [
        (RandomForestClassifier(20, random_state=0), LABELS),
        (ExtraTreesClassifier(20, random_state=0), LABELS == "yes"),
        (RandomForestRegressor(20, random_state=0), TARGETS),
        (ExtraTreesRegressor(20, random_state=0), TARGETS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_forest_that_checks_its_rows_in_another_way_answers_the_same(
    forest: Any, y: Any, matrix: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    forest.fit(matrix, y)
    probabilities = hasattr(forest, "classes_")
    kernel = find_kernel(forest)
    assert kernel
    raw = kernel.raw(matrix)
    values, table = kernel.predict(raw), kernel.predict_proba(raw) if probabilities else None
    monkeypatch.setattr(forests, "can_check_forest_rows", no)
    assert find_kernel(forest) is None
    slow_values, slow_table = forest.predict(matrix), forest.predict_proba(matrix) if probabilities else None
    assert values.dtype == slow_values.dtype
    np.testing.assert_array_equal(values, slow_values)
    assert (table is None) == (slow_table is None)
    if table is not None:
        np.testing.assert_array_equal(table, slow_table)


@pytest.mark.parametrize("count", [1, 30])
@pytest.mark.parametrize(
    "transformer",
    [
        make_column_transformer((make_pipeline(MEAN, StandardScaler()), NUMBERS), (OneHotEncoder(), WORDS)),
        make_column_transformer((MEAN, NUMBERS), (make_pipeline(FREQUENT, OrdinalEncoder()), WORDS)),
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["job"]), sparse_threshold=1.0),
    ],
    ids=["dense", "ordinal", "sparse"],
)
def test_a_column_transformer_whose_output_is_unknown_answers_the_same(
    transformer: ColumnTransformer, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted_to, rows = made_up(200, 1), made_up(count, 2)
    frame, labels = to_matrix(fitted_to, COLUMNS, InputFormat.DATAFRAME), [row[-1] for row in fitted_to]

    def answers() -> list[Any]:
        pipeline = make_pipeline(clone(transformer), DecisionTreeClassifier(random_state=0)).fit(frame, labels)
        used_arrays.append(transform_rows(pipeline.steps[0][1], rows) is not None)
        kernel = find(pipeline, LAYOUT)
        methods = ["predict", "predict_proba"]
        return predict(kernel, rows, methods) if kernel else own_answers(pipeline, rows, LAYOUT, methods)

    used_arrays: list[bool] = []
    values, table = answers()
    monkeypatch.setattr(sklearn_internals, "can_see_outputs", no)
    slow_values, slow_table = answers()
    assert used_arrays == [True, False]
    np.testing.assert_array_equal(values, slow_values)
    np.testing.assert_array_equal(table, slow_table)


def assert_places_are_found_without_the_private_name(transformer: ColumnTransformer) -> None:
    known = sklearn_internals.column_places(transformer)
    assert known is not None
    del transformer._transformer_to_input_indices
    expected = {name: list(known[name]) for name, _, _ in transformer.transformers_}
    assert sklearn_internals.column_places(transformer) == expected


def test_the_places_of_columns_follow_from_what_a_column_transformer_shows() -> None:
    compared = 0
    for seed in range(40):
        draw = random.Random(seed)
        transformer = a_transformer(draw, columns := some_columns(draw))
        frame = to_matrix(some_rows(draw, columns, 20, seen=True), columns, InputFormat.DATAFRAME)
        if not outcome(lambda: transformer.fit(frame))[1]:  # noqa: B023
            assert_places_are_found_without_the_private_name(transformer)
            compared += 1
    assert compared > 20


@pytest.mark.parametrize(
    "columns", [[-1, 0], slice(1, None), slice(0, 3, 2), slice(-2, -1), 2, "b", slice("b", "c"), slice("b", None)]
)
def test_the_places_of_columns_that_are_named_in_unusual_ways(columns: Any) -> None:
    as_column = FunctionTransformer(lambda column: np.asarray(column).reshape(-1, 1))
    inner = as_column if isinstance(columns, int | str) else MEAN
    frame = pd.DataFrame(X[:, :3], columns=list("abc"))
    assert_places_are_found_without_the_private_name(ColumnTransformer([("x", inner, columns)]).fit(frame))


def test_a_column_transformer_with_unknown_places_gets_a_dataframe() -> None:
    transformer = make_column_transformer((MEAN, NUMBERS)).fit(to_matrix(made_up(9, 1), COLUMNS, InputFormat.DATAFRAME))
    del transformer._transformer_to_input_indices
    transformer.transformers_ = [("mean", MEAN, ["another column"])]
    assert sklearn_internals.column_places(transformer) is None
    assert transform_rows(transformer, made_up(1, 1)) is None


def test_other_estimators_have_no_places_of_columns() -> None:
    assert sklearn_internals.column_places(StandardScaler().fit(X)) is None
    assert sklearn_internals.column_places(ColumnTransformer([])) is None
    assert sklearn_internals.column_places(object()) is None


def test_a_changed_set_output_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sklearn_internals.can_see_outputs.__wrapped__()
    monkeypatch.setattr(StandardScaler, "set_output", lambda self, transform: self)
    assert not sklearn_internals.can_see_outputs.__wrapped__()


@pytest.mark.parametrize("check", [None, lambda self, X, copy: X])
def test_a_changed_forest_is_noticed(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trees.can_check_forest_rows.__wrapped__()
    monkeypatch.setattr(RandomForestRegressor, "_validate_X_predict", check)
    assert not trees.can_check_forest_rows.__wrapped__()


FORESTS = [
    RandomForestClassifier(4, random_state=0).fit(X, LABELS),
    RandomForestRegressor(4, random_state=0).fit(X, TARGETS),
    IsolationForest(n_estimators=4, random_state=0).fit(X),
]
BOOSTED = [
    GradientBoostingClassifier(n_estimators=3).fit(X, LABELS),
    HistGradientBoostingRegressor(max_iter=3).fit(X, TARGETS),
]


@pytest.mark.parametrize("forest", FORESTS, ids=lambda forest: type(forest).__name__)
@pytest.mark.parametrize("guard", [(joined_trees, "can_join_trees"), (forests, "can_add_trees")], ids=["join", "add"])
def test_a_forest_whose_trees_are_asked_one_by_one_answers_the_same(
    forest: Any, guard: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = find_kernel(forest)
    monkeypatch.setattr(*guard, no)
    slow = find_kernel(forest)
    assert fast is not None and slow is not None
    for rows in (X, X[:1]):
        np.testing.assert_array_equal(slow.predict(slow.raw(rows)), forest.predict(rows))
        np.testing.assert_array_equal(slow.raw(rows), fast.raw(rows))


@pytest.mark.parametrize("estimator", BOOSTED, ids=lambda estimator: type(estimator).__name__)
def test_gradient_boosting_with_other_internals_has_no_kernel(estimator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_kernel(estimator)
    for name in ("can_start_boosting", "can_read_histogram_trees"):
        monkeypatch.setattr(boosting, name, no)
    assert find_kernel(estimator) is None


@pytest.mark.parametrize(
    ("guard", "module", "name"),
    [
        (trees.can_join_trees, "sklearn.tree._tree", "Tree"),
        (trees.can_join_trees, "sklearn.tree._tree", "NODE_DTYPE"),
        (trees.can_add_trees, "sklearn.ensemble._gradient_boosting", "predict_stages"),
        (trees.can_start_boosting, "sklearn.ensemble._gb", "_init_raw_predictions"),
        (
            trees.can_read_histogram_trees,
            "sklearn.ensemble._hist_gradient_boosting._predictor",
            "_predict_from_raw_data",
        ),
        (trees.can_read_histogram_trees, "sklearn.ensemble._hist_gradient_boosting.common", "PREDICTOR_RECORD_DTYPE"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_changed_trees_are_noticed(guard: Any, module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert guard.__wrapped__()
    changed = np.dtype([("another", "f8")]) if name.isupper() else lambda other: None
    monkeypatch.setattr(importlib.import_module(module), name, changed)
    assert not guard.__wrapped__()
    monkeypatch.delattr(importlib.import_module(module), name)
    assert not guard.__wrapped__()
