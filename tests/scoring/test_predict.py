"""What a model answers becomes plain values, or a failure that names the model and the cause."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from contract.errors import Code, Failure, ModelgateError
from contract.model.manifest import InputFormat, ModelManifest
from contract.model.signature import Decision, Output, OutputKind
from scoring.kernels import find_version_kernel
from scoring.predict import predict, predict_columns, predict_each
from tests.support import Raises, Sum, numbers, write_version

CLASSES = Output(OutputKind.CLASS, labels=(0, 1), probabilities=True)


@pytest.fixture
def manifest(models: Path) -> ModelManifest:
    return write_version(models, "tiny", None, numbers("a", "b"))


@pytest.fixture
def classifier(models: Path) -> ModelManifest:
    return write_version(models, "tiny", None, numbers("a", "b"), CLASSES)


class Answers:
    """A model that answers with given values."""

    def __init__(self, values: Any, probabilities: Any = None) -> None:
        self.values, self.probabilities = values, probabilities

    def predict(self, X: Any) -> Any:
        return self.values

    def predict_proba(self, X: Any) -> Any:
        return self.probabilities


def failure(estimator: Any, manifest: ModelManifest, rows: int = 1) -> Failure:
    with pytest.raises(ModelgateError) as raised:
        predict(estimator, manifest, [(1.0, 2.0)] * rows)
    assert raised.value.failure.code == Code.MODEL_ERROR
    assert raised.value.failure.message.startswith("version 1 of the model 'tiny' ")
    return raised.value.failure


def test_numbers_are_plain_floats(manifest: ModelManifest) -> None:
    answer = predict(Sum(), manifest, [(1, 2), (3, 4.5)])
    assert (answer.values, answer.probabilities, answer.warnings) == ([3.0, 7.5], None, [])
    assert all(type(value) is float for value in answer.values)


def test_whole_numbers_of_a_regression_are_floats(manifest: ModelManifest) -> None:
    assert [type(v) for v in predict(Answers(np.array([3])), manifest, [(1, 2)]).values] == [float]


def test_classes_and_probabilities_are_what_json_can_hold(classifier: ModelManifest) -> None:
    model = LogisticRegression().fit([[0.0, 0.0], [1.0, 1.0]], [0, 1])
    answer = predict(model, classifier, [(2.0, 2.0)])
    assert json.loads(json.dumps(answer.values)) == [1]
    assert answer.probabilities is not None
    assert sum(p or 0 for p in answer.probabilities[0].values()) == pytest.approx(1)
    assert list(json.loads(json.dumps(answer.probabilities))[0]) == ["0", "1"]


@pytest.mark.parametrize("label", ["yes", True, 3])
def test_a_label_keeps_its_type(models: Path, label: object) -> None:
    manifest = write_version(models, "tiny", None, numbers("a"), Output(OutputKind.CLASS, labels=(label,)))  # type: ignore[arg-type]
    (value,) = predict(Answers(np.array([label])), manifest, [(1.0,)]).values
    assert (type(value), value) == (type(label), label)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, None])
def test_a_prediction_that_is_not_finite_is_null_with_a_warning(manifest: ModelManifest, value: float | None) -> None:
    answer = predict(Answers(np.array([1.0, value])), manifest, [(1, 2)] * 2)
    assert answer.values == [1.0, None]
    assert answer.warnings == ["1 of 2 predictions are not finite numbers and are null: rows 1"]


def test_the_warning_names_the_first_ten_rows(manifest: ModelManifest) -> None:
    (warning,) = predict(Answers(np.full(12, np.nan)), manifest, [(1, 2)] * 12).warnings
    assert warning.endswith("rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …")


def test_a_probability_that_is_not_finite_is_null(classifier: ModelManifest) -> None:
    answer = predict(Answers(np.array([1]), np.array([[np.nan, 1.0]])), classifier, [(1, 2)])
    assert answer.probabilities == [{"0": None, "1": 1.0}]


def test_a_model_that_raises_is_named_with_its_exception(manifest: ModelManifest) -> None:
    error = failure(Raises(), manifest)
    assert error.message.endswith("raised ValueError: it hurts")
    assert error.details == {"model": "tiny", "version": 1, "exception": "ValueError"}


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unspeakable(), "raised Unspeakable: (its message cannot be read: RuntimeError)"),
        (ValueError("half of a \ud800"), "raised ValueError: half of a \\ud800"),
        (ValueError("x" * 1_000_000), "x" * 2000),
    ],
)
def test_every_exception_of_a_model_becomes_a_message(manifest: ModelManifest, error: Exception, said: str) -> None:
    class Fails:
        def predict(self, X: Any) -> Any:
            raise error

    message = failure(Fails(), manifest).message
    assert message.encode().decode().endswith(said)
    assert len(message) < 2100


def test_an_object_without_predict_is_a_model_error(manifest: ModelManifest) -> None:
    assert "AttributeError" in failure(np.zeros(3), manifest).message


@pytest.mark.parametrize("values", [np.zeros(1), np.zeros((2, 2)), np.zeros((1, 2)), 0.0])
def test_anything_but_one_value_a_row_is_an_error(manifest: ModelManifest, values: Any) -> None:
    assert "rows with an array of the shape" in failure(Answers(values), manifest, rows=2).message


@pytest.mark.parametrize("table", [np.zeros((1, 3)), np.zeros(2), None])
def test_probabilities_of_another_shape_than_the_labels_are_an_error(classifier: ModelManifest, table: Any) -> None:
    assert "for 2 classes" in failure(Answers(np.array([1]), table), classifier).message


def test_a_model_gets_the_format_it_was_fitted_on(models: Path) -> None:
    class Columns:
        def predict(self, X: Any) -> Any:
            return X["a"] - X["b"]

    manifest = write_version(models, "tiny", None, numbers("a", "b"), input_format=InputFormat.DATAFRAME)
    assert predict(Columns(), manifest, [(5.0, 3.0)]).values == [2.0]


@pytest.mark.parametrize("value", ["text", object(), 1j, 10**400])
def test_a_regression_that_does_not_answer_numbers_is_a_model_error(manifest: ModelManifest, value: object) -> None:
    said = failure(Answers(np.array([value], dtype=object)), manifest).message
    assert said.endswith(f"answered with a {type(value).__name__} instead of a number")


@pytest.mark.parametrize("value", [object(), b"yes", np.datetime64("2026-01-02")])
def test_a_class_that_json_cannot_hold_is_a_model_error(classifier: ModelManifest, value: object) -> None:
    assert "instead of a class that JSON can hold" in failure(Answers(np.array([value])), classifier).message


def test_numpy_numbers_in_an_object_array_become_plain(classifier: ModelManifest) -> None:
    (value,) = predict(Answers(np.array([np.int64(1)], dtype=object), np.zeros((1, 2))), classifier, [(1, 2)]).values
    assert (type(value), value) == (int, 1)


@pytest.mark.parametrize("threshold", [0.2, 0.30000000000000004, np.nextafter(0.3, 1)])
def test_a_decision_answers_its_label_from_the_threshold_on_and_leaves_probabilities(
    models: Path, threshold: float
) -> None:
    output = replace(CLASSES, decision=Decision(1, float(threshold)), label_names=("none", "fraud"))
    manifest = write_version(models, "tiny", None, numbers("a", "b"), output)
    reached = np.array([0.1, 0.2, 0.3, np.nextafter(0.3, 1), 0.30000000000000004, 0.9])
    model, rows = Answers(np.zeros(6, int), np.column_stack([1 - reached, reached])), [(1.0, 2.0)] * 6
    expected = ["fraud" if p >= threshold else "none" for p in reached]
    answer = predict(model, manifest, rows)
    assert answer.values == expected and answer.warnings == []
    assert [row["fraud"] for row in answer.probabilities or ()] == reached.tolist()  # type: ignore[index, call-overload]
    assert predict_columns(model, manifest, rows)[0] == expected
    parts = predict_each(model, manifest, [rows[:2], rows[2:]])
    assert [value for part in parts for value in part.values] == expected  # type: ignore[union-attr]
    proba = predict(model, replace(manifest, signature=replace(manifest.signature)), rows, method="predict")
    assert proba.values == expected


def test_a_decision_for_the_first_class_and_a_probability_that_is_no_number(models: Path) -> None:
    output = Output(OutputKind.CLASS, ("fault", "none"), True, decision=Decision("fault", 0.5))
    manifest = write_version(models, "tiny", None, numbers("a", "b"), output)
    model = Answers(np.array(["none"] * 3), np.array([[0.5, 0.5], [0.4, 0.6], [np.nan, np.nan]]))
    answer = predict(model, manifest, [(1.0, 2.0)] * 3)
    assert answer.values == ["fault", "none", None] and "are null: rows 2" in answer.warnings[0]
    wide = Answers(np.array(["none"]), np.array([[0.5, 0.3, 0.2]]))
    assert "probabilities of the shape (1, 3) for 2 classes" in failure(wide, manifest).message


def test_a_kernel_decides_as_its_estimator(models: Path) -> None:
    draw: Any = np.random.default_rng(0)
    X = draw.normal(size=(300, 2))
    estimator = LogisticRegression().fit(X, X[:, 0] > 1)
    reached = estimator.predict_proba(X)[:, 1]
    threshold = float(np.sort(reached)[200])  # one of the very probabilities
    output = Output(OutputKind.CLASS, (False, True), True, decision=Decision(True, threshold))
    manifest = write_version(models, "tiny", estimator, numbers("a", "b"), output)
    kernel = find_version_kernel(estimator, manifest.signature, manifest.artifact)
    assert kernel
    answer = predict(estimator, manifest, X.tolist(), kernel)
    assert answer.values == (reached >= threshold).tolist() and sum(answer.values) == 100  # type: ignore[arg-type]
    for row, expected in zip(X.tolist(), answer.values, strict=True):
        assert predict(estimator, manifest, [row], kernel).values == [expected]
