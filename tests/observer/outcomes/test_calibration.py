"""Calibration has the bins of the report, and is rejected only beyond chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit

from contract.model.signature import Output, OutputKind
from observer.outcomes.calibration import calibration
from observer.outcomes.joined_rows import JoinedRows
from observer.outcomes.metrics import NotMeasured
from trainer.report import classification
from trainer.report.evidence import VersionAnswers


def binary(random: np.random.Generator, predicted: Any, true: Any) -> JoinedRows:
    actual = (random.random(len(predicted)) < true).astype(int)
    return JoinedRows(actual, actual, np.column_stack([1 - predicted, predicted]), ("no", "yes"))


def three(random: np.random.Generator, rows: int) -> JoinedRows:
    table = random.dirichlet(np.ones(3), rows)
    actual = (random.random((rows, 1)) > table.cumsum(axis=1)).sum(axis=1)
    return JoinedRows(actual, table.argmax(axis=1), table, ("a", "b", "c"))


@pytest.mark.parametrize("rows", [3, 57, 1000])
@pytest.mark.parametrize(("classes", "shape"), [(2, (1, 3)), (2, (3, 1)), (3, (1, 3))])
def test_the_bins_are_those_of_the_report(classes: int, shape: tuple[float, float], rows: int) -> None:
    random = np.random.default_rng(rows)
    predicted = np.round(random.beta(*shape, rows), 2)
    joined = binary(random, predicted, predicted) if classes == 2 else three(random, rows)
    labels = joined.labels or ()
    y = np.array(labels)[joined.actual]
    output = Output(OutputKind.CLASS, tuple(labels), True)
    answers = VersionAnswers(np.array(labels)[joined.predicted], joined.probabilities, output)
    reported = classification.calibration(classification.Classes.beside(y, answers, y.tolist()))
    ours = calibration(joined)
    assert (None if ours.label is None else str(ours.label)) == reported["label"]
    assert ours.rows.tolist() == reported["rows"] and ours.gap == pytest.approx(reported["gap"], rel=1e-5)
    for name in ("predicted", "observed", "low", "high"):
        assert getattr(ours, name) == pytest.approx(reported[name], rel=1e-4, abs=1e-5), name


@pytest.mark.parametrize("kind", ["binary", "rare", "three"])
def test_calibrated_probabilities_are_rarely_rejected(kind: str) -> None:
    random = np.random.default_rng(0)
    rejected = 0
    for _ in range(500):
        if kind == "three":
            rows = three(random, 400)
        else:
            predicted = expit(random.normal(-4 if kind == "rare" else 0, 1.5, 400))
            rows = binary(random, predicted, predicted)
        rejected += calibration(rows).p_value < 0.05
    assert 0.02 * 500 <= rejected <= 0.08 * 500


@pytest.mark.parametrize("change", [lambda odds: odds + 0.5, lambda odds: odds - 0.5, lambda odds: 0.6 * odds])
def test_miscalibrated_probabilities_are_rejected(change: Any) -> None:
    random = np.random.default_rng(1)
    predicted = expit(random.normal(0, 1.5, 2000))
    assert calibration(binary(random, predicted, expit(change(logit(predicted))))).p_value < 0.001


def test_equal_and_certain_probabilities_are_tested_too() -> None:
    random = np.random.default_rng(2)
    equal = np.full(1000, 0.3)
    assert calibration(binary(random, equal, 0.3)).p_value > 0.05
    assert calibration(binary(random, equal, 0.4)).p_value < 0.001
    certain = np.repeat([0.0, 1.0], 500)
    assert calibration(binary(random, certain, certain)).p_value > 0.05
    assert calibration(binary(random, certain, np.clip(certain, 0.05, 0.95))).p_value < 0.001


def test_without_rows_or_probabilities_there_is_no_calibration() -> None:
    with pytest.raises(NotMeasured, match="no probabilities"):
        calibration(JoinedRows(np.array([0]), np.array([0]), None, ("no", "yes")))
    with pytest.raises(NotMeasured, match="no outcomes yet"):
        calibration(JoinedRows(np.array([], int), np.array([], int), np.zeros((0, 2)), ("no", "yes")))
