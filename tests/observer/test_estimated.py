"""Metrics are estimated as well as promised while the model is calibrated, and not where the concept has drifted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from bench.estimates import WORLDS, coverage
from observer.estimated import EstimatedMetric, estimated_accuracy, estimated_roc_auc


def covered(world: str, rows: int = 1_000) -> list[int]:
    return coverage(WORLDS[world], 200, np.random.default_rng(0), rows)[0]


@pytest.mark.parametrize("world", ["unchanged", "inputs move by 1 sd", "inputs move by 2 sd"])
@pytest.mark.parametrize("rows", [100, 1_000])
def test_the_interval_covers_the_true_metric_while_only_inputs_move(world: str, rows: int) -> None:
    """190 of 200 are promised; 182 or fewer are as unlikely as 1 in 100."""
    accuracy, _, area, _ = covered(world, rows)
    assert accuracy > 182 and area > 178


def test_the_calibration_error_makes_up_for_an_overconfident_model() -> None:
    accuracy, with_error, _, _ = covered("model overconfident")
    assert accuracy < 20 and with_error > 182


def test_no_interval_notices_that_the_concept_has_drifted() -> None:
    assert max(covered("concept drift: effects halve")) < 20


def test_accuracy_is_the_mean_probability_of_the_answers() -> None:
    estimate = estimated_accuracy(np.array([0.9, 0.6, 0.75]))
    assert estimate is not None and estimate.value == pytest.approx(0.75) and estimate.rows == 3
    assert 0 <= estimate.low < 0.75 < estimate.high <= 1


@pytest.mark.parametrize("probability", [0.5, 0.9, 0.995])
def test_the_interval_of_the_accuracy_holds_all_but_the_tails_of_the_exact_distribution(probability: float) -> None:
    rows = 1_000
    estimate = estimated_accuracy(np.full(rows, probability))
    least, greatest = binom.ppf([0.025, 0.975], rows, probability)
    assert estimate is not None
    assert least - 1 < estimate.low * rows <= least
    assert greatest <= estimate.high * rows < greatest + 1


def test_a_certain_model_is_expected_to_be_right() -> None:
    estimate = estimated_accuracy(np.ones(100))
    assert estimate == EstimatedMetric(1.0, 0.995, 1.0, 100)


def test_the_area_is_the_ratio_of_the_expected_pairs() -> None:
    positive = np.array([0.1, 0.4, 0.4, 0.9])
    pairs = [(p, q) for i, p in enumerate(positive) for j, q in enumerate(positive) if i != j]
    right = sum(p * (1 - q) * ((p > q) + (p == q) / 2) for p, q in pairs)
    estimate = estimated_roc_auc(positive)
    assert estimate is not None and estimate.value == pytest.approx(right / sum(p * (1 - q) for p, q in pairs))


def test_the_variance_of_the_area_is_that_of_drawn_labels() -> None:
    rng = np.random.default_rng(0)
    positive = np.sort(rng.random(400))
    areas = []
    for _ in range(2_000):
        label = rng.random(400) < positive
        ranks = np.arange(1, 401)[label].sum() - label.sum() * (label.sum() + 1) / 2
        areas.append(ranks / (label.sum() * (~label).sum()))
    estimate = estimated_roc_auc(positive)
    assert estimate is not None
    assert (estimate.high - estimate.low) / (2 * 1.96) == pytest.approx(np.std(areas), rel=0.06)


def test_there_is_no_estimate_without_rows_or_without_both_classes() -> None:
    assert estimated_accuracy(np.zeros(0)) is None
    for positive in (np.zeros(0), np.zeros(5), np.ones(5), np.array([0.3])):
        assert estimated_roc_auc(positive) is None
