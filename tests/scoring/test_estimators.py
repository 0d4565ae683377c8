"""The fast way answers what the estimator's own methods answer, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from contract.model.manifest import Artifact, ArtifactDraft, ArtifactFormat, InputFormat, ManifestDraft, TrainingData
from contract.model.signature import Field, Kind, Output, OutputKind, Signature
from contract.row import Row
from scoring.estimators import predict_matrix, predict_rows

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(300, 4))
LABELS = np.array(["no", "perhaps", "yes"])[np.digitize(X.sum(axis=1), [-1, 1])]
NUMBERS = X @ [1.0, 2.0, 3.0, 4.0]
GAPS = np.where(RANDOM.random(X.shape) < 0.1, np.nan, X)
FRAME = pd.DataFrame(X, columns=list("abcd")).assign(d=RANDOM.choice(["x", "y"], 300))


class Stubborn(RandomForestClassifier):
    """A forest with a `predict` of its own."""

    def predict(self, X: Any) -> Any:
        return np.full(len(X), "no")


class Unsure(RandomForestClassifier):
    """A forest with probabilities of its own."""

    def predict_proba(self, X: Any) -> Any:
        return super().predict_proba(X)[:, ::-1]


def predicted(estimator: Any, matrix: Any, probabilities: bool) -> tuple[Any, Any]:
    """Predict as a scorer does: from rows."""
    signature, rows = signature_and_rows(matrix, probabilities)
    artifact = Artifact("", ArtifactFormat.JOBLIB, input_format(matrix), size=0, sha256="")
    values, table, _ = predict_rows(estimator, rows, signature, artifact)
    return values, table


def signature_and_rows(matrix: Any, probabilities: bool) -> tuple[Signature, list[Row]]:
    frame = pd.DataFrame(matrix)
    kinds = [Kind.NUMBER if frame[name].dtype == float else Kind.STRING for name in frame]
    inputs = tuple(Field(str(name), kind, nullable=True) for name, kind in zip(frame, kinds, strict=True))
    rows = frame.astype(object).where(frame.notna(), None)
    return Signature(inputs, (Output(OutputKind.CLASS, probabilities=probabilities),)), list(
        rows.itertuples(index=False)
    )


def input_format(matrix: Any) -> InputFormat:
    return InputFormat.DATAFRAME if isinstance(matrix, pd.DataFrame) else InputFormat.ARRAY


TABLE = make_column_transformer(
    (make_pipeline(SimpleImputer(), StandardScaler()), list("abc")), (OneHotEncoder(), ["d"])
)


@pytest.mark.parametrize("rows", [1, 50])
@pytest.mark.parametrize(
    ("estimator", "matrix"),
    [
        (RandomForestClassifier(30, random_state=0), X),
        (RandomForestClassifier(30, random_state=0), GAPS),
        (ExtraTreesClassifier(30, random_state=0), X),
        (Stubborn(10, random_state=0), X),
        (Unsure(10, random_state=0), X),
        (HistGradientBoostingClassifier(max_iter=5), X),
        (LogisticRegression(), X),
        (make_pipeline(StandardScaler(), "passthrough", LogisticRegression()), X),
        (make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), RandomForestClassifier(20))), X),
        (make_pipeline(TABLE, RandomForestClassifier(20)), FRAME),
    ],
)
def test_classes_and_probabilities_are_those_of_the_estimator(estimator: Any, matrix: Any, rows: int) -> None:
    estimator.fit(matrix, LABELS)
    for wanted in (True, False):
        values, table = predicted(estimator, matrix[:rows], wanted)
        np.testing.assert_array_equal(values, estimator.predict(matrix[:rows]))
        if wanted:
            np.testing.assert_array_equal(table, estimator.predict_proba(matrix[:rows]))
        else:
            assert table is None


@pytest.mark.parametrize(
    "estimator", [RandomForestRegressor(30, random_state=0), ExtraTreesRegressor(30, random_state=0)]
)
def test_numbers_are_those_of_the_estimator(estimator: Any) -> None:
    estimator.fit(X, NUMBERS)
    np.testing.assert_array_equal(predicted(estimator, X[:50], False)[0], estimator.predict(X[:50]))


def test_a_model_without_probabilities_still_has_its_own_error() -> None:
    with pytest.raises(AttributeError, match="predict_proba"):
        predicted(SVC().fit(X, LABELS), X, True)


def test_predicting_a_matrix_leaves_it_as_it_is() -> None:
    matrix = X.copy()
    model = make_pipeline(StandardScaler(copy=False), LogisticRegression()).fit(X.copy(), LABELS)
    expected = model.predict_proba(X.copy())
    artifact = ArtifactDraft(ArtifactFormat.JOBLIB, InputFormat.ARRAY)
    draft = ManifestDraft("m", "", artifact, signature_and_rows(matrix, True)[0], TrainingData("", 0, ""))
    for _ in range(2):
        _, table = predict_matrix(model, matrix, draft)
        np.testing.assert_array_equal(table, expected)
    np.testing.assert_array_equal(matrix, X)


def test_a_matrix_of_another_width_is_refused_as_the_forest_refuses_it() -> None:
    forest = RandomForestClassifier(5).fit(X, LABELS)
    with pytest.raises(ValueError, match="X has 3 features") as of_forest:
        forest.predict(X[:, :3])
    with pytest.raises(ValueError, match="X has 3 features") as here:
        predicted(forest, X[:, :3], True)
    assert str(of_forest.value) == str(here.value)


def test_a_forest_with_several_outputs_predicts_by_itself() -> None:
    forest = RandomForestRegressor(5, random_state=0).fit(X, np.column_stack([NUMBERS, NUMBERS]))
    np.testing.assert_array_equal(predicted(forest, X, False)[0], forest.predict(X))
