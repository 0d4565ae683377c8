"""Facts about a classifier's predictions of its test rows: confusion matrix, metrics by class, thresholds,
calibration."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.metrics import (
    auc,
    average_precision_score,
    precision_recall_curve,
    precision_recall_fscore_support,
    roc_curve,
)

from contract.model.positive_class import positive_class
from contract.model.signature import Decision
from contract.model.thresholds import STEPS
from contract.row import Value
from contract.wording import clean
from scoring.estimators import predict_matrix
from trainer.report.evidence import Evidence, VersionAnswers
from trainer.report.parts import MOST_CLASSES, Facts, NotShown, equal_bins, most_frequent, number, numbers, part

RECALLS = (0.95, 0.9, 0.75, 0.5, 0.25)
"""The report shows thresholds that reach these recalls."""


TOLERANCE = 0.002
"""Largest distance of a shown curve from the full one, on axes from 0 to 1: a pixel of the picture."""

Curve = Callable[[Any, Any], Facts]
"""Returns the facts of one curve, given which rows are of the class (booleans) and their probabilities."""


@dataclass(frozen=True)
class Classes:
    """Predicted and actual classes, as positions in `labels`: the estimator's, then those that only test rows have.
    `probabilities` is rows × the estimator's classes, or None. `interesting` are the classes to look at closely.
    `decision`: that of the version, if it has one."""

    labels: Sequence[Value]
    actual: Any
    predicted: Any
    probabilities: Any
    interesting: Sequence[int]
    decision: Decision | None = None

    @classmethod
    def of(cls, evidence: Evidence) -> Classes:
        output = evidence.draft.signature.output
        answers = VersionAnswers(*predict_matrix(evidence.estimator, evidence.X_test, evidence.draft), output)
        return cls.beside(evidence.y_test, answers, evidence.targets)

    @classmethod
    def beside(cls, y: Any, answers: VersionAnswers, targets: Sequence[Value]) -> Classes:
        """Return the `answers` to rows with the targets `y`. `targets`: those of all rows."""
        actual, predicted = np.asarray(y).tolist(), np.asarray(answers.predicted).tolist()
        known = list(answers.output.labels or ())
        code_of = {label: index for index, label in enumerate(dict.fromkeys([*known, *actual, *predicted]))}
        return cls(
            list(code_of),
            np.array([code_of[label] for label in actual]),
            np.array([code_of[label] for label in predicted]),
            answers.table,
            interesting(known, targets),
            answers.output.decision,
        )

    @property
    def scored(self) -> Sequence[int]:
        """Return the interesting classes that have probabilities. Raises `NotShown` if none has."""
        if self.probabilities is None:
            raise NotShown("The model gives no probabilities.")
        if not np.isfinite(self.probabilities).all():
            raise NotShown("The model gave probabilities that are not finite numbers.")
        return self.interesting


def interesting(labels: Sequence[Value], targets: Sequence[Value]) -> Sequence[int]:
    """Return the positions of the classes to show: of two the `positive_class`, else the most frequent."""
    counts = Counter(targets)
    if len(labels) == 2:
        return [positive_class(labels, [counts[label] for label in labels])]
    return most_frequent(labels, [counts[label] for label in labels])


def classification(answers: Classes, recommended: float | None = None) -> Facts:
    """Return the facts about the answers of a classifier. Of two classes, those of curves and thresholds are about the
    positive one; `other_class` has the same about the other one."""
    facts = {
        "confusion": part("confusion", lambda: confusion(answers)),
        "classes": part("classes", lambda: by_class(answers)),
        **_of_scored(answers, recommended),
    }
    if answers.probabilities is None or answers.probabilities.shape[1] != 2:
        return facts
    other = [1 - position for position in answers.interesting]
    return {**facts, "other_class": _of_scored(replace(answers, interesting=other))}


def _of_scored(answers: Classes, recommended: float | None = None) -> Facts:
    return {
        "thresholds": part("thresholds", lambda: thresholds(answers, recommended)),
        **curves(answers),
        "calibration": part("calibration", lambda: calibration(answers)),
    }


def curves(answers: Classes) -> Facts:
    return {
        "roc": part("roc", lambda: roc(answers)),
        "precision_recall": part("precision_recall", lambda: precision_recall(answers)),
    }


def confusion(answers: Classes) -> Facts:
    """Return `counts[i][j]`, the rows of class i predicted as class j, for the most frequent classes."""
    size = len(answers.labels)
    matrix = np.bincount(answers.actual * size + answers.predicted, minlength=size * size).reshape(size, size)
    shown = most_frequent(answers.labels, (matrix.sum(axis=0) + matrix.sum(axis=1)).tolist())
    counts = matrix[np.ix_(shown, shown)]
    return {
        "labels": [clean(answers.labels[index]) for index in shown],
        "counts": counts.tolist(),
        "classes_left_out": size - len(shown),
        "rows_left_out": int(matrix.sum() - counts.sum()),
    }


def by_class(answers: Classes) -> Facts:
    """Return precision, recall and F1 of the most frequent classes, and the unweighted mean over all that occur.

    `rows` belong to the class, `predicted` were predicted as it. Recall is null for a class without rows, precision for
    one that is never predicted; the mean counts both as 0, as scikit-learn's classification report does.
    """
    size = len(answers.labels)
    rows, predicted = (np.bincount(codes, minlength=size) for codes in (answers.actual, answers.predicted))
    scores = precision_recall_fscore_support(answers.actual, answers.predicted, labels=range(size), zero_division=0)
    occurring = (rows + predicted) > 0
    shown = most_frequent(answers.labels, (rows + predicted).tolist())
    precision, recall, f1 = scores[:3]
    items = [
        {
            "label": clean(answers.labels[index]),
            "rows": int(rows[index]),
            "predicted": int(predicted[index]),
            "precision": number(precision[index]) if predicted[index] else None,
            "recall": number(recall[index]) if rows[index] else None,
            "f1": number(f1[index]) if occurring[index] else None,
        }
        for index in shown
    ]
    names = ("precision", "recall", "f1")
    mean = {name: number(score[occurring].mean()) for name, score in zip(names, (precision, recall, f1), strict=True)}
    return {"items": items, "mean": mean, "left_out": size - len(shown)}


def thresholds(answers: Classes, recommended: float | None = None) -> Facts:
    """Return, for two classes, the results of predicting the rarer one (`label`) from a probability on.

    `items` by falling threshold: `precision`, `recall`, `f1`, and how many rows are `flagged`. They are the threshold
    of the model's own predictions (`served`; some models have none) or of the version's decision about this class
    (`decided`), the one that is `recommended`, and those that reach `RECALLS`. These are rounded downwards, and the
    figures are those of the rounded thresholds. `steps` has the counts at many more (`contract.model.thresholds`).
    """
    if answers.probabilities is None or answers.probabilities.shape[1] != 2:
        raise NotShown("Thresholds are shown for models of two classes with probabilities.")
    column = answers.scored[0]
    probabilities, positive = answers.probabilities[:, column], answers.actual == column
    if positive.all() or not positive.any():
        raise NotShown("All test rows are of one class.")
    decision, label = answers.decision, answers.labels[column]
    served = None if decision else _served(probabilities, answers.predicted == column)
    decided = decision.threshold if decision and decision.label == label else None
    reaching = [_below(float(np.quantile(probabilities[positive], 1 - recall, method="lower"))) for recall in RECALLS]
    wanted = {threshold for threshold in (served, decided, recommended, *reaching) if threshold is not None}
    return {
        "label": clean(label),
        "rows": len(probabilities),
        "positives": int(positive.sum()),
        "share": number(positive.mean()),
        "steps": _steps(probabilities, positive, wanted),
        "items": [
            {
                "threshold": threshold,
                **_at(threshold, probabilities, positive),
                "served": threshold == served,
                "recommended": threshold == recommended,
                "decided": threshold == decided,
            }
            for threshold in sorted(wanted, reverse=True)
        ],
    }


def _steps(probabilities: Any, positive: Any, wanted: Iterable[float]) -> Facts:
    """Return the counts at `STEPS` and the `wanted` thresholds, without those between two with the same counts."""
    at = np.unique([*STEPS, *(threshold for threshold in wanted if 0 < threshold < 1)])
    flagged, right = (
        len(chosen) - np.searchsorted(np.sort(chosen), at, side="left")
        for chosen in (probabilities, probabilities[positive])
    )
    changes = np.diff(flagged, prepend=-1, append=-1) != 0
    ends = changes[:-1] | changes[1:]
    return {"threshold": at[ends].tolist(), "flagged": flagged[ends].tolist(), "right": right[ends].tolist()}


def _at(threshold: float, probabilities: Any, positive: Any) -> Facts:
    flagged = probabilities >= threshold
    right, count = int((flagged & positive).sum()), int(flagged.sum())
    return {
        "precision": number(right / count) if count else None,
        "recall": number(right / positive.sum()),
        "f1": number(2 * right / (count + positive.sum())),
        "flagged": count,
    }


def _served(probabilities: Any, predicted: Any) -> float | None:
    """Return the threshold that the model itself uses, if any."""
    candidates = [0.5, *([_below(float(probabilities[predicted].min()))] if predicted.any() else [])]
    return next((threshold for threshold in candidates if ((probabilities >= threshold) == predicted).all()), None)


def _below(probability: float, digits: int = 3) -> float:
    """Round downwards to `digits` significant digits, so that probabilities at the threshold still reach it."""
    if probability <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(probability)) - digits + 1)
    rounded = float(f"{math.floor(probability / unit) * unit:.{digits}g}")
    return rounded if rounded <= probability else float(f"{rounded - unit:.{digits}g}")


def calibration(answers: Classes) -> Facts:
    """Return the calibration in bins of about equal size by probability: the mean `predicted` probability, and the
    `observed` share with Wilson's 95 % interval from `low` to `high`.

    For two classes it is the probability of the rarer one, for more that of the predicted class.
    """
    shown, label = answers.scored, None
    if answers.probabilities.shape[1] == 2:
        label = clean(answers.labels[shown[0]])
        probabilities, hit = answers.probabilities[:, shown[0]], answers.actual == shown[0]
    else:
        probabilities, hit = answers.probabilities.max(axis=1), answers.actual == answers.probabilities.argmax(axis=1)
    bins = equal_bins(probabilities)
    bin_indices, rows = np.unique(bins, return_counts=True)
    predicted, observed = (
        np.array([values[bins == bin_index].mean() for bin_index in bin_indices]) for values in (probabilities, hit)
    )
    low, high = wilson(observed, rows)
    return {
        "label": label,
        "predicted": numbers(predicted),
        "observed": numbers(observed),
        "low": numbers(low),
        "high": numbers(high),
        "rows": rows.tolist(),
        "gap": number((np.abs(predicted - observed) * rows).sum() / len(probabilities)),
        "brier": number(np.mean((probabilities - hit) ** 2)),
    }


def wilson(share: Any, rows: Any) -> tuple[Any, Any]:
    """Return Wilson's 95 % interval of a share of `rows`; both may be arrays."""
    z = 1.96
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return np.maximum(0, middle - half), np.minimum(1, middle + half)


# ROC and precision-recall curves of each class, reduced to as few points as each line needs


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
