"""The examples score with Dask and Spark what the server would answer, in an environment of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from modelgate import Client
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.support import PROJECT

pytestmark = pytest.mark.slow

PYTHON = PROJECT / ".venv-spark" / "bin" / "python"
ROWS = 25_000


@pytest.mark.parametrize("engine", ["dask", "spark"])
def test_a_cluster_answers_as_the_server(mg: Client, engine: str, tmp_path: Path) -> None:
    if engine == "spark" and not shutil.which("java"):
        pytest.skip("Spark needs Java: apt-get install default-jre-headless")
    income = [float((number * 7919) % 10_007) / 3 for number in range(ROWS)]
    rows = pd.DataFrame({"income": income, "area": ["Urban", "Rural", "Coast"] * (ROWS // 3) + ["Rural"]})
    columns = make_column_transformer((StandardScaler(), ["income"]), (OneHotEncoder(), ["area"]))
    truth = ["yes" if value > 1500 else "no" for value in income]
    model = make_pipeline(columns, LogisticRegression()).fit(rows, truth)
    mg.publish(f"loan_{engine}", model, X=rows[:100])
    served = mg.model(f"loan_{engine}")
    source, target = tmp_path / "rows", tmp_path / "scored"
    source.mkdir()
    for part in range(5):  # the last one is empty
        piece = rows.assign(number=range(ROWS))[part * 7000 : (part + 1) * 7000]  # noqa: F841  # DuckDB reads it
        duckdb.sql(f"COPY piece TO '{source}/{part}.parquet'")
    environ = {**os.environ, "PYSPARK_PYTHON": str(PYTHON), "SPARK_LOCAL_IP": "127.0.0.1"}
    script = PROJECT / "examples" / "cluster" / f"{engine}_scores.py"
    command = [str(PYTHON), str(script), f"loan_{engine}", str(source), str(target)]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    scored = duckdb.sql(f"SELECT * FROM '{target}/*.parquet' ORDER BY number").df()
    assert scored["income"].tolist() == income
    assert scored["prediction"].tolist() == served.predict(rows).tolist()
    assert scored["probability"].to_numpy().tobytes() == served.predict_proba(rows)[:, 1].tobytes()
