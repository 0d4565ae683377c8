"""Rows of every kind of model are logged in types of their own, and read as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from broker.sides.gateway.job_client import Jobs
from contract.model.manifest import InputFormat
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from observer.log.intake import Intake
from observer.log.store import LogStore
from tests.observer.conftest import predict, rows_of
from tests.support import write_version
from worker.scorer import Scorer


class Fixed:
    """Answers the same for each row."""

    def __init__(self, prediction: Any, probabilities: Any = None) -> None:
        self.prediction, self.probabilities = prediction, probabilities

    def predict(self, rows: Any) -> Any:
        return np.array([self.prediction] * len(rows))

    def predict_proba(self, rows: Any) -> Any:
        return np.array([self.probabilities] * len(rows))


def types_in(folder: Path) -> dict[str, str]:
    files = str(folder / "predictions/**/*.parquet")
    with duckdb.connect() as database:
        described = database.execute("DESCRIBE SELECT * FROM read_parquet(?)", [files]).fetchall()
    return {name: kind for name, kind, *_ in described}


def test_each_kind_of_input_keeps_its_type_and_value(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, models: Path, folder: Path
) -> None:
    inputs = [
        Field("n", Kind.NUMBER, nullable=True),
        Field("i", Kind.INTEGER),
        Field("s", Kind.STRING, nullable=True),
        Field("b", Kind.BOOLEAN),
        Field("t", Kind.DATETIME),
        Field('odd "name", α', Kind.NUMBER),
    ]
    write_version(models, "kinds", Fixed(1.5), inputs)
    rows = [
        [0.1 + 0.2, 2**63 - 1, "it's\0\U0001f600", True, "2026-01-02T03:04:05.000006+00:00", -0.0],
        [None, -(2**63), None, False, "1900-01-01T00:00:00+00:00", 5e-324],
    ]
    for number, row in enumerate(rows):
        predict(jobs, scorer, f"j{number}", [row], model="kinds")
    intake.run()
    logged = [list(row["inputs"].values()) for row in rows_of(store, "kinds")]
    assert logged == [
        [0.1 + 0.2, 2**63 - 1, "it's\0\U0001f600", True, "2026-01-02T03:04:05.000006Z", -0.0],
        [None, -(2**63), None, False, "1900-01-01T00:00:00.000000Z", 5e-324],
    ]
    assert types_in(folder)["inputs"] == (
        'STRUCT(n DOUBLE, i BIGINT, s VARCHAR, b BOOLEAN, t TIMESTAMP WITH TIME ZONE, "odd ""name"", α" DOUBLE)'
    )


def test_names_that_differ_in_case_alone_are_told_apart(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, models: Path
) -> None:
    write_version(models, "cases", Fixed(1.0), [Field(name, Kind.NUMBER) for name in ("Age", "age", "AGE")])
    predict(jobs, scorer, "a", [[1.0, 2.0, 3.0]], model="cases")
    intake.run()
    (row,) = rows_of(store, "cases")
    assert row["inputs"] == {"Age": 1.0, "age_2": 2.0, "AGE_3": 3.0}


@pytest.mark.parametrize(
    ("labels", "kind"),
    [((0, 1), "BIGINT"), (("no", "yes"), "VARCHAR"), ((False, True), "BOOLEAN"), ((0.5, 1.5), "DOUBLE")],
)
def test_a_prediction_has_the_type_of_its_labels(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, models: Path, folder: Path, labels: Any, kind: str
) -> None:
    output = Output(OutputKind.CLASS, labels, probabilities=True)
    write_version(models, "classes", Fixed(labels[1], [0.25, 0.75]), [Field("a", Kind.NUMBER)], output=output)
    predict(jobs, scorer, "a", [[1.0]], model="classes")
    intake.run()
    (row,) = rows_of(store, "classes")
    assert row["prediction"] == labels[1]
    assert list(row["probabilities"].values()) == [0.25, 0.75]
    assert types_in(folder)["prediction"] == kind


@pytest.mark.parametrize("labels", [None, ("no", "yes")], ids=["number", "class"])
def test_the_only_output_is_logged_without_its_name(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, models: Path, folder: Path, labels: Any
) -> None:
    kind = OutputKind.CLASS if labels else OutputKind.NUMBER
    output = Output(kind, labels, probabilities=labels is not None, name="risk")
    write_version(models, "named", Fixed("yes" if labels else 0.5, [0.25, 0.75]), [Field("a", Kind.NUMBER)], output)
    predict(jobs, scorer, "a", [[1.0]], model="named")
    intake.run()
    (row,) = rows_of(store, "named")
    assert row["prediction"] == ("yes" if labels else 0.5)
    assert row["probabilities"] == ({"no": 0.25, "yes": 0.75} if labels else None)


def test_texts_and_records_are_logged_as_they_are(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, models: Path
) -> None:
    inputs, outputs = (Field("text", Kind.STRING),), (Output(OutputKind.NUMBER),)
    for name, signature, input_format in (
        ("spam", Signature(inputs, outputs, format=RowFormat.TEXTS), InputFormat.TEXTS),
        ("words", Signature((), outputs, format=RowFormat.RECORDS), InputFormat.RECORDS),
    ):
        write_version(models, name, Fixed(1.0), (), signature=signature, input_format=input_format)
    predict(jobs, scorer, "a", [["Buy now"]], model="spam")
    record = {"a": 1.5, "b": "x", "c": ["y", "z"]}
    predict(jobs, scorer, "b", [[record]], model="words", logged={"leave_out": ["b"]})
    intake.run()
    assert rows_of(store, "spam")[0]["inputs"] == {"text": "Buy now"}
    assert rows_of(store, "words")[0]["inputs"] == {"a": 1.5, "c": ["y", "z"]}
