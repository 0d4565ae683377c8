"""Tables of all kinds of columns, as the recipe `tabular` prepares them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from modelgate_kernels import column_transformers
from modelgate_kernels.matrix import to_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from contract.model.manifest import Artifact, ArtifactFormat, InputFormat
from contract.model.signature import Field, Kind, Output, OutputKind, Signature
from contract.row import ColumnarRows, Row
from kernels.tests.test_columns import assert_same_matrix
from scoring.estimators import prediction_methods
from scoring.kernels import find_version_kernel
from trainer.recipes.tabular import preprocessor

ARTIFACT = Artifact("", ArtifactFormat.JOBLIB, InputFormat.DATAFRAME, size=0, sha256="")
FIELDS = (
    Field("price", Kind.NUMBER, nullable=True),
    Field("rooms", Kind.INTEGER),
    Field("floor", Kind.INTEGER, nullable=True),
    Field("garden", Kind.BOOLEAN),
    Field("lift", Kind.BOOLEAN, nullable=True),
    Field("town", Kind.STRING, nullable=True),
    Field("street", Kind.STRING, nullable=True),
    Field("built", Kind.DATETIME, nullable=True),
    Field("sold", Kind.DATETIME),
)
TOWNS, WORDS = ("Ulm", "Köln", ""), ("North", "south", "Mill", "Rd.", "ß", "12b")


def a_row(draw: random.Random, fields: Sequence[Field]) -> Row:
    def value(field: Field) -> Any:
        if field.nullable and draw.random() < 0.15:
            return None
        match field.kind:
            case Kind.NUMBER:
                return draw.lognormvariate(12, 2)
            case Kind.INTEGER:
                return draw.choice([0, 3, 2**40, -(2**62) - 1])
            case Kind.BOOLEAN:
                return draw.random() < 0.5
            case Kind.STRING if field.name == "town":
                return draw.choice([*TOWNS, *["unseen"] * (draw.random() < 0.05)])
            case Kind.STRING:
                return " ".join(draw.choices(WORDS, k=draw.randrange(4)))
        moment = datetime(1999, 1, 1, tzinfo=UTC) + timedelta(seconds=draw.randrange(10**9))
        return draw.choice([moment, moment.replace(microsecond=draw.randrange(10**6))]).isoformat()

    return tuple(value(field) for field in fields)


@pytest.mark.parametrize(
    "fields",
    [FIELDS, FIELDS[:3], FIELDS[:5], FIELDS[1:2], FIELDS[3:5], FIELDS[5:6], FIELDS[7:], FIELDS[::-2]],
    ids=lambda fields: " ".join(field.name for field in fields),
)
@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_a_table_is_prepared_without_pandas_as_with_it(
    fields: tuple[Field, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(1)
    signature = Signature(fields, (Output(OutputKind.CLASS, probabilities=True),))
    rows = [a_row(draw, fields) for _ in range(300)]
    frame = to_matrix(rows, signature.inputs, InputFormat.DATAFRAME)
    pipeline = make_pipeline(
        preprocessor(frame, fields, frozenset({"street"} & {*signature.names})), LogisticRegression()
    )
    pipeline.fit(frame, [number % 3 for number in range(300)])
    monkeypatch.setattr(column_transformers, "frame_reader", lambda *_: pytest.fail("a DataFrame is made"))
    kernel = find_version_kernel(pipeline, signature, ARTIFACT)
    assert kernel
    few = [[a_row(draw, fields)] for _ in range(10)]
    for some in (rows, rows[:7], ColumnarRows([*map(list, zip(*rows, strict=True))]), *few):
        matrix = to_matrix(some, signature.inputs, InputFormat.DATAFRAME)
        assert_same_matrix(kernel.matrix(some), pipeline[:-1].transform(matrix))
        values, table = kernel.answers(some, prediction_methods(signature.output))
        assert_same_matrix(values, pipeline.predict(matrix))
        assert_same_matrix(table, pipeline.predict_proba(matrix))
