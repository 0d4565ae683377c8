"""Losses are bounded, and what a version cannot answer counts as the worst."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contract.model.signature import Output, OutputKind
from observer.experiments.losses import losses_of, readable_outcomes
from observer.outcomes.joined_rows import read_rows

CLASSES = Output(OutputKind.CLASS, (0, 1), probabilities=True)
NUMBER = Output(OutputKind.NUMBER)


def losses(
    metric: str, outcomes: list[Any], predictions: list[Any], table: Any = None, output: Output = CLASSES
) -> list[float]:
    readable = readable_outcomes(outcomes, [output])
    largest = {"log_loss": -np.log(0.001), "mean_absolute_error": 10.0}.get(metric, 1.0)
    found: list[float] = losses_of(metric, read_rows(outcomes, predictions, table, output), readable, largest).tolist()
    return found


def test_a_wrong_answer_is_a_loss_of_one() -> None:
    assert losses("accuracy", [1, "yes", 0], [1, 0, 1]) == [0.0, 1.0, 1.0]


def test_the_log_loss_has_a_bound() -> None:
    table = [[0.25, 0.75], [1.0, 0.0], [0.0, 1.0]]
    found = losses("log_loss", [1, 1, 1], [1, 0, 1], table)
    assert found == pytest.approx([-np.log(0.75), -np.log(0.001), 0.0], abs=1e-12)


def test_the_brier_score_is_the_half_of_squared_distances() -> None:
    assert losses("brier", [1, 1, 0], [1, 0, 0], [[0.25, 0.75], [1.0, 0.0], [1.0, 0.0]]) == [0.0625, 1.0, 0.0]


def test_an_error_is_cut_off_at_the_range() -> None:
    assert losses("mean_absolute_error", [1.5, "3", 100], [1.0, 2.0, 0.0], None, NUMBER) == [0.5, 1.0, 10.0]


def test_an_answer_that_is_none_is_the_worst() -> None:
    assert losses("mean_absolute_error", [1.0, 2.0], [None, float("inf")], None, NUMBER) == [10.0, 10.0]
    assert losses("brier", [1, 0], [1, 0], [[np.nan, np.nan], [1.0, 0.0]]) == [1.0, 0.0]


def test_an_outcome_that_nobody_can_read_has_no_loss() -> None:
    assert np.isnan(losses("accuracy", ["perhaps", None], [1, 0])).tolist() == [True, True]


def test_an_outcome_that_only_the_other_version_knows_is_the_worst() -> None:
    readable = readable_outcomes([0, 2], [CLASSES, Output(OutputKind.CLASS, (0, 1, 2))])
    assert losses_of("accuracy", read_rows([0, 2], [0, 0], None, CLASSES), readable, 1.0).tolist() == [0.0, 1.0]


def test_without_its_probabilities_a_version_has_no_loss_by_them() -> None:
    assert np.isnan(losses("log_loss", [1, 0], [1, 0])).all()


def test_a_version_that_does_not_know_its_labels_takes_any_outcome() -> None:
    unknown = Output(OutputKind.CLASS)
    assert losses("accuracy", ["a", "b", "c", None], ["a", "a", "a", "a"], None, unknown)[:3] == [0.0, 1.0, 1.0]
