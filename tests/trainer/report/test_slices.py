"""A report says how good the model is where an input has one value or is in one range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor

from contract.model.manifest import InputFormat
from contract.model.signature import Field, Kind
from contract.row import Row, Value
from tests.trainer.report.evidences import evidence_of
from trainer.report.classification import Classes
from trainer.report.evidence import Evidence
from trainer.report.facts import gather
from trainer.report.regression import Numbers
from trainer.report.slices import FEWEST_ROWS, MOST_INPUTS, slices

INPUTS = [Field("size", Kind.NUMBER, nullable=True), Field("area", Kind.STRING)]


def evidence(estimator: Any, targets: list[Any], rows: list[Row], **more: Any) -> Evidence:
    every = range(len(rows))
    return evidence_of(estimator, rows, targets, INPUTS, input_format=InputFormat.DATAFRAME, test_rows=every, **more)


def rows_of(count: int) -> list[Row]:
    def size(number: int) -> Value:
        return None if number % 8 == 7 else float(number)

    return [(size(number), "north" if number % 4 else "south") for number in range(count)]


def test_classes_have_their_accuracy_by_slice_and_the_worse_one_is_named() -> None:
    rows = rows_of(400)
    targets = ["yes" if area == "north" or number % 8 else "no" for number, (_, area) in enumerate(rows)]
    tested = evidence(DummyClassifier(), targets, rows)
    facts = slices(tested, Classes.of(tested), ["area", "size"])
    assert facts["metric"] == "accuracy"
    north, south, *sizes = facts["items"]
    assert (north["input"], north["slice"], north["rows"]) == ("area", "'north'", 300)
    assert (north["value"], north["worse"]) == (1.0, False)
    assert (south["slice"], south["rows"], south["value"], south["worse"]) == ("'south'", 100, 0.5, True)
    assert south["interval"] == pytest.approx([0.4038, 0.5962], abs=1e-3)
    assert [one["slice"] for one in sizes][-1] == "null"
    assert sum(one["rows"] for one in sizes) == 400
    assert not any(one["worse"] for one in sizes)


def test_numbers_have_their_mean_absolute_error_by_slice() -> None:
    rows = rows_of(400)
    targets = [100.0 * (area == "south") + number % 3 for number, (_, area) in enumerate(rows)]
    tested = evidence(DummyRegressor(strategy="median"), targets, rows)
    facts = slices(tested, Numbers.of(tested), ["area"])
    assert facts["metric"] == "mean_absolute_error"
    north, south = facts["items"]
    errors = np.abs(np.array(targets) - np.median(targets))
    of_south = errors[::4]
    assert south["value"] == pytest.approx(of_south.mean(), rel=1e-5)
    assert south["interval"] == pytest.approx(of_south.mean() + np.array([-1.96, 1.96]) * of_south.std() / 10, rel=1e-5)
    assert (south["worse"], north["worse"]) == (True, False)


def test_slices_of_few_rows_are_left_out_and_so_are_rows_that_training_has_seen() -> None:
    rows = rows_of(4 * FEWEST_ROWS - 4)
    tested = evidence(DummyClassifier(), ["yes", "no"] * (len(rows) // 2), rows)
    assert slices(tested, Classes.of(tested), ["area"])["items"] == []
    rows = rows_of(400)
    learnt = evidence(DummyClassifier(), ["yes", "no"] * 200, rows, held_out=False)
    assert slices(learnt, Classes.of(learnt), [])["items"] == []
    sample = evidence(DummyClassifier(), ["yes", "no"] * 200, rows, held_out=False, sample=True)
    assert slices(sample, Classes.of(sample), [])["items"] != []


def test_chance_names_no_slice() -> None:
    random, named = np.random.default_rng(0), 0
    for _ in range(40):
        X = random.normal(size=(300, MOST_INPUTS))
        tested = evidence_of(DummyClassifier(), X.tolist(), random.integers(0, 2, 300).tolist(), test_rows=range(300))
        named += any(one["worse"] for one in slices(tested, Classes.of(tested), [])["items"])
    assert named <= 6


def test_a_report_has_slices_and_intervals() -> None:
    rows = rows_of(400)
    tested = evidence(DummyClassifier(), ["yes", "no"] * 200, rows, intervals={"accuracy": (0.25, 0.75)})
    facts = gather(tested)
    assert facts["intervals"] == {"accuracy": [0.25, 0.75]}
    assert {one["input"] for one in facts["slices"]["items"]} == {"size", "area"}
