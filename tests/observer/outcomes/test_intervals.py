"""Intervals hold the true value in about 95 of 100 samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, roc_auc_score

from observer.outcomes import intervals
from observer.outcomes.intervals import mean_loss, mean_share, recall_at_precision, roc_auc, share_estimate, wilson
from observer.outcomes.joined_rows import JoinedRows
from observer.outcomes.metrics import Focus, measure

Draw = Callable[[np.random.Generator, int], JoinedRows]


def classes(share: float) -> Draw:
    def draw(random: np.random.Generator, rows: int) -> JoinedRows:
        actual = (random.random(rows) < share).astype(int)
        log_odds = 1.5 * (random.normal(size=rows) + 1.5 * actual) - 1.5**2 / 2 + np.log(share / (1 - share))
        table = 1 / (1 + np.exp(np.column_stack([log_odds, -log_odds])))
        return JoinedRows(actual, table.argmax(axis=1), table, ("no", "yes"))

    return draw


def three_classes(random: np.random.Generator, rows: int) -> JoinedRows:
    actual = random.choice(3, rows, p=(0.6, 0.3, 0.1))
    odds = np.exp(random.normal(size=(rows, 3)) + 1.5 * (actual[:, None] == np.arange(3)))
    table = odds / odds.sum(axis=1, keepdims=True)
    return JoinedRows(actual, table.argmax(axis=1), table, ("a", "b", "c"))


def numbers(random: np.random.Generator, rows: int) -> JoinedRows:
    predicted = random.normal(size=rows)
    return JoinedRows(predicted + random.laplace(size=rows), predicted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "focus"),
    [
        (classes(0.4), Focus("accuracy", 1)),
        (classes(0.1), Focus("average_precision", 1, True)),
        (three_classes, Focus("accuracy")),
        (numbers, Focus("r2")),
    ],
    ids=["two classes", "a rare class", "three classes", "numbers"],
)
def test_intervals_hold_the_true_value(draw: Draw, focus: Focus) -> None:
    random = np.random.default_rng(0)
    truth = measure(draw(random, 400_000), focus).estimates
    held: Counter[str] = Counter()
    for _ in range(400):
        for name, estimate in measure(draw(random, 500), focus).estimates.items():
            held[name] += estimate.low <= truth[name].value <= estimate.high
    assert held.keys() == truth.keys()
    for name, count in held.items():
        assert 0.92 <= count / 400 <= 0.98, name


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_the_interval_of_the_roc_auc_holds_with_ten_rows_of_a_class(share: float) -> None:
    random = np.random.default_rng(1)
    difference = {0.01: 0.5, 0.5: 1.5, 0.99: 3.0}[share]
    actual = np.arange(200) < 10
    truth = roc_auc_score(np.arange(400_000) % 2, random.normal(size=400_000) + difference * (np.arange(400_000) % 2))
    held = 0
    for _ in range(600):
        estimate = roc_auc(actual[:, None], (random.normal(size=200) + difference * actual)[:, None])
        held += estimate.low <= truth <= estimate.high
    assert held >= 0.93 * 600


def test_wilson_equals_that_of_scipy() -> None:
    for hits, rows in ((0, 5), (3, 10), (50, 50), (17, 1000)):
        interval = binomtest(hits, rows).proportion_ci(method="wilson")
        assert wilson(hits / rows, rows) == pytest.approx((interval.low, interval.high), abs=1e-12)
        estimate = share_estimate(hits, rows)
        assert (estimate.low, estimate.high) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_the_mean_of_one_share_has_its_interval() -> None:
    mean, share = mean_share(np.array([7]), np.array([9])), share_estimate(7, 9)
    assert (mean.value, mean.low, mean.high) == pytest.approx((share.value, share.low, share.high))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("influence_of", "score"),
    [(intervals._delong, roc_auc_score), (intervals._average_precision, average_precision_score)],
)
def test_the_influence_of_a_row_is_the_derivative_by_its_weight(
    influence_of: Callable[..., Any], score: Callable[..., float]
) -> None:
    random = np.random.default_rng(2)
    positive = random.random(200) < 0.3
    scores = np.round(random.normal(size=200) + positive, 1)
    value, influence = influence_of(positive, scores)
    assert value == pytest.approx(score(positive, scores))
    for row in range(200):
        change = 1e-4 * (np.arange(200) == row)
        more, less = (score(positive, scores, sample_weight=weights) for weights in (1 + change, 1 - change))
        assert influence[row] == pytest.approx(200 * (more - less) / 2e-4, abs=1e-5)


def test_the_recall_of_many_bins_is_that_of_the_rows() -> None:
    random = np.random.default_rng(3)
    positive = random.random(50_000) < 0.05
    scores = random.normal(size=50_000) + 2 * positive
    order = np.argsort(-scores)
    right = np.cumsum(positive[order])
    reached = right / np.arange(1, 50_001) >= 0.5
    estimate = recall_at_precision(positive, scores, 0.5)
    assert estimate.value == right[reached].max() / right[-1]
    assert estimate.low < estimate.value < estimate.high < estimate.low + 0.15


def test_losses_of_zero_have_an_interval_of_zero() -> None:
    estimate = mean_loss(np.zeros(5))
    assert (estimate.value, estimate.low, estimate.high) == (0, 0, 0)


def test_the_same_class_twice_tells_no_more_than_once() -> None:
    random = np.random.default_rng(4)
    positive = np.arange(100)[:, None] < 8
    scores = random.normal(size=(100, 1)) + 2 * positive
    for metric in (roc_auc, intervals.average_precision):
        once, twice = metric(positive, scores), metric(np.repeat(positive, 2, 1), np.repeat(scores, 2, 1))
        assert (once.low, once.high) == pytest.approx((twice.low, twice.high))
