"""What users send as outcomes is read as the labels and numbers that it means; the rest is counted."""

from __future__ import annotations

import numpy as np
import pytest

from contract.model.signature import Output, OutputKind
from contract.row import Value
from observer.outcomes.joined_rows import UNKNOWN, read_labels, read_numbers, read_rows


@pytest.mark.parametrize(
    ("labels", "values", "codes"),
    [
        ((0, 1), [1, 0, 1.0, "1", " 1 ", "1.0", True, "yes", "TRUE", False, "no"], [1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0]),
        ((False, True), [True, "true", "True", 1, "1", "no", 0], [1, 1, 1, 1, 1, 0, 0]),
        (("no", "yes"), ["yes", "Yes", True, 1, "false", 0.0], [1, 1, 1, 1, 0, 0]),
        (("yes", "no"), [True, False], [0, 1]),
        ((1, "1", True), [1, "1", True, 1.0], [0, 1, 2, 0]),
        (("a", "A", "b"), ["a", "A", "B", " a"], [0, 1, 2, UNKNOWN]),
        ((0.1, 2.5), ["0.1", "2.50", 2.5], [0, 1, 1]),
        (("01", "02"), ["01", 2, "2"], [0, 1, 1]),
    ],
)
def test_an_outcome_means_the_label_of_its_type_then_of_its_text(
    labels: tuple[Value, ...], values: list[Value], codes: list[int]
) -> None:
    assert read_labels(values, labels)[0].tolist() == codes


@pytest.mark.parametrize("labels", [(1, 2), ("no", "yes", "later"), ("none", "1"), (1, "yes", "no")])
def test_what_means_no_label_is_counted_by_its_text(labels: tuple[Value, ...]) -> None:
    codes, unknown = read_labels([True, None, "perhaps", "perhaps"], labels)
    assert codes.tolist() == [UNKNOWN] * 4
    assert unknown == {"true": 1, "null": 1, "'perhaps'": 2}


def test_numbers_are_read_as_requests_are() -> None:
    numbers, unknown = read_numbers([1, "2.5", " 3 ", None, "1,5", True, float("nan")])
    assert np.array_equal(numbers, [1, 2.5, 3, *[np.nan] * 4], equal_nan=True)
    assert unknown == {"null": 1, "'1,5'": 1, "true": 1, "nan": 1}


def test_rows_without_a_usable_value_are_counted_apart() -> None:
    output = Output(OutputKind.CLASS, (0, 1), True, label_names=("no", "yes"))
    table = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3], [0.5, 0.5]])
    read = read_rows(["no", "maybe", True, "no", "maybe"], ["no", "yes", "yes", "else", "else"], table, output)
    assert read.positions.tolist() == [0, 2]
    assert read.rows.actual.tolist() == [0, 1] and read.rows.predicted.tolist() == [0, 1]
    assert np.array_equal(read.rows.probabilities, table[[0, 2]])
    assert read.unknown == {"'maybe'": 2} and read.unusable == 1


def test_a_number_that_the_model_did_not_predict_is_unusable() -> None:
    read = read_rows([1, "2", "x"], np.array([1.5, np.inf, 3]), None, Output(OutputKind.NUMBER))
    assert read.positions.tolist() == [0] and read.unusable == 1 and read.unknown == {"'x'": 1}


def test_a_version_without_labels_has_those_that_it_predicts() -> None:
    read = read_rows(["b", "a", "c"], ["a", "a", "b"], None, Output(OutputKind.CLASS))
    assert read.rows.labels == ("a", "b") and read.rows.actual.tolist() == [1, 0] and read.unknown == {"'c'": 1}
