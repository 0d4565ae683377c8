"""The metrics of a version from one period to the next, and whether it is worse than its report promised.

Periods are those of the predictions, not of the outcomes, which arrive later. All times are in UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import hypot, sqrt
from typing import Any

import numpy as np
from scipy.special import ndtr

from contract.model.version_metrics import lower_is_better
from observer.outcomes.intervals import Estimate, Z
from observer.outcomes.joined_rows import JoinedRows
from observer.outcomes.metrics import Focus, Measured, measure

ENOUGH = 100
"""The interval of an accuracy is at most 0.1 to each side with so many outcomes."""
MOST_PERIODS = 62
WORSE = 0.01
"""The significance level of the one-sided comparison with the report. It is repeated in every period."""


class Period(StrEnum):
    """Weeks begin on Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class PeriodMetrics:
    """The metrics of the `predictions` (a count) from `start` on, as far as their `outcomes` (a count) are known."""

    start: np.datetime64
    predictions: int
    outcomes: int
    measured: Measured


@dataclass(frozen=True)
class PromiseComparison:
    """A metric of the report, `promised`, against the same metric now.

    `low` and `high` are the interval of the promise. `p_value` is the probability of a metric that is at least so much
    worse if the version is as good as on the test rows. `worse`: the p-value is below `WORSE`.
    """

    promised: float
    low: float
    high: float
    p_value: float
    worse: bool


def period_starts(times: Any, period: Period) -> Any:
    """Return the start of the period of each time (both datetime64)."""
    if period is Period.WEEK:
        days = times.astype("datetime64[D]").astype(np.int64)
        return (days - (days + 3) % 7).astype("datetime64[D]")  # day 0, 1 January 1970, was a Thursday
    return times.astype(f"datetime64[{ {Period.HOUR: 'h', Period.DAY: 'D'}.get(period, 'M') }]")


def choose_period(times: Any) -> Period:
    """Return the shortest period that makes at most `MOST_PERIODS`, half of them with `ENOUGH` outcomes; else a month.

    `times` (datetime64) are those of the predictions whose outcome is known. Half, since the latest wait for theirs.
    """
    for period in Period:
        _, outcomes = np.unique(period_starts(times, period), return_counts=True)
        if len(outcomes) <= MOST_PERIODS and len(outcomes) and np.median(outcomes) >= ENOUGH:
            return period
    return Period.MONTH


def over_time(
    rows: JoinedRows, times: Any, prediction_times: Any, period: Period, focus: Focus | None = None
) -> Sequence[PeriodMetrics]:
    """Return the metrics of each period that has predictions, the earliest first.

    `times` (datetime64) are those of `rows`, `prediction_times` those of all predictions, with and without an outcome.
    All periods have the same `focus`: that of all rows if it is None.
    """
    focus = focus or Focus.of(rows)
    starts, predictions = np.unique(period_starts(prediction_times, period), return_counts=True)
    indices = np.searchsorted(starts, period_starts(times, period))
    order = np.argsort(indices, kind="stable")
    ends = np.cumsum(np.bincount(indices, minlength=len(starts)))
    return [
        PeriodMetrics(start, int(count), len(members), measure(rows.take(members), focus))
        for start, count, members in zip(starts, predictions, np.split(order, ends[:-1]), strict=True)
    ]


def compare_with_promise(name: str, now: Estimate, promised: float, rows: int) -> PromiseComparison:
    """Compare the metric `name` with what a report promised, which it measured on `rows` test rows.

    Both are independent estimates. The report has no interval, so the promise gets that of the metric now, scaled by
    the square root of the counts: rows like these would scatter so. The limits that face each other give the standard
    error of the difference (Zou and Donner, Statistics in Medicine 27, 2008).
    """
    factor = sqrt(now.count / rows)
    below, above = factor * (now.value - now.low), factor * (now.high - now.value)
    if lower_is_better(name):
        difference, half = now.value - promised, hypot(now.value - now.low, above)
    else:
        difference, half = promised - now.value, hypot(now.high - now.value, below)
    p_value = float(ndtr(-Z * difference / half)) if half else float(difference <= 0)
    return PromiseComparison(promised, promised - below, promised + above, p_value, p_value < WORSE)
