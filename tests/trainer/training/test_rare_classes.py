"""Metrics, probabilities and threshold are informative for a rare class."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from contract.model.signature import Output, OutputKind
from trainer.recipe import OutOfFold
from trainer.tables.balance import average_precision, out_of_balance, rarest
from trainer.training.assessment import thresholds
from trainer.training.fitting import headline, measure

OUTPUT = Output(OutputKind.CLASS, ("no", "yes"), True)
DRAW = np.random.default_rng(0)
Y = np.where(DRAW.random(5000) < 0.01, "yes", "no")
GIVEN = np.clip(DRAW.beta(1, 30, 5000) + 0.2 * (Y == "yes"), 0, 1)
TABLE = np.column_stack([1 - GIVEN, GIVEN])
PREDICTED = np.where(GIVEN > 0.5, "yes", "no")


def test_average_precision_leads_where_a_class_is_rare() -> None:
    metrics = measure(Y, PREDICTED, TABLE, OUTPUT)
    assert list(metrics)[:2] == ["average_precision", "baseline_average_precision"]
    assert metrics["average_precision"] == average_precision_score(Y == "yes", GIVEN)
    assert metrics["baseline_average_precision"] == (Y == "yes").mean()
    assert metrics["accuracy"] >= metrics["baseline_accuracy"] > 0.98
    order = np.argsort(-GIVEN)
    right = np.cumsum(Y[order] == "yes")
    enough = right / np.arange(1, 5001) >= 0.5
    assert metrics["recall_at_half_precision"] == pytest.approx(right[enough].max() / right[-1])


def test_without_probabilities_balanced_accuracy_leads_and_in_balance_accuracy_does() -> None:
    plain = Output(OutputKind.CLASS, ("no", "yes"))
    metrics = measure(Y, PREDICTED, None, plain)
    assert list(metrics)[:2] == ["balanced_accuracy", "baseline_balanced_accuracy"]
    assert headline(np.array([0, 1] * 10 + [0] * 5), OUTPUT) == "accuracy"
    assert "recall_at_half_precision" not in measure(Y[Y == "yes"], PREDICTED[Y == "yes"], None, plain)


def test_average_precision_weighs_several_classes_equally() -> None:
    y = np.repeat([0, 1, 2], [80, 15, 5])
    table = np.random.default_rng(1).dirichlet([1, 1, 1], 100)
    precisions = [average_precision_score(y == label, table[:, label]) for label in range(3)]
    assert average_precision(y, table, [0, 1, 2]) == np.mean(precisions)
    assert np.isnan(average_precision(y[:80], table[:80], [0, 1, 2]))
    metrics = measure(y, table.argmax(axis=1), table, Output(OutputKind.CLASS, (0, 1, 2), True))
    assert next(iter(metrics)) == "average_precision" and metrics["baseline_average_precision"] == 1 / 3


def test_a_class_is_rare_below_a_share() -> None:
    assert rarest(["b", "a", "a"]) == ("b", 1)
    assert rarest([0, 1]) == (1, 1)
    assert out_of_balance([0] * 81 + [1] * 19) and not out_of_balance([0] * 80 + [1] * 20)


def test_a_threshold_is_chosen_out_of_fold_and_measured_on_held_out_rows() -> None:
    half = OutOfFold(Y[:2500], TABLE[:2500], ("no", "yes"))
    y, probabilities = Y[2500:], GIVEN[2500:]
    chosen_thresholds = thresholds(y, PREDICTED[2500:], TABLE[2500:], OUTPUT, half)
    assert chosen_thresholds is not None and chosen_thresholds.best is not None and chosen_thresholds.label == "yes"
    tried = [f1_score(Y[:2500] == "yes", GIVEN[:2500] >= at) for at in np.linspace(0.05, 0.5, 46)]
    chosen = f1_score(Y[:2500] == "yes", GIVEN[:2500] >= chosen_thresholds.best.threshold)
    assert chosen >= max(tried)
    answered = probabilities >= chosen_thresholds.best.threshold
    assert chosen_thresholds.best.precision == pytest.approx(precision_score(y == "yes", answered))
    assert chosen_thresholds.best.recall == pytest.approx(recall_score(y == "yes", answered))
    assert chosen_thresholds.best.flagged == answered.sum()
    assert chosen_thresholds.argmax.recall == recall_score(y == "yes", PREDICTED[2500:] == "yes")


def test_only_models_of_two_classes_with_probabilities_have_a_threshold() -> None:
    assert thresholds(Y, PREDICTED, None, OUTPUT, None) is None
    assert thresholds(Y, PREDICTED, TABLE, Output(OutputKind.CLASS, (0, 1, 2), True), None) is None
    without = thresholds(Y, PREDICTED, TABLE, OUTPUT, None)
    assert without is not None and without.best is None
