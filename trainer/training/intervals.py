"""Intervals of metrics at the level 0.95.

Accuracy has Wilson's interval. The others have a delete-a-group jackknife: the rows are split into groups at random,
and each metric is measured without each group in turn. Kott ("The delete-a-group jackknife", Journal of Official
Statistics 17, 2001) derives the variance from how far these values scatter, so one formula serves every smooth metric.
The log of the error (of a score: of 1 less it) has the symmetric interval, which therefore stays within the range of
the metric.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import exp, sqrt
from typing import Any

import numpy as np
from scipy.special import stdtrit

from contract.model.version_metrics import BASELINE, lower_is_better
from trainer.report.classification import wilson

GROUPS, FEWEST_ROWS, MOST_ROWS, SEED = 25, 10, 50_000, 0
"""Of more rows than `MOST_ROWS`, so many show the scatter: it shrinks with the root of the rows."""
_TAIL = 0.975
_NOT_SMOOTH = "recall_at_half_precision"


def intervals(rows: int, measure: Callable[[Any], Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Return the lower and the upper limit of each metric that `measure` returns for positions of `rows`.

    A metric has none if the jackknife does not show how far chance reaches: a group has all rows of a class, or all
    errors. With fewer than `FEWEST_ROWS` rows, none has.
    """
    if rows < FEWEST_ROWS:
        return {}
    measured, order = measure(np.arange(rows)), np.random.default_rng(SEED).permutation(rows)[:MOST_ROWS]
    groups = np.array_split(order, min(GROUPS, len(order)))
    without = [measure(np.setdiff1d(order, group)) for group in groups]
    quantile = float(stdtrit(len(groups) - 1, _TAIL)) * sqrt(len(order) / rows)
    limits: dict[str, tuple[float, float]] = {}
    for name, value in measured.items():
        errors = np.array([_error(name, metrics.get(name, np.nan)) for metrics in without])
        if name == "accuracy":
            low, high = map(float, wilson(value, rows))
        elif (errors > 0).all() and np.ptp(errors) > 0 and name != _NOT_SMOOTH and not name.startswith(BASELINE):
            reach = exp(min(quantile * sqrt((len(groups) - 1) * np.var(np.log(errors))), 700.0))
            low, high = (_error(name, _error(name, value) * factor) for factor in (1 / reach, reach))
        else:
            continue
        limits[name] = (min(low, high), max(low, high))
    return limits


def _error(name: str, value: float) -> float:
    """Return 1 less a score, and an error as it is. It is its own inverse."""
    return value if lower_is_better(name) else 1 - value
