"""Kernels of XGBoost and LightGBM: their boosters without what their wrappers for scikit-learn check and set each time.

This module never imports them. An estimator brings its library along.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from modelgate_kernels.kernel import Kernel, NotCovered, number_rows

COMPARED_WITH: Mapping[str, frozenset[str]] = {"xgboost": frozenset({"3.2"}), "lightgbm": frozenset({"4.7"})}
"""The releases with which the tests have compared the kernels. Under another there are none."""


class XGBoostKernel(Kernel):
    """`raw` is what the booster predicts, in one pass: rows, or rows × classes, of float32."""

    def __init__(self, estimator: Any) -> None:
        self._booster = estimator.get_booster()
        self._columns = self._booster.num_features()
        self._missing = estimator.missing
        try:
            self._iterations = (0, estimator.best_iteration + 1)  # after an early stop
        except AttributeError:
            self._iterations = (0, 0)  # all

    def raw(self, matrix: Any) -> Any:
        return self._booster.inplace_predict(
            _numbers(matrix, self._columns),
            iteration_range=self._iterations,
            missing=self._missing,
            validate_features=False,
        )


class XGBoostClassifierKernel(XGBoostKernel):
    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        self._dimensions = 1 if estimator.n_classes_ == 2 else 2

    def raw(self, matrix: Any) -> Any:
        answers = super().raw(matrix)
        if answers.ndim != self._dimensions:
            raise NotCovered  # it has several labels, each with a probability
        return answers

    def predict(self, raw: Any) -> Any:
        return raw.argmax(axis=1) if raw.ndim > 1 else (raw > 0.5).astype(np.int64)

    def predict_proba(self, raw: Any) -> Any:
        return raw if raw.ndim > 1 else _of_both_classes(raw)


class LightGBMAnswers(NamedTuple):
    """What the booster predicts for a matrix: rows, or rows × classes."""

    matrix: Any
    values: Any


class LightGBMKernel(Kernel):
    def __init__(self, estimator: Any) -> None:
        self._booster = estimator.booster_
        self._columns = estimator.n_features_in_
        self._options = {**_further_parameters(estimator), "num_threads": 1}

    def raw(self, matrix: Any) -> Any:
        if getattr(matrix, "dtype", None) not in (np.float64, np.float32):
            raise NotCovered  # integers of an array become float32, and those of a DataFrame float64
        matrix = _numbers(matrix, self._columns)
        return LightGBMAnswers(matrix, self._answer(matrix))

    def _answer(self, matrix: Any, **options: Any) -> Any:
        return self._booster.predict(matrix, **self._options, **options)

    def predict(self, raw: Any) -> Any:
        return raw.values


class LightGBMClassifierKernel(LightGBMKernel):
    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        self._classes = estimator.classes_

    def predict(self, raw: Any) -> Any:
        return self._classes.take(self.predict_proba(raw).argmax(axis=1))

    def predict_proba(self, raw: Any) -> Any:
        return raw.values if raw.values.ndim > 1 else _of_both_classes(raw.values)

    def decision_function(self, raw: Any) -> Any:
        return self._answer(raw.matrix, raw_score=True)


def find_other_kernel(estimator: Any) -> Kernel | None:
    """Return the kernel of an estimator of XGBoost or LightGBM; None for others. May raise anything."""
    kind = type(estimator)
    name = f"{kind.__module__}.{kind.__qualname__}"
    library = sys.modules.get(kind.__module__.partition(".")[0])
    if name not in _KERNELS or getattr(sys.modules[kind.__module__], kind.__qualname__) is not kind or not library:
        return None
    release = ".".join(library.__version__.split(".")[:2])
    return _KERNELS[name](estimator) if release in COMPARED_WITH[library.__name__] else None


def _numbers(matrix: Any, columns: int) -> Any:
    """Return the matrix, if it is an array of rows × `columns` numbers and has no infinities."""
    rows = number_rows(matrix, columns, getattr(matrix, "dtype", np.float64))
    if np.isinf(rows).any():
        raise NotCovered
    return rows


def _of_both_classes(second: Any) -> Any:
    return np.vstack((1.0 - second, second)).transpose()


def _xgboost_classifier(estimator: Any) -> Kernel | None:
    objective = "binary:logistic" if estimator.n_classes_ == 2 else "multi:softprob"
    return XGBoostClassifierKernel(estimator) if estimator.objective == objective and _has_numbers(estimator) else None


def _xgboost_regressor(estimator: Any) -> Kernel | None:
    return XGBoostKernel(estimator) if _has_numbers(estimator) else None


def _has_numbers(estimator: Any) -> bool:
    """Return whether the booster is one of trees that split no categories."""
    return estimator.booster != "gblinear" and "c" not in (estimator.get_booster().feature_types or ())


def _lightgbm_classifier(estimator: Any) -> Kernel | None:
    return LightGBMClassifierKernel(estimator) if _answers_as_usual(estimator) else None


def _lightgbm_regressor(estimator: Any) -> Kernel | None:
    return LightGBMKernel(estimator) if _answers_as_usual(estimator) else None


def _answers_as_usual(estimator: Any) -> bool:
    """Return whether the booster has no categories, and no parameter makes its answers something else."""
    unusual = any(
        word in name for name in _further_parameters(estimator) for word in ("raw", "leaf", "contrib", "iter")
    )
    return not unusual and not callable(estimator.objective_) and not estimator.booster_.pandas_categorical


def _further_parameters(estimator: Any) -> dict[str, Any]:
    """Return the parameters that the constructor does not name, such as those of an early stop of predictions."""
    parameters = inspect.signature(type(estimator)).parameters
    return {name: value for name, value in estimator.get_params().items() if name not in parameters}


_KERNELS: Mapping[str, Callable[[Any], Kernel | None]] = {
    "xgboost.sklearn.XGBClassifier": _xgboost_classifier,
    "xgboost.sklearn.XGBRegressor": _xgboost_regressor,
    "lightgbm.sklearn.LGBMClassifier": _lightgbm_classifier,
    "lightgbm.sklearn.LGBMRegressor": _lightgbm_regressor,
}
