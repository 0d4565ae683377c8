"""Each use of a private name of scikit-learn has a way around it that gives the same answers."""

from __future__ import annotations

import ast
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
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from contract.manifest import Artifact, ArtifactFormat, InputFormat, Output, OutputKind, Signature
from scoring import estimators, sklearn_internals
from scoring.columns import transform_rows
from scoring.estimators import predict_matrix, predict_rows
from scoring.matrix import to_matrix
from tests.scoring.test_columns import FREQUENT, MEAN, NUMBERS, SIGNATURE, WORDS, made_up
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
    values, table = predict_matrix(forest, matrix, probabilities)
    monkeypatch.setattr(estimators, "can_check_forest_rows", no)
    monkeypatch.setattr(estimators, "forest_rows", None)  # which is not used
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
def test_a_column_transformer_that_stacks_in_another_way_answers_the_same(
    transformer: ColumnTransformer, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted_to, rows = made_up(200, 1), made_up(count, 2)
    frame, labels = to_matrix(fitted_to, SIGNATURE, InputFormat.DATAFRAME), [row[-1] for row in fitted_to]
    artifact = Artifact("", ArtifactFormat.JOBLIB, InputFormat.DATAFRAME, size=0, sha256="")
    signature = Signature(SIGNATURE.inputs, Output(OutputKind.CLASS, probabilities=True))

    def answers() -> tuple[Any, Any]:
        pipeline = make_pipeline(clone(transformer), DecisionTreeClassifier(random_state=0)).fit(frame, labels)
        used_arrays.append(transform_rows(pipeline.steps[0][1], rows, SIGNATURE) is not None)
        return predict_rows(pipeline, rows, signature, artifact)

    used_arrays: list[bool] = []
    values, table = answers()
    monkeypatch.setattr(sklearn_internals, "can_stack", no)
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


@pytest.mark.parametrize(
    "broken",
    [
        lambda patch: patch.delattr(ColumnTransformer, "_hstack"),
        lambda patch: patch.setattr(ColumnTransformer, "_hstack", lambda self, Xs: None),
        lambda patch: patch.setattr(StandardScaler, "set_output", lambda self, transform: self),
    ],
)
def test_a_changed_column_transformer_is_noticed(broken: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sklearn_internals.can_stack.__wrapped__()
    broken(monkeypatch)
    assert not sklearn_internals.can_stack.__wrapped__()


@pytest.mark.parametrize("check", [None, lambda self, X, copy: X])
def test_a_changed_forest_is_noticed(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sklearn_internals.can_check_forest_rows.__wrapped__()
    monkeypatch.setattr(RandomForestRegressor, "_validate_X_predict", check)
    assert not sklearn_internals.can_check_forest_rows.__wrapped__()


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
    modules = set(Path(ROOT, folder).rglob("*.py")) - {Path(sklearn_internals.__file__)}
    assert {path.name: names for path in modules if (names := private_names(path))} == {}
