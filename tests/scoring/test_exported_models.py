"""What an exported folder answers is what Modelgate answers."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelgate_kernels.matrix import to_matrix
from sklearn.base import BaseEstimator
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from contract.model.manifest import Artifact, ArtifactFormat, InputDtype, InputFormat, ModelManifest
from contract.model.repository import Repository
from contract.model.signature import (
    AnswerForm,
    Decision,
    Field,
    Kind,
    Method,
    Null,
    Output,
    OutputKind,
    RowFormat,
    Signature,
)
from contract.rows.coercion import coerce
from contract.rows.instances import Records
from gateway.serving.model_export import open_artifact, published_manifest, zipped
from modelgate_artifacts import exported
from scoring.artifacts import unpack
from scoring.predict import predict
from tests.support import write_version

WHEN = datetime(2024, 5, 17, 10, 30, 0, 123456, tzinfo=UTC)
CELLS: dict[Kind, list[Any]] = {
    Kind.NUMBER: [1.5, -2.0, 3.25],
    Kind.INTEGER: [1, 2, 2**53 + 1],
    Kind.BOOLEAN: [True, False, True],
    Kind.STRING: ["a", "", "ü"],
    Kind.DATETIME: [WHEN.isoformat(), "2026-01-02T00:00:00+00:00", "9999-12-31T00:00:00+00:00"],
}
FORMATS = [InputFormat.ARRAY, InputFormat.DATAFRAME, InputFormat.NUMBERED]


def described(fields: list[Field], input_format: InputFormat, dtype: InputDtype) -> Any:
    """Return what the loader reads of a manifest."""
    artifact = Artifact("f", ArtifactFormat.JOBLIB, input_format, 0, "", dtype)
    manifest = {"signature": Signature(tuple(fields), ()), "artifact": artifact}
    blank = ModelManifest("m", 1, "", "", libraries={}, training_data=None, **manifest)  # type: ignore[arg-type]
    return json.loads(blank.dumps())


def as_frame(rows: list[list[Any]], fields: list[Field]) -> pd.DataFrame:
    """Return rows as a caller of MLflow has them: moments are those of pandas."""
    columns: dict[str, Any] = {}
    for index, field in enumerate(fields):
        values = [row[index] for row in rows]
        columns[field.name] = pd.Series(values, dtype=object)
        if field.kind is Kind.DATETIME:
            columns[field.name] = pd.to_datetime(pd.Series(values, dtype=object), utc=True, format="ISO8601")
    return pd.DataFrame(columns)


def assert_equal(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected)
        for name in expected.columns:
            assert [*map(type, found[name])] == [*map(type, expected[name])]
    else:
        assert found.dtype == expected.dtype
        pd.testing.assert_frame_equal(pd.DataFrame(found), pd.DataFrame(expected))
        assert [*map(type, found.ravel().tolist())] == [*map(type, expected.ravel().tolist())]


@pytest.mark.parametrize("input_format", FORMATS)
@pytest.mark.parametrize("kind", list(Kind))
def test_an_estimator_gets_the_same_values_of_each_kind(kind: Kind, input_format: InputFormat) -> None:
    for null, nullable, naive, dtype in itertools.product(Null, (False, True), (False, True), InputDtype):
        if dtype is InputDtype.INT64 and (kind is not Kind.INTEGER or nullable):
            continue
        fields = [
            Field("b", kind, nullable, null=null, naive=naive),
            Field("a", kind, nullable, null=null, float32=kind is Kind.NUMBER),
        ]
        rows = [[cell, cell] for cell in CELLS[kind]]
        for some in (rows, [*rows, [None, None]], [[None, None]]) if nullable else (rows,):
            expected = to_matrix(some, fields, input_format, dtype)
            frame = as_frame(some, fields)[["a", "b"]]
            assert_equal(exported.matrix(frame, described(fields, input_format, dtype)), expected)


def exported_folder(manifest: ModelManifest, models: Path, folder: Path) -> Path:
    """Export a version, and return the folder with its artifact."""
    published = published_manifest(Repository(models), manifest)
    artifact, is_pickle = open_artifact(Repository(models), manifest)
    with artifact, zipfile.ZipFile(io.BytesIO(b"".join(zipped(manifest, published, artifact, is_pickle)))) as archive:
        archive.extractall(folder)
    return folder / "data"


class Dicts(BaseEstimator):
    """Answers a dict for each row."""

    def predict(self, X: Any) -> Any:
        return [{"low": float(row[0]), "high": float(row[1])} for row in np.asarray(X)]


X, TEXTS = np.random.default_rng(0).random((30, 2)), ["free money now", "see you at the meeting", "free offer"] * 10
CLASSES = np.where(X[:, 0] > 0.5, "yes", "no")
TWO = (Field("a", Kind.NUMBER), Field("b", Kind.NUMBER))
WORD, NUMBER = Output(OutputKind.CLASS, ("no", "yes")), Output(OutputKind.NUMBER)
ROWS = [{"a": 0.25, "b": 0.75}, {"a": 0.9, "b": 0.1}]
RECORDS = [{"city": "Rome", "visits": 3.0}, {"city": "Oslo"}]
BOTH = np.column_stack([CLASSES, X[:, 1] > 0.5]).astype(object)
NAMED = (Output(OutputKind.NUMBER, name="low"), Output(OutputKind.NUMBER, name="high"))
CASES: dict[str, tuple[Any, Signature, Any, dict[str, Any]]] = {
    "array": (LogisticRegression().fit(X, CLASSES), Signature(TWO, (WORD,)), ROWS, {}),
    "frame": (
        make_pipeline(StandardScaler(), LinearRegression()).fit(pd.DataFrame(X, columns=["a", "b"]), X[:, 0]),
        Signature(TWO, (NUMBER,)),
        ROWS,
        {"input_format": InputFormat.DATAFRAME},
    ),
    "names of labels": (
        DecisionTreeClassifier().fit(X, (X[:, 0] > 0.5).astype(int)),
        Signature(TWO, (Output(OutputKind.CLASS, (0, 1), label_names=("bad", "good")),)),
        ROWS,
        {},
    ),
    "a decision": (
        LogisticRegression().fit(X, (X[:, 0] > 0.5).astype(int)),
        Signature(TWO, (Output(OutputKind.CLASS, (0, 1), True, decision=Decision(0, 0.97)),)),
        ROWS,
        {},
    ),
    "several outputs": (
        LinearRegression().fit(X, X * 2),
        Signature(TWO, NAMED),
        ROWS,
        {},
    ),
    "several classes": (
        MultiOutputClassifier(LogisticRegression()).fit(X, BOTH.astype(str)),
        Signature(
            TWO,
            (
                Output(OutputKind.CLASS, ("no", "yes"), name="first", label_names=("N", "Y")),
                Output(OutputKind.CLASS, ("False", "True"), name="second"),
            ),
        ),
        ROWS,
        {},
    ),
    "dicts": (Dicts(), Signature(TWO, NAMED), ROWS, {"by_value": True}),
    "texts": (
        make_pipeline(CountVectorizer(), LogisticRegression()).fit(TEXTS, CLASSES),
        Signature((Field("text", Kind.STRING),), (WORD,), format=RowFormat.TEXTS),
        [{"text": "free"}, {"text": "see you"}],
        {"input_format": InputFormat.TEXTS},
    ),
    "records": (
        make_pipeline(DictVectorizer(), LogisticRegression()).fit(RECORDS * 15, CLASSES),
        Signature((Field("visits", Kind.NUMBER),), (WORD,), format=RowFormat.RECORDS),
        RECORDS,
        {"input_format": InputFormat.RECORDS},
    ),
    "skops": (LogisticRegression().fit(X, CLASSES), Signature(TWO, (WORD,)), ROWS, {"skops": True}),
    "transform alone": (
        StandardScaler().fit(X),
        Signature(TWO, (), methods=(Method("transform", AnswerForm.NUMBERS),)),
        ROWS,
        {},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_exported_model_gives_the_answers_of_modelgate(case: str, tmp_path: Path) -> None:
    estimator, signature, rows, options = CASES[case]
    models = tmp_path / "models"
    manifest = write_version(models, "m", estimator, signature.inputs, signature=signature, **options)
    loaded = exported._load_pyfunc(str(exported_folder(manifest, models, tmp_path / "out")))
    found = loaded.predict(pd.DataFrame(rows))
    data = (models / "m/versions/1" / manifest.artifact.file).read_bytes()
    given = coerce(Records(rows), signature).rows
    expected = predict(unpack(data, manifest.artifact.format), manifest, given).values
    assert (found.to_dict("records") if isinstance(found, pd.DataFrame) else found.tolist()) == expected


def test_rows_may_have_any_shape_that_the_estimator_was_fitted_on(tmp_path: Path) -> None:
    for number, (case, rows) in enumerate((("array", X[:3]), ("texts", TEXTS[:3]), ("records", RECORDS))):
        estimator, signature, _, options = CASES[case]
        manifest = write_version(tmp_path, f"m{number}", estimator, signature.inputs, signature=signature, **options)
        loaded = exported._load_pyfunc(str(exported_folder(manifest, tmp_path, tmp_path / f"out{number}")))
        assert loaded.predict(rows).tolist() == estimator.predict(rows).tolist()


def test_exported_versions_of_a_class_of_a_notebook_do_not_change_one_another(tmp_path: Path) -> None:
    class Times(BaseEstimator):
        factor = 1

        def predict(self, X: Any) -> Any:
            return np.asarray(X)[:, 0] * self.factor

    loaded = []
    for factor in (2, 7):
        Times.factor = factor
        manifest = write_version(tmp_path, f"m{factor}", Times(), TWO, signature=CASES["array"][1], by_value=True)
        loaded.append(exported._load_pyfunc(str(exported_folder(manifest, tmp_path, tmp_path / f"out{factor}"))))
    Times.factor = 1
    assert [model.predict([[1.0, 0.0]]).tolist() for model in (*loaded, Times())] == [[2.0], [7.0], [1.0]]


def test_a_changed_artifact_is_not_unpickled(tmp_path: Path) -> None:
    estimator, signature, _, _ = CASES["array"]
    manifest = write_version(tmp_path, "m", estimator, signature.inputs, signature=signature)
    folder = exported_folder(manifest, tmp_path, tmp_path / "out")
    (folder / manifest.artifact.file).write_bytes(b"changed")
    with pytest.raises(ValueError, match="was changed since it was exported"):
        exported._load_pyfunc(str(folder))
