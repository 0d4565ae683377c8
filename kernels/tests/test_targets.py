"""Kernels of estimators that turn the answers of another one into predictions of the target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from modelgate_kernels.decoding import decoded_target
from modelgate_kernels.table import add_composite
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer, precision_score
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.preprocessing import FunctionTransformer, LabelEncoder, MinMaxScaler, QuantileTransformer, StandardScaler
from sklearn.svm import SVC

from kernels.tests.compare import Case, assert_same
from kernels.tests.composite_data import BINARY_WORDS, NUMBERS, WORDS, X, fitted, linear, tree, tree_of_numbers, y


class Decoded(ClassifierMixin, BaseEstimator):
    """An estimator with a fitted decoder of its predictions, as others write it."""

    def __init__(self, estimator: Any, decoder: Any) -> None:
        self.estimator = estimator
        self.decoder = decoder

    def predict(self, X: Any) -> Any:
        values = self.estimator.predict(X)
        if hasattr(self.decoder, "classes_"):
            return self.decoder.inverse_transform(values)
        return np.ravel(self.decoder.inverse_transform(values.reshape(-1, 1)))

    def __getattr__(self, name: str) -> Any:
        if name != "predict_proba":
            raise AttributeError(name)
        return getattr(self.estimator, name)


add_composite(Decoded, decoded_target)

CASES = [
    Case(
        "logarithms",
        lambda: fitted(TransformedTargetRegressor(tree_of_numbers(), func=np.log1p, inverse_func=np.expm1), NUMBERS),
    ),
    *(
        Case(
            f"a target in a {type(transformer).__name__}",
            lambda t=transformer: fitted(TransformedTargetRegressor(tree_of_numbers(), transformer=t), NUMBERS),
        )
        for transformer in (
            StandardScaler(),
            StandardScaler(with_mean=False),
            MinMaxScaler(),
            QuantileTransformer(n_quantiles=20),
            FunctionTransformer(np.sqrt, np.square, validate=True),
        )
    ),
    Case("a tree behind a LabelEncoder", lambda: (_decoded(tree(), LabelEncoder().fit(WORDS)), X)),
    Case(
        "a tree behind the scaler of its target",
        lambda: (Decoded(tree_of_numbers().fit(X, NUMBERS), StandardScaler().fit(NUMBERS[:, None])), X),
    ),
    Case("a threshold, words", lambda: fitted(FixedThresholdClassifier(tree(), threshold=0.6), BINARY_WORDS)),
    Case(
        "a threshold of decisions for the first class",
        lambda: fitted(
            FixedThresholdClassifier(
                LogisticRegression(), threshold=0.3, pos_label="no", response_method="decision_function"
            ),
            BINARY_WORDS,
        ),
    ),
    Case(
        "a threshold of probabilities for the first class",
        lambda: fitted(FixedThresholdClassifier(linear(), threshold=0.3, pos_label="no"), BINARY_WORDS),
    ),
    Case("the usual threshold", lambda: fitted(FixedThresholdClassifier(linear()), BINARY_WORDS)),
    Case("a threshold that is some rows' probability", lambda: fitted(_at_a_leaf(), BINARY_WORDS)),
    Case("a threshold of own methods", lambda: fitted(FixedThresholdClassifier(SVC()), (y > 0) * 1), covers_huge=False),
    Case("a tuned threshold", lambda: fitted(TunedThresholdClassifierCV(linear(), cv=2, thresholds=5), y > 0)),
    Case(
        "a tuned threshold for the first class",
        lambda: fitted(
            TunedThresholdClassifierCV(tree(), cv=2, thresholds=5, scoring=_precision_of_no()), BINARY_WORDS
        ),
    ),
]


def _decoded(classifier: Any, encoder: LabelEncoder) -> Decoded:
    return Decoded(classifier.fit(X, encoder.transform(WORDS)), encoder)


def _at_a_leaf() -> FixedThresholdClassifier:
    probabilities = tree().fit(X, BINARY_WORDS).predict_proba(X)[:, 1]
    return FixedThresholdClassifier(tree(), threshold=float(np.sort(probabilities)[len(X) // 3]))


def _precision_of_no() -> Any:
    return make_scorer(precision_score, pos_label="no", zero_division=0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_predictions_of_a_target_are_the_same(case: Case) -> None:
    assert_same(case, 60)
