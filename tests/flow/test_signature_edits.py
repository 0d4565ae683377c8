"""Signatures are edited over HTTP with the commands of the how-to guide, and served by real workers."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from contract.model.manifest import InputFormat, ModelManifest
from contract.model.signature import Field, Kind, Output, OutputKind, Signature
from tests.flow.conftest import MakeUp
from tests.flow.test_tutorial import pattern, steps
from tests.support import PROJECT, numbers, write_version
from trainer.importing.assumptions import unknown_kinds, unknown_nulls

PAGE = (PROJECT / "docs" / "how-to" / "edit-a-signature.md").read_text()
NAMES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
WORDS = {"0": "setosa", "1": "versicolor", "2": "virginica"}


def _lengths(frame: Any) -> Any:
    return frame.astype(str).apply(lambda column: column.str.len())


def _is_none(frame: Any) -> Any:
    return np.array([[value is None] for value in frame["plan"]], dtype=float)


def flowers(modelgate: MakeUp) -> ModelManifest:
    X, y = load_iris(return_X_y=True)
    estimator = LogisticRegression(max_iter=1000).fit(X, y)
    output = Output(OutputKind.CLASS, (0, 1, 2), probabilities=True)
    return write_version(modelgate.models, "flowers", estimator, numbers("x0", "x1", "x2", "x3"), output)


def shop(modelgate: MakeUp) -> pd.DataFrame:
    """Publish a model of a code and a price, whose import has taken the code for a number; return its rows."""
    frame = pd.DataFrame({"code": ["a", "bcd", "ef", "ghij"] * 5, "price": np.arange(20.0)})
    columns = make_column_transformer((FunctionTransformer(_lengths), ["code"]), remainder="passthrough")
    estimator = make_pipeline(columns, LinearRegression()).fit(frame, np.arange(20) % 7)
    inputs = (Field("code", Kind.NUMBER, guessed=True), Field("price", Kind.NUMBER))
    changes: dict[str, Any] = {"input_format": InputFormat.DATAFRAME, "remarks": (unknown_kinds(["code"]),)}
    write_version(modelgate.models, "shop", estimator, inputs, by_value=True, **changes)
    return frame.assign(predicted=estimator.predict(frame))


def houses(modelgate: MakeUp) -> None:
    X = np.arange(40.0).reshape(20, 2)
    signature = Signature(numbers("x0", "x1"), tuple(Output(OutputKind.NUMBER, name=f"y{number}") for number in (0, 1)))
    write_version(modelgate.models, "houses", LinearRegression().fit(X, X), signature.inputs, signature=signature)


def plans(modelgate: MakeUp) -> None:
    """Publish a model that answers None and NaN differently, whose import could not know which it was fitted on."""
    frame = pd.DataFrame({"plan": pd.Series(["basic", None, "plus", None] * 5, dtype=object)})
    estimator = make_pipeline(FunctionTransformer(_is_none), LinearRegression()).fit(frame, np.arange(20) % 2)
    changes: dict[str, Any] = {"input_format": InputFormat.DATAFRAME, "remarks": (unknown_nulls(["plan"]),)}
    write_version(modelgate.models, "plans", estimator, (Field("plan", Kind.STRING),), by_value=True, **changes)


@pytest.mark.slow
def test_the_commands_of_the_guide_edit_signatures_and_the_answers_stay_the_same(modelgate: MakeUp) -> None:
    flowers(modelgate)
    rows, _ = load_iris(return_X_y=True)
    bought = shop(modelgate)
    houses(modelgate)
    plans(modelgate)
    before = modelgate.predict("flowers", json=rows.tolist())["output"]
    file = modelgate.models / "flowers" / "versions" / "1" / "manifest.json"
    manifest = file.read_bytes()

    for command, shown in steps(PAGE):
        pasted = command.replace("http://127.0.0.1:8080", modelgate.address)
        done = subprocess.run(["sh", "-c", pasted], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(pattern(shown), done.stdout.strip(), re.DOTALL), (command, done.stdout)

    after = modelgate.predict("flowers", json=[dict(zip(NAMES, row, strict=True)) for row in rows.tolist()])["output"]
    assert after["predictions"] == [WORDS[str(label)] for label in before["predictions"]]
    assert set(after["predictions"]) == set(WORDS.values())
    assert after["probabilities"] == [
        {WORDS[label]: number for label, number in row.items()} for row in before["probabilities"]
    ]
    assert modelgate.predict("flowers@1", json=rows.tolist())["output"] == before
    assert file.read_bytes() == manifest
    detail = modelgate.get("/v1/models/flowers").json()
    assert (detail["version"], detail["notes"]) == (2, "signature edited from version 1")
    assert modelgate.predict("flowers", json=detail["example"])["output"]["predictions"]

    assert modelgate.get("/v1/models/shop/versions/2").json()["warnings"] == []
    instances = bought[["code", "price"]].to_dict(orient="records")
    assert modelgate.predict("shop@2", json=instances)["output"]["predictions"] == bought["predicted"].tolist()
    assert modelgate.post("/v1/models/shop/predict", json=instances).json()["code"] == "invalid_instances"
    (answer,) = modelgate.predict("houses@2", json=[[1.0, 2.0]])["output"]["predictions"]
    assert set(answer) == {"price", "rent"}
    assert modelgate.predict("plans@2", json=[{"plan": None}, {"plan": "basic"}])["output"]["predictions"] == [1.0, 0.0]
