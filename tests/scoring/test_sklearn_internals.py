"""Each use of a private name of scikit-learn has a way around it that gives the same answers."""

from __future__ import annotations

import ast
import importlib
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.cross_decomposition import CCA, PLSCanonical, PLSRegression
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

from contract.manifest import Artifact, ArtifactFormat, InputFormat
from contract.signature import Output, OutputKind, Signature
from scoring import sklearn_internals
from scoring.estimators import predict_matrix, predict_rows
from scoring.kernels import boosting, forests, joined_trees
from scoring.kernels.model_kernel import find_model_kernel
from scoring.kernels.table import find_kernel
from scoring.matrix import to_matrix
from scoring.sklearn_internals import trees
from tests.scoring.kernels.test_columns import FREQUENT, MEAN, NUMBERS, SIGNATURE, WORDS, made_up, transform_rows
from tests.scoring.test_same_as_sklearn import a_signature, a_transformer, outcome, some_rows

ROOT = Path(__file__).parents[2]
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
    slow_values, slow_table = predict_matrix(forest, matrix, probabilities)
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
    frame, labels = to_matrix(fitted_to, SIGNATURE, InputFormat.DATAFRAME), [row[-1] for row in fitted_to]
    artifact = Artifact("", ArtifactFormat.JOBLIB, InputFormat.DATAFRAME, size=0, sha256="")
    signature = Signature(SIGNATURE.inputs, (Output(OutputKind.CLASS, probabilities=True),))

    def answers() -> tuple[Any, Any]:
        pipeline = make_pipeline(clone(transformer), DecisionTreeClassifier(random_state=0)).fit(frame, labels)
        used_arrays.append(transform_rows(pipeline.steps[0][1], rows, SIGNATURE) is not None)
        kernel = find_model_kernel(pipeline, signature, artifact)
        return predict_rows(pipeline, rows, signature, artifact, kernel)[:2]

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
        transformer = a_transformer(draw, signature := a_signature(draw))
        frame = to_matrix(some_rows(draw, signature, 20, seen=True), signature, InputFormat.DATAFRAME)
        if not outcome(lambda: transformer.fit(frame))[1]:  # noqa: B023
            assert_places_are_found_without_the_private_name(transformer)
            compared += 1
    assert compared > 20


@pytest.mark.parametrize(
    "columns", [[-1, 0], slice(1, None), slice(0, 3, 2), slice(-2, -1), 2, "b", slice("b", "c"), slice("b", None)]
)
def test_the_places_of_columns_that_are_named_in_unusual_ways(columns: Any) -> None:
    one = FunctionTransformer(lambda column: np.asarray(column).reshape(-1, 1))
    inner = one if isinstance(columns, int | str) else MEAN
    frame = pd.DataFrame(X[:, :3], columns=list("abc"))
    assert_places_are_found_without_the_private_name(ColumnTransformer([("x", inner, columns)]).fit(frame))


def test_a_column_transformer_with_unknown_places_gets_a_dataframe() -> None:
    transformer = make_column_transformer((MEAN, NUMBERS)).fit(
        to_matrix(made_up(9, 1), SIGNATURE, InputFormat.DATAFRAME)
    )
    del transformer._transformer_to_input_indices
    transformer.transformers_ = [("mean", MEAN, ["another column"])]
    assert sklearn_internals.column_places(transformer) is None
    assert transform_rows(transformer, made_up(1, 1), SIGNATURE) is None


def test_other_estimators_have_no_places_of_columns() -> None:
    assert sklearn_internals.column_places(StandardScaler().fit(X)) is None
    assert sklearn_internals.column_places(ColumnTransformer([])) is None
    assert sklearn_internals.column_places(object()) is None


@pytest.mark.parametrize("kind", [PLSRegression, PLSCanonical, CCA])
def test_the_coefficients_of_a_pls_follow_from_its_methods(kind: Any) -> None:
    y = np.column_stack([TARGETS, X[:, 0] + RANDOM.normal(size=200)])
    pls = kind(n_components=2).fit(X * [1, 10, 100, 1000] + 50, y)
    np.testing.assert_allclose(sklearn_internals.pls_coefficients(pls), pls.coef_)
    names = ("x_rotations_", "transform", "inverse_transform")
    without_scales = SimpleNamespace(**{name: getattr(pls, name) for name in names})
    np.testing.assert_allclose(sklearn_internals.pls_coefficients(without_scales), pls.coef_)


Break = Callable[[pytest.MonkeyPatch], None]


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


LIBRARIES = ("sklearn", "numpy", "pandas", "joblib", "scipy")


def private_names(path: Path) -> set[str]:
    """Return the private names that a module imports from libraries, and private attributes of others."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LIBRARIES:
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            found |= {part for part in parts if part.startswith("_")}
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            found |= {node.attr} if owner not in ("self", "cls", "os", "sys") else set()
    return found - {"_replace", "_fields"}


@pytest.mark.parametrize("folder", ["scoring", "trainer", "worker", "bench"])
def test_only_one_module_uses_private_names_of_libraries(folder: str) -> None:
    package = Path(sklearn_internals.__file__).parent
    modules = {path for path in Path(ROOT, folder).rglob("*.py") if path.parent != package}
    assert {path.name: names for path in modules if (names := private_names(path))} == {}
