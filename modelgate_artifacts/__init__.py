"""What artifacts name: functions of `tabular`'s pipelines, estimators that imports make of the parts of one file, and
adapters that give models of other libraries a `predict` that takes the inputs as they are.

A pickle holds the names of this module and of what is in it. So the module never moves, and names, parameters,
attributes and answers never change; it imports nothing of ours. The functions only compute, so a skops file may hold
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import MultiLabelBinarizer

_EPOCH = pd.Timestamp("1970-01-01T00:00:00.000000Z")
"""In microseconds, as the columns are since pandas 3: nanoseconds end in 2262, and 9999-12-31 is what some write for
"never"."""


def floats(X: Any) -> Any:
    """Return numbers, integers and booleans as an array of float64. NumPy would make objects of a mixture."""
    return np.asarray(X, dtype=np.float64)


def flat(X: Any) -> Any:
    """Return a column as an array of one dimension."""
    return np.ravel(X)


def days(X: Any) -> Any:
    """Return a DataFrame of datetimes as an array of days since 1970, with fractions; NaN for NaT."""
    return floats(X.sub(_EPOCH).div(pd.Timedelta(days=1)))


def remainder(X: Any, of: float) -> Any:
    """Return each number modulo `of`: the place in a period."""
    return np.mod(X, of)


_PASSED_ON = (
    *("predict_proba", "predict_log_proba", "decision_function", "score_samples"),
    *("transform", "kneighbors", "apply"),
)
"""The methods besides `predict` that an estimator answers for what stands around it."""


class _OfFittedParts(BaseEstimator):
    def fit(self, *_: Any) -> Any:
        """Raises TypeError: the parts are fitted. scikit-learn takes only objects with this method for estimators."""
        raise TypeError(f"a {type(self).__name__} is made of fitted parts, and cannot be fitted")

    def __sklearn_is_fitted__(self) -> bool:
        return True


class ColumnSteps(TransformerMixin, _OfFittedParts):
    """Transforms columns of a DataFrame, each set of them with its own step, and passes the others on.

    `parts` has for each step its names of columns and those of what it gives; `inputs` and `outputs` are the names of
    all columns before and after, in order.
    """

    def __init__(
        self, parts: Sequence[tuple[Any, Sequence[str], Sequence[str]]], inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        self.parts = parts
        self.inputs = inputs
        self.outputs = outputs

    @property
    def feature_names_in_(self) -> Any:
        return np.array(self.inputs, dtype=object)

    @property
    def n_features_in_(self) -> int:
        return len(self.inputs)

    @property
    def transformers_(self) -> list[tuple[str, Any, Sequence[str]]]:
        """The parts as a ColumnTransformer has them."""
        taken = {name for _, names, _ in self.parts for name in names}
        rest = [name for name in self.inputs if name not in taken]
        return [
            *((str(number), step, names) for number, (step, names, _) in enumerate(self.parts)),
            *([("rest", "passthrough", rest)] if rest else []),
        ]

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        columns: dict[str, Any] = {name: X[name] for name in self.inputs}
        for step, names, produced in self.parts:
            table = step.transform(X[list(names)])
            table = table.toarray() if hasattr(table, "toarray") else np.asarray(table)
            columns.update(zip(produced, table.T, strict=True))
        return pd.DataFrame({name: columns[name] for name in self.outputs}, index=X.index)

    def get_feature_names_out(self, _names: Any = None) -> Any:
        return np.array(self.outputs, dtype=object)


class DecodedTarget(_OfFittedParts):
    """A model whose predictions go through the `inverse_transform` of `decoder`: a LabelEncoder of its classes, or the
    scaler of its target. A MultiLabelBinarizer gives its outputs their names."""

    def __init__(self, estimator: Any, decoder: Any) -> None:
        self.estimator = estimator
        self.decoder = decoder

    def predict(self, X: Any) -> Any:
        values = self.estimator.predict(X)
        if isinstance(self.decoder, MultiLabelBinarizer):
            table = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
            return pd.DataFrame(table, columns=[*map(str, self.decoder.classes_)])
        values = np.ravel(values)
        if hasattr(self.decoder, "classes_"):
            return self.decoder.inverse_transform(values)
        return np.ravel(self.decoder.inverse_transform(values.reshape(-1, 1)))

    @property
    def classes_(self) -> Any:
        if isinstance(self.decoder, MultiLabelBinarizer):
            return self.estimator.classes_
        return np.asarray(self.decoder.classes_)[np.asarray(self.estimator.classes_)]

    def __getattr__(self, name: str) -> Any:
        if name not in _PASSED_ON:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.estimator, name)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import get_tags  # since scikit-learn 1.6

        return get_tags(self.estimator)

    @property
    def _estimator_type(self) -> Any:
        """What releases before scikit-learn 1.6 look at instead."""
        return self.estimator._estimator_type


class ThresholdClassifier(_OfFittedParts):
    """A classifier of two classes that predicts the second one if its probability is at least `threshold`, as
    scikit-learn's FixedThresholdClassifier does since 1.5."""

    _estimator_type = "classifier"

    def __init__(self, estimator: Any, threshold: float) -> None:
        self.estimator = estimator
        self.threshold = threshold

    def predict(self, X: Any) -> Any:
        is_second = self.estimator.predict_proba(X)[:, 1] >= self.threshold
        return self.classes_[is_second.astype(int)]

    @property
    def classes_(self) -> Any:
        return np.asarray(self.estimator.classes_)

    def __getattr__(self, name: str) -> Any:
        if name not in _PASSED_ON:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.estimator, name)


class ModelsByName(_OfFittedParts):
    """Models of the same rows. `predict` gives a column for each, under its name."""

    def __init__(self, names: Sequence[str], estimators: Sequence[Any]) -> None:
        self.names = names
        self.estimators = estimators

    @property
    def estimators_(self) -> Sequence[Any]:
        return self.estimators

    def predict(self, X: Any) -> pd.DataFrame:
        answers: Mapping[str, Any] = {
            name: np.asarray(estimator.predict(X)) for name, estimator in zip(self.names, self.estimators, strict=True)
        }
        return pd.DataFrame(
            {name: values.ravel() if values.shape[1:] == (1,) else values for name, values in answers.items()}
        )

    @property
    def classes_(self) -> list[Any]:
        return [np.asarray(estimator.classes_) for estimator in self.estimators]

    def __getattr__(self, name: str) -> Any:
        if name != "predict_proba" or not all(hasattr(estimator, name) for estimator in self.estimators):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return lambda X: [estimator.predict_proba(X) for estimator in self.estimators]


# Adapters of other libraries, which are imported where they are used: most workers never need them.


class XGBoostModel:
    """A `Booster` of XGBoost, which itself predicts only from a `DMatrix`."""

    def __init__(self, booster: Any) -> None:
        self.booster = booster

    def predict(self, X: Any) -> Any:
        """Return what `booster.predict` returns for an array or a DataFrame of rows × features."""
        from xgboost import DMatrix

        known = {} if isinstance(X, pd.DataFrame) else {"feature_types": self.booster.feature_types}
        matrix = DMatrix(X, feature_names=self.booster.feature_names, **known, enable_categorical=True, nthread=1)
        return self.booster.predict(matrix)


class WithConstant:
    """Results of statsmodels, fitted on a column of ones among the inputs; `position` is its place."""

    def __init__(self, results: Any, position: int) -> None:
        self.results = results
        self.position = position

    def predict(self, X: Any) -> Any:
        if isinstance(X, pd.DataFrame):
            X = X.copy(deep=False)
            X.insert(self.position, "const", 1.0)
            return self.results.predict(X)
        return self.results.predict(np.insert(np.asarray(X, dtype=float), self.position, 1.0, axis=1))


class WithCategories:
    """An estimator, fitted on a DataFrame with columns of the dtype `category`; its methods take their plain values.

    `categories` has those of each such column, by its position, in their order. Any other value is missing, as when
    pandas converts the column.
    """

    def __init__(self, estimator: Any, categories: Mapping[int, Sequence[Any]]) -> None:
        self.estimator = estimator
        self.categories = categories

    def __getattr__(self, name: str) -> Any:
        if name in _PASSED_ON:
            return partial(self._called, getattr(self.estimator, name))
        if name.endswith("_") and not name.startswith("_"):  # learnt by fit
            return getattr(self.estimator, name)
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def predict(self, X: pd.DataFrame) -> Any:
        return self._called(self.estimator.predict, X)

    def _called(self, method: Any, X: pd.DataFrame) -> Any:
        columns: dict[Any, Any] = dict(X.items())
        for position, categories in self.categories.items():
            known = pd.Index(categories)
            codes = known.get_indexer(X.iloc[:, position])
            columns[X.columns[position]] = pd.Categorical.from_codes(codes, known)
        return method(pd.DataFrame(columns))
