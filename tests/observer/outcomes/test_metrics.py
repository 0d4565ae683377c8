"""Metrics of outcomes are those that the report of the version has for its test rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contract.model.signature import Output, OutputKind
from contract.work.training import METRICS
from observer.outcomes.joined_rows import JoinedRows, read_rows
from observer.outcomes.metrics import Focus, measure
from trainer.training import fitting

NUMBER = Output(OutputKind.NUMBER)


def promised(y: Any, predicted: Any, table: Any, output: Output) -> dict[str, float]:
    measured = fitting.measure(y, predicted, table, output)
    return {name: value for name, value in measured.items() if name in METRICS}


def assert_equal(ours: Any, theirs: dict[str, float]) -> None:
    assert set(ours.estimates) == set(theirs)
    assert next(iter(ours.estimates)) == next(iter(theirs))
    for name, estimate in ours.estimates.items():
        assert estimate.value == pytest.approx(theirs[name], rel=1e-9, abs=1e-12), name
        assert estimate.low <= estimate.value <= estimate.high, name


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_metrics_of_classes_equal_those_of_the_report(classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = int(random.integers(2, 300))
    labels = tuple("abcd"[:classes])
    codes = random.choice(classes, rows, p=random.dirichlet(np.full(classes, 0.7)))
    table = random.dirichlet(np.ones(classes), rows) + 0.4 * (codes[:, None] == np.arange(classes))
    table = np.round(table, seed % 3 * 8 + 1)  # many equal scores, or none
    table /= table.sum(axis=1, keepdims=True)
    y, predicted = np.array(labels)[codes], np.array(labels)[table.argmax(axis=1)]
    for shown in (table, None):
        output = Output(OutputKind.CLASS, labels, shown is not None)
        assert_equal(measure(read_rows(y, predicted, shown, output).rows), promised(y, predicted, shown, output))


@pytest.mark.parametrize("seed", range(20))
def test_metrics_of_numbers_equal_those_of_the_report(seed: int) -> None:
    random = np.random.default_rng(seed)
    y = random.lognormal(size=int(random.integers(2, 200)))
    predicted = y + random.normal(size=len(y)) * (seed > 0)
    assert_equal(measure(read_rows(y, predicted, None, NUMBER).rows), promised(y, predicted, None, NUMBER))


def test_perfect_and_hopeless_predictions_have_metrics() -> None:
    output, table = Output(OutputKind.CLASS, (0, 1), True), np.array([[1.0, 0.0], [0.0, 1.0]] * 10)
    codes = np.array([0, 1] * 10)
    for y in (codes, 1 - codes):
        measured = measure(read_rows(y, codes, table, output).rows)
        assert_equal(measured, promised(y, codes, table, output))
        assert measured.estimates["roc_auc"].high - measured.estimates["roc_auc"].low > 0.2


def test_without_rows_all_metrics_are_missing() -> None:
    for output in (NUMBER, Output(OutputKind.CLASS, (0, 1), True), Output(OutputKind.CLASS)):
        measured = measure(read_rows([], [], None, output).rows)
        assert not measured.estimates and set(measured.missing.values()) == {"no outcomes yet"}


def test_every_metric_of_the_report_is_measured_or_has_a_reason() -> None:
    classes = JoinedRows(np.array([1]), np.array([0]), np.array([[0.5, 0.5]]), ("no", "yes"))
    measured, numbers = measure(classes), measure(JoinedRows(np.array([1.0]), np.array([2.0])))
    assert {*measured.estimates, *measured.missing, *numbers.missing} == set(METRICS)
    assert set(measured.estimates) == {"accuracy", "balanced_accuracy"}
    assert measured.missing["roc_auc"] == "no outcome is 'no' yet"
    assert set(numbers.missing.values()) == {"one outcome shows no spread: two are needed"}


def test_reasons_name_what_is_lacking() -> None:
    rows = JoinedRows(np.array([0, 1]), np.array([0, 1]), None, ("no", "yes"))
    assert measure(rows).missing["log_loss"] == "the model gives no probabilities"
    table = np.array([[np.nan, 0.5], [0.5, 0.5]])
    reason = measure(JoinedRows(rows.actual, rows.predicted, table, rows.labels)).missing["log_loss"]
    assert reason == "the model gave probabilities that are not finite numbers"
    constant = measure(JoinedRows(np.array([3.0, 3.0]), np.array([3.0, 4.0])))
    assert constant.missing == {"r2": "all outcomes are equal"}
    assert constant.estimates["mean_absolute_error"].value == 0.5


def test_the_focus_keeps_the_headline_and_the_class_of_the_report() -> None:
    random = np.random.default_rng(0)
    actual = (random.random(400) < 0.7).astype(int)
    scores = np.clip(0.5 + 0.2 * actual + 0.2 * random.normal(size=400), 0, 1)
    rows = JoinedRows(actual, actual, np.column_stack([1 - scores, scores]), ("no", "yes"))
    own, kept = measure(rows), measure(rows, Focus("average_precision", 1, True))
    assert next(iter(own.estimates)) == "accuracy" and "recall_at_half_precision" in own.missing
    assert list(kept.estimates)[:1] == ["average_precision"] and not kept.missing
    assert kept.estimates["average_precision"].value > 0.8 > own.estimates["average_precision"].value
