"""Kernels of calibrated classifiers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.isotonic import IsotonicRegression
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.extmath import softmax

from modelgate_kernels.kernel import Composite, InnerKernels, Kernel, NotCovered, finite

_LOG_EPSILON = 1e-12
"""Keeps the logarithm of a probability of 0 finite."""
_ROUNDING = 1e-5
"""A probability exceeds 1 by less than this when it was rounded."""


@dataclass(frozen=True)
class _Calibrated:
    """How one classifier of the ensemble is calibrated: `calibrate` turns what its `method` answers, as rows × columns,
    into probabilities, rows × classes. If it `is_binary`, only the probability of the second class counts."""

    method: str
    is_binary: bool
    calibrate: Callable[[Any], Any]

    def probabilities(self, member: Kernel, raw: Any) -> Any:
        answer = getattr(member, self.method)(raw)
        if self.is_binary and self.method == "predict_proba":
            answer = answer[:, 1]
        table = self.calibrate(answer.reshape(-1, 1) if answer.ndim == 1 else answer)
        above = table > 1.0
        if above.any():
            table[above & (table <= 1.0 + _ROUNDING)] = 1.0
        return table


class CalibrationKernel(Composite):
    """`raw` is rows × classes: the mean of the calibrated classifiers' probabilities."""

    def __init__(self, classes: Any, members: Sequence[Kernel], calibrated: Sequence[_Calibrated]) -> None:
        super().__init__(members)
        self._classes = classes
        self._calibrated = calibrated

    def raw(self, matrix: Any) -> Any:
        parts = zip(self._calibrated, self._members, self.raws(matrix), strict=True)
        return sum(calibrated.probabilities(member, raw) for calibrated, member, raw in parts) / len(self._members)

    def predict(self, raw: Any) -> Any:
        return self._classes[raw.argmax(axis=1)]

    def predict_proba(self, raw: Any) -> Any:
        return raw


def _by_class(places: Sequence[int], functions: Sequence[Callable[[Any], Any]], classes: int) -> Callable[[Any], Any]:
    """Return what calibrates the answers for each class by itself. `places` are those of the answers' columns among
    all `classes`."""

    def two(answers: Any) -> Any:
        table = np.empty((len(answers), 2))
        table[:, 1] = functions[0](answers[:, 0])
        table[:, 0] = 1.0 - table[:, 1]
        return table

    def several(answers: Any) -> Any:
        table = np.zeros((len(answers), classes))
        for index, column, function in zip(places, answers.T, functions, strict=False):
            table[:, index] = function(column)
        total = table.sum(axis=1)[:, np.newaxis]
        return np.divide(table, total, out=np.full_like(table, 1 / classes), where=total != 0)

    return two if classes == 2 else several


def _sigmoid(calibrator: Any) -> Callable[[Any], Any]:
    slope, intercept = calibrator.a_, calibrator.b_
    return lambda answers: expit(-(slope * answers + intercept))


def _isotonic(calibrator: Any) -> Callable[[Any], Any]:
    x, y = calibrator.X_thresholds_, calibrator.y_thresholds_
    is_clipped = type(calibrator) is IsotonicRegression and calibrator.out_of_bounds == "clip"
    if not is_clipped or {x.dtype, y.dtype} != {np.dtype(np.float64)}:
        return calibrator.predict  # type: ignore[no-any-return]
    return lambda answers: np.interp(finite(answers), x, y)


def _temperature(beta: Any, asks_probabilities: bool, classes: int) -> Callable[[Any], Any]:
    """Return what scales logits by `beta`. scikit-learn takes answers for probabilities if those of all rows are."""

    def scaled(answers: Any) -> Any:
        answers = finite(answers)
        if answers.dtype.kind != "f":
            raise NotCovered
        if answers.shape[1] == 1 and classes == 2:
            parts = [1 - answers, answers] if asks_probabilities else [-answers, answers]
            answers = np.concatenate(parts, axis=1)
            if not asks_probabilities:
                return softmax(beta * answers)
        within = ((answers >= 0) & (answers <= 1)).all()
        if within and np.isclose(answers.sum(axis=1), 1.0).all():
            answers = np.log(answers + _LOG_EPSILON)
        return softmax(beta * answers)

    return scaled


def _calibrated(part: Any) -> _Calibrated | None:
    classifier, classes = part.estimator, len(part.classes)
    if not is_classifier(classifier):
        return None
    method = "decision_function" if hasattr(classifier, "decision_function") else "predict_proba"
    is_binary = len(classifier.classes_) == 2
    if classes < 2 or is_binary != (classes == 2):
        return None  # some fold lacks a class
    if part.method == "temperature":
        scaled = _temperature(part.calibrators[0].beta_, method == "predict_proba", classes)
        return _Calibrated(method, is_binary, scaled)
    places = LabelEncoder().fit(part.classes).transform(classifier.classes_)
    functions = [*map({"sigmoid": _sigmoid, "isotonic": _isotonic}[part.method], part.calibrators)]
    return _Calibrated(method, is_binary, _by_class(places, functions, classes))


def _classifier(estimator: Any, inner: InnerKernels) -> Kernel | None:
    parts = estimator.calibrated_classifiers_
    calibrated = [*map(_calibrated, parts)]
    if None in calibrated:
        return None
    members = [inner.of_member(part.estimator) for part in parts]
    return CalibrationKernel(estimator.classes_, members, [function for function in calibrated if function])


KERNELS: Mapping[type, Callable[[Any, InnerKernels], Kernel | None]] = {CalibratedClassifierCV: _classifier}
