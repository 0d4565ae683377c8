"""How a model of classes answers the rows it is tested on: confusions, ROC and precision-recall curves, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

from contract.jobs import Value
from scoring.answers import ask_matrix
from trainer.report.evidence import Evidence
from trainer.report.parts import MOST_CLASSES, Facts, NotShown, clean, most_frequent, number, numbers, part, thinned

POINTS, BINS, ROWS_A_BIN = 100, 10, 10


@dataclass(frozen=True)
class Answers:
    """Classes as positions in `labels`: those of the estimator, then those that only the test rows have.
    `probabilities` is rows × the estimator's classes, or None."""

    labels: Sequence[Value]
    actual: Any
    predicted: Any
    probabilities: Any

    @classmethod
    def of(cls, evidence: Evidence) -> Answers:
        output = evidence.manifest.signature.output
        found, table = ask_matrix(evidence.estimator, evidence.X_test, output.probabilities)
        actual, predicted = np.asarray(evidence.y_test).tolist(), np.asarray(found).tolist()
        known = list(output.labels or ())
        places = {label: place for place, label in enumerate(dict.fromkeys([*known, *actual, *predicted]))}
        return cls(
            list(places),
            np.array([places[label] for label in actual]),
            np.array([places[label] for label in predicted]),
            table,
        )

    @property
    def scored(self) -> Sequence[int]:
        """The classes whose curves are shown: of two the second, else the most frequent ones among the test rows."""
        if self.probabilities is None:
            raise NotShown("The model gives no probabilities.")
        if not np.isfinite(self.probabilities).all():
            raise NotShown("The model gave probabilities that are not finite numbers.")
        classes = self.probabilities.shape[1]
        if classes == 2:
            return [1]
        counts = np.bincount(self.actual, minlength=len(self.labels))[:classes]
        return most_frequent(range(classes), counts.tolist())


def classification(evidence: Evidence) -> Facts:
    answers = Answers.of(evidence)
    return {
        "confusion": part("confusion", lambda: confusion(answers)),
        "roc": part("roc", lambda: roc(answers)),
        "precision_recall": part("precision_recall", lambda: precision_recall(answers)),
        "calibration": part("calibration", lambda: calibration(answers)),
    }


def confusion(answers: Answers) -> Facts:
    """`counts[i][j]`: rows of class i that were taken for class j, for the classes that most rows have."""
    size = len(answers.labels)
    matrix = np.bincount(answers.actual * size + answers.predicted, minlength=size * size).reshape(size, size)
    shown = most_frequent(answers.labels, (matrix.sum(axis=0) + matrix.sum(axis=1)).tolist())
    counts = matrix[np.ix_(shown, shown)]
    return {
        "labels": [clean(answers.labels[place]) for place in shown],
        "counts": counts.tolist(),
        "classes_left_out": size - len(shown),
        "rows_left_out": int(matrix.sum() - counts.sum()),
    }


def roc(answers: Answers) -> Facts:
    """A curve a class: `x` the share of other rows that are taken for it, `y` the share of its own."""

    def curve(positive: Any, scores: Any) -> Facts:
        others, own, _ = roc_curve(positive, scores)
        x, y = thinned(POINTS, others, own)
        return {"area": number(auc(others, own)), "x": numbers(x), "y": numbers(y)}

    return _one_against_the_rest(answers, curve)


def precision_recall(answers: Answers) -> Facts:
    """A curve a class: `x` recall, `y` precision; `area` is the average precision, `share` what guessing reaches."""

    def curve(positive: Any, scores: Any) -> Facts:
        precision, recall, _ = precision_recall_curve(positive, scores)
        x, y = thinned(POINTS, recall, precision)
        area = average_precision_score(positive, scores)
        return {"area": number(area), "share": number(positive.mean()), "x": numbers(x), "y": numbers(y)}

    return _one_against_the_rest(answers, curve)


def _one_against_the_rest(answers: Answers, curve: Any) -> Facts:
    curves, one_sided = [], []
    for place in answers.scored:
        positive, label = answers.actual == place, clean(answers.labels[place])
        if positive.all() or not positive.any():
            one_sided.append(label)
        else:
            curves.append(
                {"label": label, "rows": int(positive.sum()), **curve(positive, answers.probabilities[:, place])}
            )
    if not curves:
        raise NotShown("All rows that the model was tested on are of one class.")
    classes = answers.probabilities.shape[1]
    return {"curves": curves, "one_sided": one_sided, "classes_left_out": max(0, classes - MOST_CLASSES)}


def calibration(answers: Answers) -> Facts:
    """Rows in bins of about equal size by probability: what was `predicted` on average, and the share that was
    `observed`, with the 95 % interval of Wilson from `low` to `high`.

    With two classes it is the probability of the second; with more, that of the class which is answered.
    """
    shown, label = answers.scored, None
    if answers.probabilities.shape[1] == 2:
        label = clean(answers.labels[shown[0]])
        given, hit = answers.probabilities[:, 1], answers.actual == 1
    else:
        given, hit = answers.probabilities.max(axis=1), answers.actual == answers.probabilities.argmax(axis=1)
    wanted = min(BINS, max(1, len(given) // ROWS_A_BIN))
    edges = np.unique(np.quantile(given, np.linspace(0, 1, wanted + 1)))
    bins = np.searchsorted(edges[1:-1], given, side="right")
    places, rows = np.unique(bins, return_counts=True)
    predicted, observed = (np.array([values[bins == place].mean() for place in places]) for values in (given, hit))
    low, high = _wilson(observed, rows)
    return {
        "label": label,
        "predicted": numbers(predicted),
        "observed": numbers(observed),
        "low": numbers(low),
        "high": numbers(high),
        "rows": rows.tolist(),
        "gap": number((np.abs(predicted - observed) * rows).sum() / len(given)),
        "brier": number(np.mean((given - hit) ** 2)),
    }


def _wilson(share: Any, rows: Any) -> tuple[Any, Any]:
    z = 1.96
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return np.maximum(0, middle - half), np.minimum(1, middle + half)
