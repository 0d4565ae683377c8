"""The predictions of a model for its test rows, beside the actual values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.row import Value
from scoring.estimators import predict_matrix
from trainer.report.evidence import Evidence, VersionAnswers
from trainer.report.parts import NotShown, most_frequent


@dataclass(frozen=True)
class Classes:
    """Predicted and actual classes, as positions in `labels`: the estimator's, then those that only test rows have.
    `probabilities` is rows × the estimator's classes, or None. `interesting` are the classes to look at closely."""

    labels: Sequence[Value]
    actual: Any
    predicted: Any
    probabilities: Any
    interesting: Sequence[int]

    @classmethod
    def of(cls, evidence: Evidence) -> Classes:
        output = evidence.draft.signature.output
        answers = VersionAnswers(*predict_matrix(evidence.estimator, evidence.X_test, output.probabilities), output)
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
        )

    @property
    def scored(self) -> Sequence[int]:
        """Return the interesting classes that have probabilities. Raises `NotShown` if none has."""
        if self.probabilities is None:
            raise NotShown("The model gives no probabilities.")
        if not np.isfinite(self.probabilities).all():
            raise NotShown("The model gave probabilities that are not finite numbers.")
        return self.interesting


@dataclass(frozen=True)
class Numbers:
    """Actual and predicted numbers of the test rows at `positions`, where the prediction is finite."""

    actual: Any
    predicted: Any
    positions: Any
    not_finite: int

    @classmethod
    def of(cls, evidence: Evidence) -> Numbers:
        return cls.beside(evidence.y_test, predict_matrix(evidence.estimator, evidence.X_test, False)[0])

    @classmethod
    def beside(cls, y: Any, values: Any) -> Numbers:
        """Return the predictions `values` of rows with the targets `y`. Raises `NotShown` if none is finite."""
        actual, predicted = np.asarray(y, dtype=float), np.asarray(values, dtype=float)
        finite = np.isfinite(predicted)
        if not finite.any():
            raise NotShown("None of the model's predictions is a finite number.")
        return cls(actual[finite], predicted[finite], np.flatnonzero(finite), int((~finite).sum()))


def interesting(labels: Sequence[Value], targets: Sequence[Value]) -> Sequence[int]:
    """Return the positions of the classes to show: of two the rarer one (the second if equal), else the most
    frequent."""
    counts = Counter(targets)
    if len(labels) == 2:
        return [0 if counts[labels[0]] < counts[labels[1]] else 1]
    return most_frequent(labels, [counts[label] for label in labels])
