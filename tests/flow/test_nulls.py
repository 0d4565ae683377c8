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
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from tests.flow.conftest import MakeUp

LABELS = [0, 1, 0, 1, 0, 0]
COLUMNS: dict[str, Any] = {
    "texts_with_none": np.array(["a", None, "b", None, "a", "b"], dtype=object),
    "texts_with_nan": np.array(["a", np.nan, "b", np.nan, "a", "b"], dtype=object),
    "booleans_with_none": np.array([True, None, False, None, True, False], dtype=object),
    "nullable_booleans": pd.array([True, None, False, None, True, False], dtype="boolean"),
    "integers_with_none": np.array([1, None, 2, None, 1, 2], dtype=object),
}


@pytest.mark.parametrize("encoder", [OneHotEncoder, OrdinalEncoder])
def test_null_is_answered_as_in_the_process_that_fitted_the_model(
    modelgate: MakeUp, tmp_path: Path, encoder: Any
) -> None:
    rows = pd.DataFrame(COLUMNS)
    encodings = [(encoder() if encoder is OneHotEncoder else encoder(encoded_missing_value=-1), [c]) for c in rows]
    model = make_pipeline(make_column_transformer(*encodings), LogisticRegression(C=100)).fit(rows, LABELS)
    expected = model.predict_proba(rows)[:, 1].tolist()
    mg, name = Client(modelgate.address), tmp_path.name.lower()
    mg.publish(name, model, X=rows, y=LABELS)
    plain = [
        {column: None if pd.isna(value) else value for column, value in row.items()}
        for row in rows.astype(object).to_dict("records")
    ]
    answered = modelgate.predict(name, json=plain)
    assert [answer["1"] for answer in answered["output"]["probabilities"]] == expected
    assert mg.model(name).predict_proba(rows)[:, 1].tolist() == expected
    for file in (_csv(tmp_path / "rows.csv", plain), _parquet(tmp_path / "rows.parquet", plain)):
        job = mg.model(name).submit(file, output="csv").wait(timeout=300, progress=False)
        assert job.errors == 0, list(job.row_errors())
        job.download(output := io.BytesIO())
        assert [float(line.split(",")[-1]) for line in output.getvalue().decode().splitlines()[1:]] == expected


def _csv(file: Path, rows: list[dict[str, Any]]) -> Path:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(COLUMNS))
        writer.writeheader()
        writer.writerows(rows)
    return file


def _parquet(file: Path, rows: list[dict[str, Any]]) -> Path:
    types = {str: "VARCHAR", bool: "BOOLEAN", int: "BIGINT"}
    with duckdb.connect() as database:
        database.execute(f"CREATE TABLE t ({', '.join(f'{c} {types[type(v)]}' for c, v in rows[0].items())})")
        database.executemany(
            f"INSERT INTO t VALUES ({', '.join('?' * len(COLUMNS))})", [[*row.values()] for row in rows]
        )
        database.execute(f"COPY t TO '{file}' (FORMAT parquet)")
    return file
