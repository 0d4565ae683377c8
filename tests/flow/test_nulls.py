"""A model answers null as its own process does, whatever null was there and however the rows come."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from modelgate import Client
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from tests.flow.conftest import MakeUp

LABELS = [0, 1, 0, 1, 0, 0]
COLUMNS: dict[str, Any] = {
    "texts with None": np.array(["a", None, "b", None, "a", "b"], dtype=object),
    "texts with NaN": np.array(["a", np.nan, "b", np.nan, "a", "b"], dtype=object),
    "booleans with None": np.array([True, None, False, None, True, False], dtype=object),
    "nullable booleans": pd.array([True, None, False, None, True, False], dtype="boolean"),
    "whole numbers with None": np.array([1, None, 2, None, 1, 2], dtype=object),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
@pytest.mark.parametrize("encoder", [OneHotEncoder, OrdinalEncoder])
def test_null_is_answered_as_in_the_process_that_fitted_the_model(
    modelgate: MakeUp, tmp_path: Path, encoder: Any, column: Any
) -> None:
    rows = pd.DataFrame({"c": column})
    encoding = encoder() if encoder is OneHotEncoder else encoder(encoded_missing_value=-1)
    model = make_pipeline(encoding, LogisticRegression(C=100)).fit(rows, LABELS)
    expected = model.predict_proba(rows)[:, 1].tolist()
    mg, name = Client(modelgate.address), tmp_path.name.lower()
    mg.publish(name, model, X=rows, y=LABELS)
    plain = [None if pd.isna(value) else value for value in column.tolist()]
    answered = modelgate.predict(name, json=[{"c": value} for value in plain])
    assert [answer["1"] for answer in answered["output"]["probabilities"]] == expected
    assert mg.model(name).predict_proba(rows)[:, 1].tolist() == expected
    for file in (_csv(tmp_path / "rows.csv", plain), _parquet(tmp_path / "rows.parquet", plain)):
        job = mg.model(name).submit(file, output="csv").wait(timeout=300, progress=False)
        assert job.errors == 0, list(job.row_errors())
        job.download(output := io.BytesIO())
        assert [float(line.split(",")[-1]) for line in output.getvalue().decode().splitlines()[1:]] == expected


def _csv(file: Path, values: list[Any]) -> Path:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([["c"], *([value] for value in values)])
    return file


def _parquet(file: Path, values: list[Any]) -> Path:
    kind = {str: "VARCHAR", bool: "BOOLEAN", int: "BIGINT"}[type(values[0])]
    with duckdb.connect() as database:
        database.execute(f"CREATE TABLE t (c {kind})")
        database.executemany("INSERT INTO t VALUES (?)", [[value] for value in values])
        database.execute(f"COPY t TO '{file}' (FORMAT parquet)")
    return file
