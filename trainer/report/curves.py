"""ROC and precision-recall curves of each class, reduced to as few points as each line needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

from trainer.report.answers import Classes
from trainer.report.parts import MOST_CLASSES, Facts, NotShown, clean, number, numbers

TOLERANCE = 0.002
"""Largest distance of a shown curve from the full one, on axes from 0 to 1: a pixel of the picture."""

Curve = Callable[[Any, Any], Facts]
"""Returns the facts of one curve, given which rows are of the class (booleans) and their probabilities."""


def roc(answers: Classes) -> Facts:
    """Return a ROC curve for each class: `x` the false positive rate, `y` the true positive rate, `area` under it."""

    def curve(positive: Any, scores: Any) -> Facts:
        false, true, _ = roc_curve(positive, scores)
        return {"area": number(auc(false, true)), **_points(false, true)}

    return _one_against_the_rest(answers, curve)


def precision_recall(answers: Classes) -> Facts:
    """Return a curve for each class: `x` recall, `y` precision, `area` the average precision, `share` the precision of
    guessing.

    The curve has steps, as scikit-learn draws it: the area under them is the average precision, and no threshold gives
    the values on a straight line between two points.
    """

    def curve(positive: Any, scores: Any) -> Facts:
        precision, recall, _ = precision_recall_curve(positive, scores)
        x, y = np.repeat(recall, 2)[1:], np.repeat(precision, 2)[:-1]
        area = average_precision_score(positive, scores)
        return {"area": number(area), "share": number(positive.mean()), **_points(x, y)}

    return _one_against_the_rest(answers, curve)


def simplified(x: Any, y: Any, tolerance: float = TOLERANCE) -> Any:
    """Return the positions of the points that a line through (x, y) needs to stay within `tolerance` of the full
    one.

    The algorithm of Douglas and Peucker: keep the point that is farthest from the straight line unless it is near
    enough, and repeat on both sides of it. So points are kept where the curve bends.
    """
    needed = np.zeros(len(x), dtype=bool)
    needed[[0, -1]] = True
    stretches = [(0, len(x) - 1)]
    while stretches:
        first, last = stretches.pop()
        if last - first < 2:
            continue
        distances = _distances(x[first : last + 1], y[first : last + 1])
        if distances.max() > tolerance:
            farthest = first + int(distances.argmax())
            needed[farthest] = True
            stretches += [(first, farthest), (farthest, last)]
    return np.flatnonzero(needed)


def _distances(x: Any, y: Any) -> Any:
    """Return the distance of each point from the line segment between the first and the last point."""
    dx, dy = x[-1] - x[0], y[-1] - y[0]
    squared = dx * dx + dy * dy
    along = np.clip(((x - x[0]) * dx + (y - y[0]) * dy) / squared, 0, 1) if squared else np.zeros(len(x))
    return np.hypot(x - x[0] - along * dx, y - y[0] - along * dy)


def _points(x: Any, y: Any) -> Facts:
    shown = simplified(x, y)
    return {"x": numbers(x[shown]), "y": numbers(y[shown])}


def _one_against_the_rest(answers: Classes, curve: Curve) -> Facts:
    curves, one_sided = [], []
    for column in answers.scored:
        positive, label = answers.actual == column, clean(answers.labels[column])
        if positive.all() or not positive.any():
            one_sided.append(label)
        else:
            curves.append(
                {"label": label, "rows": int(positive.sum()), **curve(positive, answers.probabilities[:, column])}
            )
    if not curves:
        raise NotShown("All test rows are of one class.")
    classes = answers.probabilities.shape[1]
    return {"curves": curves, "one_sided": one_sided, "classes_left_out": max(0, classes - MOST_CLASSES)}
