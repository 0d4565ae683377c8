"""What each method of a model returns becomes one answer a row, or a failure that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from contract.errors import Code, Failure, ModelgateError
from contract.model.manifest import ModelManifest
from contract.model.signature import PREDICT, AnswerForm, Method, Output, OutputKind, Signature
from scoring.predict import Prediction, join, predict, predict_columns, predict_each
from tests.support import numbers, write_version

PRICE, SIZE = Output(OutputKind.NUMBER, name="price"), Output(OutputKind.NUMBER, name="size")
TIER = Output(OutputKind.CLASS, ("a", "b"), probabilities=True, name="tier")
RISK = Output(OutputKind.CLASS, (0, 1), probabilities=True, name="risk")
ONE = Output(OutputKind.NUMBER)
CLASSES = Output(OutputKind.CLASS, ("a", "b", "c"), probabilities=True)
NAN = float("nan")


class Returns:
    """Each method returns what it was made with."""

    def __init__(self, **answers: Any) -> None:
        for name, answer in answers.items():
            setattr(self, name, lambda X, answer=answer: answer)


def version(models: Path, *outputs: Output, methods: Sequence[Method] = ()) -> ModelManifest:
    known = (*((PREDICT,) if outputs else ()), *methods)
    signature = Signature(numbers("x"), outputs, methods=known)
    return write_version(models, "m", None, numbers("x"), signature=signature)


def answer(manifest: ModelManifest, model: Any, rows: int = 2, method: str | None = None) -> Prediction:
    method = method or manifest.signature.methods[0].name
    (prediction,) = predict_each(model, manifest, [[(1.0,)] * rows], method)
    if isinstance(prediction, Failure):
        raise ModelgateError(prediction.code, prediction.message)
    json.dumps([prediction.values, prediction.probabilities, prediction.scores], allow_nan=False)
    return prediction


def failure(manifest: ModelManifest, model: Any, rows: int = 2, method: str | None = None) -> str:
    with pytest.raises(ModelgateError) as raised:
        answer(manifest, model, rows, method)
    assert raised.value.failure.code == Code.MODEL_ERROR
    return raised.value.failure.message


# Several outputs


@pytest.mark.parametrize(
    "values",
    [
        np.array([[1, 2.5], [3, 4]]),
        np.array([[1, 2.5], [3, 4]], dtype=object),
        [[1, 2.5], (3, 4)],
        sparse.csr_matrix([[1, 2.5], [3, 4]]),
        pd.DataFrame({"size": [2.5, 4.0], "price": [1, 3]}, index=[7, 8]),
        {"size": [2.5, 4], "price": np.array([1, 3])},
        [{"size": 2.5, "price": 1}, {"price": 3, "size": np.float64(4)}],
        pd.Series([{"size": 2.5, "price": 1}, {"price": 3, "size": 4}]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_several_outputs_are_objects_whatever_the_model_returns(models: Path, values: Any) -> None:
    prediction = answer(version(models, PRICE, SIZE), Returns(predict=values))
    assert (prediction.values, prediction.warnings) == ([{"price": 1.0, "size": 2.5}, {"price": 3.0, "size": 4.0}], [])
    assert {type(value) for row in prediction.values for value in row.values()} == {float}  # type: ignore[union-attr]


def test_a_dict_of_one_name_stays_an_object(models: Path) -> None:
    assert answer(version(models, PRICE), Returns(predict=[{"price": 1}, {"price": 2}])).values == [
        {"price": 1.0},
        {"price": 2.0},
    ]


def test_names_that_are_numbers_are_texts(models: Path) -> None:
    first, second = Output(OutputKind.NUMBER, name="0"), Output(OutputKind.NUMBER, name="1")
    for values in ([{0: 1, 1: 2}], pd.DataFrame([[1, 2]]), {0: [1], 1: [2]}):
        assert answer(version(models / type(values).__name__, first, second), Returns(predict=values), 1).values == [
            {"0": 1.0, "1": 2.0}
        ]


def test_words_and_numbers_keep_their_types(models: Path) -> None:
    values = [(1.5, "a"), (2, "b")]
    assert answer(version(models, PRICE, TIER), Returns(predict=values, predict_proba=np.full((2, 2), 0.5))).values == [
        {"price": 1.5, "tier": "a"},
        {"price": 2.0, "tier": "b"},
    ]


def test_an_output_that_is_not_finite_is_null_with_a_warning(models: Path) -> None:
    prediction = answer(version(models, PRICE, SIZE), Returns(predict=np.array([[1, NAN], [3, 4]])))
    assert prediction.values == [{"price": 1.0, "size": None}, {"price": 3.0, "size": 4.0}]
    assert prediction.warnings == ["1 of 2 predictions are not finite numbers and are null: rows 0"]


def test_a_name_that_a_row_leaves_out_is_null_whatever_the_other_rows_have(models: Path) -> None:
    manifest = version(models, PRICE, SIZE)
    for others in ([], [{"price": 2, "size": 3}]):
        prediction = answer(manifest, Returns(predict=[{"price": 1}, *others]), rows=1 + len(others))
        assert prediction.values[0] == {"price": 1.0, "size": None}
        assert prediction.warnings[0].endswith("are null: rows 0")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros(2), "answered 2 rows with an array of the shape (2,)"),
        (np.zeros((2, 3)), "answered 2 rows with an array of the shape (2, 3)"),
        (np.zeros((3, 2)), "answered 2 rows with an array of the shape (3, 2)"),
        (np.zeros((2, 2, 2)), "answered 2 rows with an array of the shape (2, 2, 2)"),
        ({"price": [1, 2]}, "answered with 'price', and its outputs are 'price', 'size'"),
        ([{"price": 1, "size": 1, "tax": 0}] * 2, "'price', 'size', 'tax', and its outputs are 'price', 'size'"),
        ([{"price": 1, "size": 1}] * 3, "answered 2 rows with"),
        ({"price": 1, "size": 2}, "answered 2 rows with"),
        ([[1, "large"], [2, "small"]], "answered with a str instead of a number"),
        ([{"price": [1], "size": 1}] * 2, "answered with a list instead of a number"),
    ],
    ids=str,
)
def test_outputs_that_do_not_fit_are_a_model_error(models: Path, values: Any, said: str) -> None:
    assert said in failure(version(models, PRICE, SIZE), Returns(predict=values))


def test_an_invalid_answer_fails_its_job_alone(models: Path) -> None:
    manifest = version(models, PRICE, SIZE)
    values = np.array([[1, 2], [3, "x"]], dtype=object)
    good, bad = predict_each(Returns(predict=values), manifest, [[(1.0,)], [(2.0,)]])
    assert isinstance(good, Prediction) and good.values == [{"price": 1.0, "size": 2.0}]
    assert isinstance(bad, Failure) and "answered with a str instead of a number" in bad.message


# Probabilities


def test_probabilities_of_several_outputs_are_objects_by_output_and_label(models: Path) -> None:
    tables = [np.array([[0.25, 0.75], [1, 0]]), np.array([[0.5, 0.5], [0, 1]])]
    model = Returns(predict=[["b", 0], ["a", 1]], predict_proba=tables)
    prediction = answer(version(models, TIER, RISK), model)
    assert prediction.probabilities == [
        {"tier": {"a": 0.25, "b": 0.75}, "risk": {"0": 0.5, "1": 0.5}},
        {"tier": {"a": 1.0, "b": 0.0}, "risk": {"0": 0.0, "1": 1.0}},
    ]


def test_a_multi_label_table_is_the_probability_of_the_second_label(models: Path) -> None:
    third = 1 / 3  # 1 - (1 - third) is another number
    assert 1 - (1 - third) != third
    model = Returns(predict=[["b", 0], ["a", 1]], predict_proba=np.array([[third, 0.5], [1, 0]]))
    manifest = version(models, TIER, RISK, methods=[Method("predict_proba", AnswerForm.LABELS)])
    probabilities = answer(manifest, model).probabilities
    assert probabilities is not None and probabilities[0] == {
        "tier": {"a": 1 - third, "b": third},
        "risk": {"0": 0.5, "1": 0.5},
    }
    in_32_bits = Returns(predict=[["b", 0]], predict_proba=np.array([[third, 0.5]], dtype=np.float32))
    beside = answer(manifest, in_32_bits, rows=1).probabilities
    single = float(np.float32(third))
    assert beside == [{"tier": {"a": 1 - single, "b": single}, "risk": {"0": 0.5, "1": 0.5}}]
    assert answer(manifest, in_32_bits, rows=1, method="predict_proba").values == beside


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ([np.zeros((2, 2))], "gave probabilities of 1 outputs, and has 2"),
        (np.zeros((2, 3)), "gave probabilities of 1 outputs, and has 2"),
        ([np.zeros((2, 2)), np.zeros((2, 3))], "gave probabilities of the shape (2, 3) for 2 classes"),
    ],
    ids=str,
)
def test_probabilities_that_do_not_fit_are_a_model_error(models: Path, tables: Any, said: str) -> None:
    model = Returns(predict=[["b", 0], ["a", 1]], predict_proba=tables)
    assert said in failure(version(models, TIER, RISK), model)


def test_scores_stand_beside_the_predictions_of_each_job(models: Path) -> None:
    manifest = version(models, Output(OutputKind.CLASS, (-1, 1), scores=True))
    model = Returns(predict=np.array([1, -1, 1]), decision_function=np.array([[0.5], [-0.25], [NAN]]))
    parts = predict_each(model, manifest, [[(1.0,)], [(2.0,), (3.0,)]])
    assert [(part.values, part.scores) for part in parts if isinstance(part, Prediction)] == [
        ([1], [0.5]),
        ([-1, 1], [-0.25, None]),
    ]
    whole = join([part for part in parts if isinstance(part, Prediction)])
    assert (whole.values, whole.scores) == ([1, -1, 1], [0.5, -0.25, None])


# Other methods

LABELS = Method("decision_function", AnswerForm.LABELS)
NUMBER = Method("score_samples", AnswerForm.NUMBER)
NUMBERS = Method("apply", AnswerForm.NUMBERS)
NAMED = Method("transform", AnswerForm.NAMED, ("u", "v"))
BY_OUTPUT = Method("decision_function", AnswerForm.NAMED)
NONZERO = Method("transform", AnswerForm.NONZERO, ("u", "v", "w"))
BY_PLACE = Method("transform", AnswerForm.NONZERO)
NEIGHBORS = Method("kneighbors", AnswerForm.NEIGHBORS)
FORMS = [
    (
        LABELS,
        [CLASSES],
        [[0.5, -1, 2], [1, NAN, 3]],
        [{"a": 0.5, "b": -1.0, "c": 2.0}, {"a": 1.0, "b": None, "c": 3.0}],
    ),
    (NUMBER, [], np.array([0.1, -np.inf], dtype=np.float32), [float(np.float32(0.1)), None]),
    (NUMBER, [], np.array([[1], [2]]), [1, 2]),
    (NUMBERS, [ONE], [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
    (NUMBERS, [ONE], np.array([[[1.0], [NAN]], [[3], [4]]]), [[[1.0], [None]], [[3.0], [4.0]]]),
    (NUMBERS, [], np.array([["x", 1.5], [None, NAN]], dtype=object), [["x", 1.5], [None, None]]),
    (NAMED, [], pd.DataFrame({"p": [1, 2], "q": [0.5, 3]}), [{"u": 1.0, "v": 0.5}, {"u": 2.0, "v": 3.0}]),
    (NAMED, [], pd.DataFrame({"p": [2**53 + 1, 2], "q": [0.5, 3]}), [{"u": 2**53 + 1, "v": 0.5}, {"u": 2, "v": 3.0}]),
    (NUMBER, [], np.array([2**53 + 1, 2**64 - 1], dtype=np.uint64), [2**53 + 1, 2**64 - 1]),
    (NAMED, [], sparse.csr_array([[1, 0], [0, 2]]), [{"u": 1, "v": 0}, {"u": 0, "v": 2}]),
    (NAMED, [], np.array([["x", "y"], ["z", ""]]), [{"u": "x", "v": "y"}, {"u": "z", "v": ""}]),
    (BY_OUTPUT, [TIER, RISK], [[1, 2], [3, 4]], [{"tier": 1, "risk": 2}, {"tier": 3, "risk": 4}]),
    (NONZERO, [], sparse.csc_array([[0, 1.5, NAN], [0, 0, 0]]), [{"v": 1.5, "w": None}, {}]),
    (BY_PLACE, [], sparse.csr_matrix([[0, 1, 2], [3, 0, 0]]), [{"1": 1, "2": 2}, {"0": 3}]),
    (BY_PLACE, [], sparse.csr_array(([1, 2, 4], [2, 0, 2], [0, 3, 3]), shape=(2, 3)), [{"0": 2, "2": 5}, {}]),
    (
        NEIGHBORS,
        [],
        (np.array([[0.0, 0.5], [0.1, 0.2]]), np.array([[4, 2], [1, 0]])),
        [{"distances": [0.0, 0.5], "indices": [4, 2]}, {"distances": [0.1, 0.2], "indices": [1, 0]}],
    ),
]


LONG = [2**53 + 1, -7]


@pytest.mark.parametrize(
    "returned",
    [
        np.array(LONG),
        np.array(LONG).reshape(-1, 1),
        np.array(LONG, dtype=object),
        LONG,
        [2**53 + 1, -7.0],
        pd.Series(LONG),
        pd.Series(LONG, dtype="Int64"),
    ],
    ids=lambda returned: type(returned).__name__,
)
def test_whole_numbers_beyond_those_of_a_float_keep_all_digits(models: Path, returned: Any) -> None:
    manifest = version(models, ONE)
    prediction = answer(manifest, Returns(predict=returned))
    assert json.dumps(prediction.values) == "[9007199254740993, -7.0]"
    (column,) = predict_columns(Returns(predict=returned), manifest, [(0.0,), (1.0,)])
    assert [*map(repr, column)] == ["9007199254740993", "-7.0"]


@pytest.mark.parametrize(
    "returned",
    [
        {"p": np.array([2**64 - 1, 1], dtype=np.uint64), "q": np.array([0.5, 1.5])},
        pd.DataFrame({"p": np.array([2**64 - 1, 1], dtype=np.uint64), "q": [0.5, 1.5]}),
        [{"p": 2**64 - 1, "q": 0.5}, {"p": 1, "q": 1.5}],
        [[2**64 - 1, 0.5], [1, 1.5]],
    ],
    ids=lambda returned: type(returned).__name__,
)
def test_whole_numbers_beside_fractions_keep_all_digits(models: Path, returned: Any) -> None:
    outputs = [Output(OutputKind.NUMBER, name="p"), Output(OutputKind.NUMBER, name="q")]
    prediction = answer(version(models, *outputs), Returns(predict=returned))
    assert json.dumps(prediction.values) == json.dumps([{"p": 2**64 - 1, "q": 0.5}, {"p": 1.0, "q": 1.5}])


@pytest.mark.parametrize(("method", "outputs", "returned", "expected"), FORMS, ids=str)
def test_each_form_of_answer(models: Path, method: Method, outputs: list[Output], returned: Any, expected: Any) -> None:
    manifest = version(models, *outputs, methods=[method])
    prediction = answer(manifest, Returns(**{method.name: returned}), method=method.name)
    assert json.dumps(prediction.values) == json.dumps(expected)
    assert (prediction.probabilities, prediction.scores) == (None, None)
    assert bool(prediction.warnings) == ("null" in json.dumps(expected))


@pytest.mark.parametrize(
    ("method", "outputs", "returned", "said"),
    [
        (LABELS, [CLASSES], np.zeros((2, 2)), "gave answers of decision_function of the shape (2, 2) for 3 classes"),
        (LABELS, [CLASSES], np.zeros((1, 3)), "of the shape (1, 3) for 3 classes"),
        (NUMBER, [], np.zeros((2, 2)), "answered 2 rows of score_samples with an array of the shape (2, 2)"),
        (NUMBER, [], np.zeros(3), "answered 2 rows of score_samples with an array of the shape (3,)"),
        (NUMBERS, [ONE], np.zeros(2), "answered 2 rows of apply with an array of the shape (2,)"),
        (NUMBERS, [ONE], np.zeros((2, 2), dtype=complex), "of complex128"),
        (NAMED, [], np.zeros((2, 3)), "answered transform with 3 numbers a row, and has 2 names"),
        (NAMED, [], np.zeros((3, 2)), "answered 2 rows of transform with an array of the shape (3, 2)"),
        (NONZERO, [], sparse.csr_array(np.ones((2, 4))), "answered transform with 4 numbers a row, and has 3 names"),
        (NONZERO, [], sparse.csr_array(np.ones((1, 3))), "answered 2 rows of transform with"),
        (NONZERO, [], np.ones((2, 3)), "answered 2 rows of transform with"),
        (NEIGHBORS, [], (np.zeros((3, 2)), np.zeros((3, 2))), "answered 2 rows of kneighbors with"),
    ],
    ids=str,
)
def test_an_answer_of_another_shape_is_a_model_error(
    models: Path, method: Method, outputs: list[Output], returned: Any, said: str
) -> None:
    manifest = version(models, *outputs, methods=[method])
    assert said in failure(manifest, Returns(**{method.name: returned}), method=method.name)


def test_a_method_that_raises_or_is_missing_is_a_model_error(models: Path) -> None:
    manifest = version(models, methods=[NUMBER])
    assert "raised AttributeError" in failure(manifest, Returns())
    assert "has no 'predict'" in failure(manifest, Returns(predict=[1, 2]), method="predict")


def test_the_answers_of_a_call_are_shared_out_to_its_jobs(models: Path) -> None:
    manifest = version(models, methods=[NUMBER])
    parts = predict_each(
        Returns(score_samples=np.array([1.0, NAN, 3.0])), manifest, [[(1.0,)], [(1.0,), (1.0,)]], "score_samples"
    )
    assert [part.values for part in parts if isinstance(part, Prediction)] == [[1.0], [None, 3.0]]
    assert [part.warnings for part in parts if isinstance(part, Prediction)] == [
        [],
        ["1 of 2 predictions are not finite numbers and are null: rows 0"],
    ]


def test_a_version_without_predict_is_asked_by_its_first_method(models: Path) -> None:
    manifest = version(models, methods=[NAMED, NUMBER])
    assert predict(Returns(transform=[[1, 2]]), manifest, [(1.0,)]).values == [{"u": 1, "v": 2}]
