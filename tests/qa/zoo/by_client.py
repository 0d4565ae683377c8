"""Publishes specimens with the Python client, and asks them with it: a DataFrame, a row alone, and files."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
from modelgate import Client, Model
from modelgate.errors import ModelgateError

from tests.qa.zoo.compare import OTHER_BATCHES, Output, Rejected, Ways

ONE_BY_ONE, PARQUET, CSV = OTHER_BATCHES

_TYPES = {str: "VARCHAR", bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", datetime: "TIMESTAMP"}


def published(client: Client, name: str, file: Path, X: Any) -> str | None:
    """Publish a file with the rows that it was fitted on. Return the reason if it is refused."""
    try:
        client.publish(name, file, X=X, progress=False)
    except ModelgateError as error:
        return str(error)
    return None


def other_ways(model: Model, frame: Any, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Ways:
    """Yield the ways of the client to ask for predictions of a DataFrame, whose `rows` JSON has."""
    yield "client", partial(_of_frame, model, frame)
    yield ONE_BY_ONE, partial(_one_by_one, model, frame)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows")
        typed = [[_parsed(value) for value in row] for row in rows]
        yield PARQUET, partial(_of_file, model, _parquet(path.with_suffix(".parquet"), columns, typed))
        yield CSV, partial(_of_file, model, _csv(path.with_suffix(".csv"), columns, rows))


def _parsed(value: Any) -> Any:
    """Return a value of JSON, in which dates are texts, as Parquet has it."""
    is_date = isinstance(value, str) and value[:2] == "20"
    return datetime.fromisoformat(value) if is_date else value


def _of_frame(model: Model, frame: Any) -> Output:
    try:
        labels = [*map(str, model.classes_)]
        tables = [dict(zip(labels, row, strict=True)) for row in model.predict_proba(frame).tolist()]
        return {"predictions": model.predict(frame).tolist(), "probabilities": tables}
    except ModelgateError as error:
        raise Rejected(str(error)) from None


def _one_by_one(model: Model, frame: Any) -> Output:
    outputs = [_of_frame(model, frame[index : index + 1]) for index in range(len(frame))]
    return {key: [row for output in outputs for row in output[key]] for key in outputs[0]}


def _of_file(model: Model, file: Path) -> Output:
    output = io.BytesIO()
    try:
        job = model.submit(file, output="ndjson").wait(timeout=60, progress=False)
        errors = [error["message"] for error in job.row_errors()]
        job.download(output)
    except ModelgateError as error:
        raise Rejected(str(error)) from None
    if errors:
        raise Rejected(f"{errors[0]} ({len(errors)} errors)")
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    prefix = "probability_"
    tables = [{k.removeprefix(prefix): p for k, p in line.items() if k.startswith(prefix)} for line in lines]
    return {"predictions": [line["prediction"] for line in lines], "probabilities": tables}


def _csv(file: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])
    return file


def _parquet(file: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    kinds = [next(_TYPES[type(value)] for value in values if value is not None) for values in zip(*rows, strict=True)]
    definitions = ", ".join(f'"{name}" {kind}' for name, kind in zip(columns, kinds, strict=True))
    with duckdb.connect() as database:
        database.execute(f"CREATE TABLE t ({definitions})")
        database.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(columns))})", rows)
        database.execute(f"COPY t TO '{file}' (FORMAT parquet)")
    return file
