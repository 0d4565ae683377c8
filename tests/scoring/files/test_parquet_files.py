"""Parquet files are read in ranges of rows, as requests with the same values; Parquet comes out of any format."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from contract.errors import InvalidInstances
from contract.model.manifest import InputFormat
from contract.model.signature import PREDICT, Field, Kind, Output, OutputKind, Returned, Signature
from contract.rows.file_formats import FileFormat
from contract.rows.instances import Grid
from scoring.files.parquet import connection, in_background
from scoring.files.plan import NotReadable
from scoring.files.stages import plan
from tests.scoring.files.reading import MODEL, Lengths, Loaded, Sign, as_file, coerced, finished, scored, scored_text
from tests.support import numbers

NUMBER = (Output(OutputKind.NUMBER),)
PARQUET = FileFormat.PARQUET


def written(path: Path, query: str, options: str = "") -> bytes:
    """Return a Parquet file with what `query` selects."""
    duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet {options})")
    return path.read_bytes()


def rows_of(path: Path, order: str = "1 = 1") -> list[dict[str, Any]]:
    frame = duckdb.sql(f"SELECT * FROM read_parquet('{path}') WHERE {order}").df()
    return [{name: _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    return None if value is pd.NaT or value is None or (isinstance(value, float) and np.isnan(value)) else value


TYPES = {
    "DOUBLE": lambda rng: rng.choice([1.5, -2.0, 0.1, None, 1e300, float("inf")]),
    "FLOAT": lambda rng: rng.choice([1.5, None]),
    "BIGINT": lambda rng: rng.choice([1, 0, -(2**62), None]),
    "BOOLEAN": lambda rng: rng.choice([True, False, None]),
    "VARCHAR": lambda rng: rng.choice(["red", "green", "7", "1.5", "true", "2024-05-17", "", None]),
    "DATE": lambda rng: rng.choice(["2024-05-17", None]),
}


def test_random_columns_are_read_as_requests(tmp_path: Path) -> None:
    rng = random.Random(15)
    kept = refused = 0
    for number in range(60):
        kinds = [rng.choice(list(Kind)) for _ in range(rng.randint(1, 4))]
        fields = tuple(
            Field(f"f{i}", kind, nullable=rng.random() < 0.7, guessed=kind is Kind.NUMBER and rng.random() < 0.3)
            for i, kind in enumerate(kinds)
        )
        signature = Signature(fields, NUMBER, id_field="id" if rng.random() < 0.3 else None)
        names = [*signature.names, *["id"] * (signature.id_field is not None), "extra"]
        types = {name: rng.choice(list(TYPES)) for name in names}
        rows = [[TYPES[types[name]](rng) for name in names] for _ in range(rng.choice([1, 9, 60]))]
        columns = ", ".join(f"CAST(column{index} AS {types[name]}) AS {name}" for index, name in enumerate(names))
        values = ", ".join("(" + ", ".join("NULL" if v is None else repr(str(v)) for v in row) + ")" for row in rows)
        aliases = ", ".join(f"column{index}" for index in range(len(names)))
        written(tmp_path / "file", f"SELECT {columns} FROM (VALUES {values}) AS t({aliases})")
        got, _ = as_file(tmp_path / "file", PARQUET, Loaded(signature, Lengths()))
        assert got == coerced(Grid(names, rows), signature), number
        kept += bool(got.rows)
        refused += bool(got.refused)
    assert min(kept, refused) > 10


def test_columns_are_kept_with_their_types_and_answers_follow(tmp_path: Path) -> None:
    query = "SELECT 1.5::FLOAT b, [1, 2] l, 3::TINYINT a, TIMESTAMP '2024-05-17 10:30:00' t, 1.20::DECIMAL(9,2) d"
    output, errors = scored(tmp_path, written(tmp_path / "file", query), PARQUET)
    kinds = {name: kind for name, kind, *_ in duckdb.sql(f"DESCRIBE FROM read_parquet('{output}')").fetchall()}
    assert list(kinds.items()) == [
        *(("b", "FLOAT"), ("l", "INTEGER[]"), ("a", "TINYINT"), ("t", "TIMESTAMP"), ("d", "DECIMAL(9,2)")),
        *(("prediction", "VARCHAR"), ("probability_no", "DOUBLE"), ("probability_yes", "DOUBLE")),
    ]
    (row,) = rows_of(output)
    assert (row["prediction"], row["probability_yes"]) == ("yes", MODEL.estimator.predict_proba([[3, 1.5]])[0, 1])
    assert errors == []


def test_a_large_row_group_is_cut_and_comes_out_in_order(tmp_path: Path) -> None:
    query = (
        "SELECT i AS id, sin(i) AS a, CASE WHEN i % 50000 = 7 THEN NULL ELSE cos(i) END AS b FROM range(150000) t(i)"
    )
    body = written(tmp_path / "file", query, ", ROW_GROUP_SIZE 200000")
    output, errors = scored(tmp_path, body, PARQUET)
    frame = duckdb.sql(f"SELECT * FROM read_parquet('{output}')").df()
    assert (frame["id"] == np.arange(150_000)).all()
    wrong = [7, 50_007, 100_007]
    assert [error["row"] for error in errors] == wrong
    assert np.flatnonzero(frame["prediction"].isna()).tolist() == wrong
    good = frame.drop(wrong)
    assert (good["prediction"] == MODEL.estimator.predict(good[["a", "b"]].to_numpy())).all()
    first = output.read_bytes()
    assert scored(tmp_path, body, PARQUET)[0].read_bytes() == first


def test_nan_is_null(tmp_path: Path) -> None:
    fields = (Field("a", Kind.NUMBER, nullable=True), Field("b", Kind.NUMBER))
    written(tmp_path / "file", "SELECT 'nan'::DOUBLE AS a, 1::DOUBLE AS b UNION ALL SELECT 1, 'nan'::DOUBLE")
    got, _ = as_file(tmp_path / "file", PARQUET, Loaded(Signature(fields, NUMBER), Lengths()))
    assert (got.rows, got.refused) == ([[None, 1.0]], [1])
    assert got.errors and got.errors[0].code == "null_not_allowed"


@pytest.mark.parametrize("name", ["spool[x]", "spool*", "spool?", "it's"])
def test_characters_of_patterns_in_a_path_stand_for_themselves(tmp_path: Path, name: str) -> None:
    """The first three names are patterns that match the name of the other folder, too."""
    for folder, values in ((tmp_path / "spoolx", "1 AS a, 2 AS b"), (tmp_path / name, "-3 AS a, -4 AS b")):
        folder.mkdir()
        output, _ = scored(folder, written(tmp_path / "file", f"SELECT {values}"), PARQUET)
    assert [row["prediction"] for row in rows_of(output.rename(tmp_path / "renamed"))] == ["no"]


def test_csv_and_ndjson_become_parquet_of_the_kinds_of_the_inputs(tmp_path: Path) -> None:
    fields = (Field("n", Kind.INTEGER, nullable=True), Field("x", Kind.NUMBER), Field("t", Kind.DATETIME))
    model = Loaded(Signature((*fields, Field("w", Kind.BOOLEAN)), NUMBER), Lengths())
    csv = b"note,N,x,t,w\nhey,9007199254740993,0.1,2024-05-17,true\n,?,oops,2024-05-17T12:00:00+02:00,0\n"
    output, _ = scored(tmp_path, csv, FileFormat.CSV, PARQUET, model)
    kinds = [kind for _, kind, *_ in duckdb.sql(f"DESCRIBE FROM read_parquet('{output}')").fetchall()]
    assert kinds == ["VARCHAR", "BIGINT", "DOUBLE", "TIMESTAMP WITH TIME ZONE", "BOOLEAN", "DOUBLE"]
    cells = duckdb.sql(f"SELECT note, N, x, epoch(t), w, prediction FROM read_parquet('{output}')").fetchall()
    assert cells == [
        ("hey", 9007199254740993, 0.1, 1715904000.0, True, 4.0),
        (None, None, None, 1715940000.0, False, None),
    ]
    lines = b'{"n": 1, "x": 0.1, "t": "2024-05-17", "w": true, "note": {"a": 1}}\n{"n": null, "x": "7", "w": 1}'
    output, _ = scored(tmp_path, lines, FileFormat.NDJSON, PARQUET, model)
    cells = duckdb.sql(f"SELECT n, x, w, note, prediction FROM read_parquet('{output}')").fetchall()
    assert cells == [(1, 0.1, True, '{"a":1}', 4.0), (None, 7.0, True, None, None)]


class Identifiers:
    def __init__(self, dtype: str) -> None:
        self._dtype = dtype

    def predict(self, X: Any) -> Any:
        largest = np.iinfo(self._dtype).max
        return np.array([largest if x > 1 else 5 for x in X["x"]], dtype=self._dtype)


@pytest.mark.parametrize(("dtype", "kind"), [("int64", "BIGINT"), ("uint64", "UBIGINT")])
def test_long_whole_numbers_keep_all_digits_in_files(tmp_path: Path, dtype: str, kind: str) -> None:
    method, largest = replace(PREDICT, returned=Returned("ndarray", (dtype,))), int(np.iinfo(dtype).max)
    model = Loaded(Signature((Field("x", Kind.NUMBER),), NUMBER, methods=(method,)), Identifiers(dtype))
    body = b"x\n1\n2\n"
    for refused in (b"", b"oops\n"):
        output, _ = scored(tmp_path, body + refused, FileFormat.CSV, PARQUET, model)
        (_, (_, written_kind, *_)) = duckdb.sql(f"DESCRIBE FROM read_parquet('{output}')").fetchall()
        cells = duckdb.sql(f"SELECT prediction FROM read_parquet('{output}')").fetchall()
        assert (written_kind, cells[:2]) == (kind, [(5,), (largest,)])
    for output_format in (FileFormat.CSV, FileFormat.NDJSON):
        text, _ = scored_text(tmp_path, body, input_format=FileFormat.CSV, output=output_format, model=model)
        assert str(largest) in text


def test_parquet_becomes_csv_and_ndjson(tmp_path: Path) -> None:
    query = (
        "SELECT 1.5 ::DOUBLE AS a, 2::INT AS b, DATE '2024-05-17' AS d, [1, 2] AS l, NULL AS n, 0.10::DECIMAL(4,2) AS m"
    )
    body = written(tmp_path / "file", query)
    text, _ = scored_text(tmp_path, body, input_format=PARQUET, output=FileFormat.CSV)
    header, row = text.splitlines()
    assert header == "a,b,d,l,n,m,prediction,probability_no,probability_yes"
    assert row.startswith('1.5,2,2024-05-17,"[1,2]",,0.10,yes,')
    text, _ = scored_text(tmp_path, body, input_format=PARQUET, output=FileFormat.NDJSON)
    line = json.loads(text)
    assert [line[name] for name in ("a", "b", "d", "n", "prediction")] == [1.5, 2, "2024-05-17", None, "yes"]


def test_odd_types_of_inputs_are_refused_by_name(tmp_path: Path) -> None:
    written(tmp_path / "file", "SELECT [1] AS a, {'x': 1} AS b, [3] AS other")
    with pytest.raises(InvalidInstances) as refused:
        finished(plan(tmp_path / "file", PARQUET, PARQUET, MODEL))
    assert [(error.field, error.code) for error in refused.value.errors] == [
        ("a", "unsupported_type"),
        ("b", "unsupported_type"),
    ]
    assert "INTEGER[]" in refused.value.errors[0].message


def test_columns_of_the_model_that_differ_only_in_case_are_named(tmp_path: Path) -> None:
    columns = "{'x': 1, 'y': [2]} AS other, 3.0 AS income, 4.0 AS INCOMX, 5 AS more, 6 AS MORX"
    body = written(tmp_path / "file", f"SELECT {columns}").replace(b"INCOMX", b"INCOME").replace(b"MORX", b"MORE")
    (tmp_path / "file").write_bytes(body)
    for inputs in (("income", "INCOME"), ("INCOME",), ("income",)):
        model = Loaded(Signature(numbers(*inputs), MODEL.signature.outputs), Sign())
        if inputs == ("income",):
            assert finished(plan(tmp_path / "file", PARQUET, PARQUET, model)).rows == 1
        else:
            with pytest.raises(NotReadable, match="'income' and 'INCOME' differ only in case"):
                finished(plan(tmp_path / "file", PARQUET, PARQUET, model))


def test_wrong_columns_and_no_rows_are_refused_once(tmp_path: Path) -> None:
    written(tmp_path / "file", "SELECT 1 AS a, 2 AS c")
    with pytest.raises(InvalidInstances, match="'b' is missing"):
        finished(plan(tmp_path / "file", PARQUET, PARQUET, MODEL))
    written(tmp_path / "file", "SELECT 1 AS a, 2 AS b WHERE false")
    with pytest.raises(InvalidInstances, match="no rows"):
        finished(plan(tmp_path / "file", PARQUET, PARQUET, MODEL))


@pytest.mark.parametrize("body", [b"", b"a,b\n1,2\n", b"PAR1" + b"x" * 100 + b"PAR1"])
def test_what_is_not_parquet_is_refused(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "file").write_bytes(body)
    with pytest.raises(NotReadable, match="not Parquet"):
        finished(plan(tmp_path / "file", PARQUET, PARQUET, MODEL))


@pytest.mark.slow
def test_the_library_is_not_imported_before_the_first_file() -> None:
    code = "import sys, scoring.files.stages; print('duckdb' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert run.stdout == "False\n"


def test_work_that_is_given_up_stops_and_leaves_the_connection_free(tmp_path: Path) -> None:
    endless = "SELECT count(*) FROM range(1000000000000) a(i) WHERE hash(i) = 1"
    steps = in_background(lambda: connection().execute(endless).fetchall())
    next(steps)
    steps.close()
    assert connection().execute("SELECT 1").fetchall() == [(1,)]


@pytest.mark.parametrize("input_format", [PARQUET, FileFormat.NDJSON])
def test_columns_named_by_numbers_are_the_positions_of_a_model_without_names(
    tmp_path: Path, input_format: FileFormat
) -> None:
    class Places:
        def predict(self, X: Any) -> Any:
            return np.asarray(X) @ [100.0, 10.0, 1.0]

    fields = tuple(Field(f"x{index}", Kind.NUMBER) for index in range(3))
    model = Loaded(Signature(fields, NUMBER), Places(), input_format=InputFormat.ARRAY)
    frame = pd.DataFrame({"2": [3.0, 6.0], "0": [1.0, 4.0], "1": [2.0, 5.0]})
    if input_format is PARQUET:
        duckdb.sql(f"COPY frame TO '{tmp_path / 'frame'}' (FORMAT parquet)")
        body = (tmp_path / "frame").read_bytes()
    else:
        body = frame.to_json(orient="records", lines=True).encode()
    whole, errors = scored(tmp_path, body, input_format, FileFormat.NDJSON, model)
    assert [json.loads(line)["prediction"] for line in whole.read_text().splitlines()] == [123.0, 456.0]
    assert errors == []
