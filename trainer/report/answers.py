"""What a model of classes answers to the rows it is tested on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.jobs import Value
from scoring.answers import ask_matrix
from trainer.report.evidence import Evidence
from trainer.report.parts import NotShown, most_frequent


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
