"""Metrics by period, with outcomes that arrive late, and their comparison with the report."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from observer.outcomes.intervals import share_estimate
from observer.outcomes.joined_rows import JoinedRows
from observer.outcomes.metrics import measure
from observer.outcomes.over_time import Period, choose_period, compare_with_promise, over_time, period_starts

START = np.datetime64("2024-02-27T00:00:00", "ms")


def times_of(random: np.random.Generator, rows: int, days: float) -> np.ndarray:
    return START + (np.sort(random.random(rows)) * days * 86_400_000).astype("timedelta64[ms]")


@pytest.mark.parametrize(("period", "code"), [("hour", "h"), ("day", "D"), ("week", "W-SUN"), ("month", "M")])
def test_periods_begin_where_those_of_pandas_do(period: str, code: str) -> None:
    times = times_of(np.random.default_rng(0), 1000, 900)
    expected = pd.DatetimeIndex(times).to_period(code).start_time
    assert (period_starts(times, Period(period)) == expected.to_numpy()).all()
    before = np.array(["1969-12-28T23:00", "1969-12-29T01:00"], "datetime64[s]")
    assert (period_starts(before, Period.WEEK) == np.array(["1969-12-22", "1969-12-29"], "datetime64[D]")).all()


@pytest.mark.parametrize(
    ("rows", "days", "period"),
    [
        (20_000, 2, "hour"),
        (20_000, 20, "day"),
        (100_000, 20, "day"),
        (2000, 100, "week"),
        (2000, 400, "month"),
        (30, 1, "month"),
        (0, 1, "month"),
    ],
)
def test_the_shortest_period_with_enough_outcomes_is_chosen(rows: int, days: float, period: str) -> None:
    assert choose_period(times_of(np.random.default_rng(0), rows, days)) == period


def test_late_outcomes_are_missing_and_do_not_count_as_wrong() -> None:
    random = np.random.default_rng(1)
    asked = times_of(random, 10_000, 10)
    actual = random.integers(0, 2, 10_000)
    predicted = np.where(random.random(10_000) < 0.9, actual, 1 - actual)
    age = (asked[-1] - asked) / np.timedelta64(1, "D")
    arrived = (random.random(10_000) < age / 5) & (asked < asked[-1] - np.timedelta64(1, "D"))
    rows = JoinedRows(actual, predicted, None, ("no", "yes")).take(arrived)
    periods = over_time(rows, asked[arrived], asked, Period.DAY)
    table = pd.DataFrame({"right": actual == predicted, "arrived": arrived}).groupby(pd.DatetimeIndex(asked).floor("D"))
    assert [entry.predictions for entry in periods] == table.size().tolist()
    assert [entry.outcomes for entry in periods] == table["arrived"].sum().tolist()
    for entry, (_, day) in zip(periods, table, strict=True):
        if entry.outcomes:
            assert entry.measured.estimates["accuracy"].value == pytest.approx(day.right[day.arrived].mean())
            assert entry.measured.estimates["accuracy"].count == entry.outcomes
    assert periods[-1].outcomes == 0 and periods[-1].measured.missing["accuracy"] == "no outcomes yet"


def test_all_periods_have_the_headline_of_all_rows() -> None:
    asked = np.repeat(START + np.arange(2) * np.timedelta64(1, "D"), 100)
    actual = np.r_[np.arange(100) < 50, np.arange(100) < 1].astype(int)
    rows = JoinedRows(actual, actual, None, ("no", "yes"))
    periods = over_time(rows, asked, asked, Period.DAY)
    assert [next(iter(entry.measured.estimates)) for entry in periods] == ["accuracy"] * 2
    assert next(iter(measure(rows.take(slice(100, 200))).estimates)) == "balanced_accuracy"


def test_figures_are_worse_than_promised_only_beyond_the_errors_of_both() -> None:
    now = share_estimate(840, 1000)
    assert compare_with_promise("accuracy", now, 0.9, 1000).worse
    assert not compare_with_promise("accuracy", now, 0.9, 50).worse
    assert not compare_with_promise("accuracy", now, 0.8, 1000).worse
    errors = measure(JoinedRows(np.arange(500.0), np.arange(500.0) + np.tile([0.5, -1.5], 250)))
    loss = errors.estimates["mean_absolute_error"]
    assert compare_with_promise("mean_absolute_error", loss, 0.8, 500).worse
    assert not compare_with_promise("mean_absolute_error", loss, 1.2, 500).worse
    perfect = measure(JoinedRows(np.arange(5.0), np.arange(5.0))).estimates["mean_absolute_error"]
    assert not compare_with_promise("mean_absolute_error", perfect, 0.1, 50).worse


@pytest.mark.slow
@pytest.mark.parametrize(("now", "before"), [(300, 300), (2000, 200), (200, 5000)])
def test_a_version_that_keeps_its_promise_is_rarely_called_worse(now: int, before: int) -> None:
    random = np.random.default_rng(2)

    def draw(rows: int) -> JoinedRows:
        actual = random.integers(0, 2, rows)
        scores = 1 / (1 + np.exp(-random.normal(size=rows) - 2 * actual + 1))
        return JoinedRows(actual, (scores > 0.5).astype(int), np.column_stack([1 - scores, scores]), ("no", "yes"))

    called: Counter[str] = Counter()
    for _ in range(400):
        promised = measure(draw(before)).estimates
        for name, estimate in measure(draw(now)).estimates.items():
            called[name] += compare_with_promise(name, estimate, promised[name].value, before).p_value < 0.05
    assert set(called) >= {"accuracy", "roc_auc", "log_loss"} and sum(called.values()) > 0
    assert all(count <= 0.09 * 400 for count in called.values()), called
