"""Metrics with intervals at the level 0.95.

Shares have Wilson's interval (Wilson, "Probable inference", JASA 22, 1927). Every other metric is a smooth function of
the data, so its variance is the mean square of its influence function divided by the rows (the delta method), and no
resampling is needed. Only the recall at a precision is not smooth; it has a bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt
from typing import Any

import numpy as np
from scipy.special import ndtri, stdtrit
from scipy.stats import rankdata

LEVEL = 0.95
_TAIL = (1 + LEVEL) / 2
Z = float(ndtri(_TAIL))

_FADING = 30
"""With so many rows of the smaller class, half of what the formula of Hanley and McNeil adds to DeLong's is left."""
_DRAWS, _BINS, _SEED = 200, 1024, 0


@dataclass(frozen=True)
class Estimate:
    """The `value` of a metric, its interval from `low` to `high`, and the `count` of outcomes behind it."""

    value: float
    low: float
    high: float
    count: int


def wilson(share: Any, rows: Any) -> tuple[Any, Any]:
    """Return Wilson's interval of a share of `rows`; both may be arrays."""
    middle = (share + Z * Z / (2 * rows)) / (1 + Z * Z / rows)
    half = Z / (1 + Z * Z / rows) * np.sqrt(share * (1 - share) / rows + Z * Z / (4 * rows * rows))
    return np.clip(middle - half, 0, share), np.clip(middle + half, share, 1)


def share_estimate(hits: int, rows: int) -> Estimate:
    """Return the share of `hits` in `rows`."""
    share = hits / rows
    low, high = wilson(share, rows)
    return Estimate(share, float(low), float(high), rows)


def mean_share(hits: Any, rows: Any) -> Estimate:
    """Return the mean of several shares, each of `hits` in `rows` (arrays), which are independent.

    The distances of Wilson's limits from each share are added as standard errors are (Zou and Donner, "Construction of
    confidence limits about effect measures", Statistics in Medicine 27, 2008).
    """
    shares = hits / rows
    low, high = wilson(shares, rows)
    value = float(shares.mean())
    below, above = (sqrt(np.square(limit - shares).sum()) / len(shares) for limit in (low, high))
    return Estimate(value, max(0.0, value - below), min(1.0, value + above), int(rows.sum()))


def mean_loss(losses: Any) -> Estimate:
    """Return the mean of two or more losses, which are not negative. Its logarithm has the symmetric interval."""
    value = float(losses.mean())
    return Estimate(value, *_log_limits(value, losses - value), len(losses))


def root_mean_square(errors: Any) -> Estimate:
    """Return the root of the mean of two or more squared errors."""
    square = mean_loss(np.square(errors))
    return Estimate(sqrt(square.value), sqrt(square.low), sqrt(square.high), square.count)


def r_squared(actual: Any, predicted: Any) -> Estimate:
    """Return R² of two or more rows. `actual` must not be constant.

    1 - R² is a ratio of two means, so its logarithm has the symmetric interval.
    """
    errors, spread = np.square(actual - predicted), np.square(actual - actual.mean())
    ratio = float(errors.mean() / spread.mean())
    low, high = _log_limits(ratio, (errors - ratio * spread) / spread.mean())
    return Estimate(1 - ratio, 1 - high, 1 - low, len(actual))


def _log_limits(value: float, influence: Any) -> tuple[float, float]:
    if value == 0:
        return 0.0, 0.0
    factor = exp(min(Z * float(influence.std(ddof=1)) / sqrt(len(influence)) / value, 700.0))
    return value / factor, value * factor


def roc_auc(positive: Any, scores: Any) -> Estimate:
    """Return the mean area under the ROC curves of some classes, each against the rest.

    `positive` (booleans) and `scores` are rows × classes; each class has rows and lacks rows. With few rows of a class
    DeLong's variance is too small where the area is large. Then the variance of Hanley and McNeil ("The meaning and use
    of the area under a ROC curve", Radiology 143, 1982) is used instead if it is larger.
    """
    rows, classes = positive.shape
    curves = [_delong(*columns) for columns in zip(positive.T, scores.T, strict=True)]
    variance = _variance(np.mean([influence for _, influence in curves], axis=0))
    fewest = rows
    for (area, influence), ones in zip(curves, positive.sum(axis=0).tolist(), strict=True):
        fewer = min(ones, rows - ones)
        excess = max(0.0, _hanley_mcneil(area, ones, rows - ones) - _variance(influence))
        variance += excess * _FADING / (_FADING + fewer) / classes
        fewest = min(fewest, fewer)
    return _bounded(float(np.mean([area for area, _ in curves])), variance, fewest, rows)


def _delong(positive: Any, scores: Any) -> tuple[float, Any]:
    """Return the area under a ROC curve and the influence of each row on it, in O(n log n).

    Sun and Xu, "Fast implementation of DeLong's algorithm for comparing the areas under correlated receiver operating
    characteristic curves", IEEE Signal Processing Letters 21, 2014.
    """
    ranks, rows = rankdata(scores), len(scores)
    ones = int(positive.sum())
    zeros = rows - ones
    above = (ranks[positive] - rankdata(scores[positive])) / zeros
    below = 1 - (ranks[~positive] - rankdata(scores[~positive])) / ones
    area = float(above.mean())
    influence = np.empty(rows)
    influence[positive], influence[~positive] = (above - area) * rows / ones, (below - area) * rows / zeros
    return area, influence


def _hanley_mcneil(area: float, ones: int, zeros: int) -> float:
    """Return the variance of an area under a ROC curve, with the sizes of both classes averaged as Newcombe does
    ("Confidence intervals for an effect size measure", part 2, Statistics in Medicine 25, 2006)."""
    pairs = (ones + zeros) / 2 - 1
    return area * (1 - area) * (1 + pairs * ((1 - area) / (2 - area) + area / (1 + area))) / (ones * zeros)


def average_precision(positive: Any, scores: Any) -> Estimate:
    """Return the mean average precision of some classes; `positive` (booleans) and `scores` are rows × classes.

    The variance rests on the rows of the rarest class, so the interval is that of Student's t with as many.
    """
    curves = [_average_precision(*columns) for columns in zip(positive.T, scores.T, strict=True)]
    fewest = int(positive.sum(axis=0).min())
    value = float(np.mean([value for value, _ in curves]))
    variance = _variance(np.mean([influence for _, influence in curves], axis=0))
    return _bounded(value, variance * (stdtrit(max(1, fewest - 1), _TAIL) / Z) ** 2, fewest, len(positive))


def _average_precision(positive: Any, scores: Any) -> tuple[float, Any]:
    """Return the average precision and the influence of each row on it, its derivative by the weight of the row.

    A row changes the mean over the positive rows, if it is one, and the precision at every score that it reaches.
    """
    order = np.argsort(-scores, kind="stable")
    hit, group, last = positive[order].astype(float), *_ties(scores[order])
    right, above = np.cumsum(hit)[last], last + 1.0
    ones, hits = right[-1], np.diff(right, prepend=0)
    value = float((hits * right / above).sum() / ones)
    gain, loss = (np.cumsum(sums[::-1])[::-1] for sums in (hits / above, hits * right / above**2))
    influence = np.empty(len(scores))
    influence[order] = (hit * (right / above)[group] - hit * value + hit * gain[group] - loss[group]) / ones
    return value, influence * len(scores)


def _ties(scores: Any) -> tuple[Any, Any]:
    """Return the number of each row's group of equal `scores`, which are sorted, and the last row of each group."""
    new = np.append(True, scores[1:] != scores[:-1])
    return np.cumsum(new) - 1, np.append(np.flatnonzero(new)[1:], len(scores)) - 1


def recall_at_precision(positive: Any, scores: Any, precision: float) -> Estimate:
    """Return the largest recall that a threshold with at least this precision has.

    The interval has the quantiles of a Poisson bootstrap. Sums of Poisson numbers are Poisson numbers, so it draws
    counts of at most `_BINS` bins of neighbouring scores instead of a number for each row.
    """
    order = np.argsort(-scores, kind="stable")
    group, last = _ties(scores[order])
    hits, rows = np.bincount(group, positive[order]), np.diff(last, prepend=-1)
    value = float(_largest_recall(hits, rows, precision))
    bins = last * _BINS // len(scores)
    hits, rows = np.bincount(bins, hits), np.bincount(bins, rows)
    random = np.random.default_rng(_SEED)
    drawn, others = (random.poisson(counts, (_DRAWS, len(hits))) for counts in (hits, rows - hits))
    low, high = np.quantile(_largest_recall(drawn, drawn + others, precision), (1 - _TAIL, _TAIL))
    return Estimate(value, min(value, float(low)), max(value, float(high)), len(scores))


def _largest_recall(hits: Any, rows: Any, precision: float) -> Any:
    """`hits` and `rows` of groups by falling score, along the last axis."""
    right = np.cumsum(hits, axis=-1)
    reached = np.where(right >= precision * np.cumsum(rows, axis=-1), right, 0).max(axis=-1)
    return reached / np.maximum(1, right[..., -1])


def _variance(influence: Any) -> float:
    return float(np.square(influence).mean()) / (len(influence) - 1)


def _bounded(value: float, variance: float, fewest: int, count: int) -> Estimate:
    """Return the estimate of a metric from 0 to 1: Wilson's interval for as many rows as a share of this variance has.

    Korn and Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated
    from survey data", Survey Methodology 24, 1998. At 0 and 1 the variance is 0 and says nothing; then it is that of as
    many rows as the smallest class has (`fewest`).
    """
    low, high = wilson(value, value * (1 - value) / variance if variance > 0 and 0 < value < 1 else fewest)
    return Estimate(value, float(low), float(high), count)
