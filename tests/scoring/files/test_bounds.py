"""Files of a few bytes that stand for many: they are refused, or cut so that little of them is in memory at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from contract.model.signature import Field, Kind, Output, OutputKind, Signature
from contract.rows.file_formats import FileFormat
from scoring.files import plan as plans
from scoring.files.plan import FilePlan, NotReadable
from scoring.files.stages import Part, plan, score
from tests.scoring.files.forged import I64, Struct, columns_of, forge
from tests.scoring.files.reading import MODEL, Lengths, Loaded, finished, scored, scored_text
from tests.support import numbers

CSV, NDJSON, PARQUET = FileFormat.CSV, FileFormat.NDJSON, FileFormat.PARQUET
NAMES = ",".join(f"n{number}" for number in range(9_000))
WIDE_CSV = f"a,b,{NAMES}\n".encode()
WIDE_JSON = json.dumps({"a": 1, "b": 2, **dict.fromkeys(NAMES.split(","), 0)}).encode() + b"\n"


class Uniform:
    """Finds so many labels equally likely."""

    def __init__(self, labels: int) -> None:
        self.labels = labels

    def predict(self, X: Any) -> Any:
        return ["label 0"] * len(X)

    def predict_proba(self, X: Any) -> Any:
        return np.full((len(X), self.labels), 1 / self.labels)


def parquet(folder: Path, query: str, options: str = "") -> bytes:
    path = folder / "made.parquet"
    duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet {options})")
    return path.read_bytes()


def planned(folder: Path, body: bytes, input_format: FileFormat, output: FileFormat, model: Loaded = MODEL) -> FilePlan:
    (folder / "input").write_bytes(body)
    file_plan: FilePlan = finished(plan(folder / "input", input_format, output, model))
    assert [chunk.number for chunk in file_plan.chunks] == list(range(len(file_plan.chunks)))
    assert sum(chunk.rows for chunk in file_plan.chunks) == file_plan.rows
    return file_plan


def refused(folder: Path, body: bytes, input_format: FileFormat, output: FileFormat) -> str:
    assert len(body) < 200_000
    with pytest.raises(NotReadable) as error:
        planned(folder, body, input_format, output)
    return str(error.value)


@pytest.mark.parametrize("output", [CSV, NDJSON, PARQUET])
def test_a_text_that_is_repeated_counts_as_often_as_it_is_read(tmp_path: Path, output: FileFormat) -> None:
    query = "SELECT 1.0 AS a, 2.0 AS b, repeat('x', 1300) AS note FROM range(305000)"
    said = refused(tmp_path, parquet(tmp_path, query, ", COMPRESSION zstd"), PARQUET, output)
    assert said.startswith("its 305000 rows of 3 columns take 38")
    assert "MB, and a file of its size may take 256 MB; leave out columns" in said


@pytest.mark.slow
def test_repeated_lists_count_as_text(tmp_path: Path) -> None:
    query = "SELECT 1.0 AS a, 2.0 AS b, [0 FOR x IN range(1000)] AS note FROM range(150000)"
    assert "take 290 MB" in refused(tmp_path, parquet(tmp_path, query, ", COMPRESSION zstd"), PARQUET, CSV)


@pytest.mark.slow
def test_decimals_count_as_the_text_that_is_written(tmp_path: Path) -> None:
    columns = ", ".join(f"CAST('{'9' * 38}' AS DECIMAL(38, 0)) AS d{number}" for number in range(10))
    body = parquet(tmp_path, f"SELECT 1.0 AS a, 2.0 AS b, {columns} FROM range(600000)", ", COMPRESSION zstd")
    assert "its 600000 rows of 12 columns take 27" in refused(tmp_path, body, PARQUET, CSV)


def test_a_row_of_a_parquet_file_is_as_short_as_that_of_any_other(tmp_path: Path) -> None:
    body = parquet(tmp_path, "SELECT 1.0 AS a, 2.0 AS b, repeat('x', 9000000) AS note", ", COMPRESSION zstd")
    assert refused(tmp_path, body, PARQUET, CSV) == "a row is longer than 8 MB"


def _rows_of_the_file(footer: Struct, groups: list[Struct]) -> None:
    footer[3] = I64, 10**12


def _rows_of_all(footer: Struct, groups: list[Struct]) -> None:
    footer[3] = groups[0][3] = I64, 10**12


def _rows_of_all_but_the_columns(footer: Struct, groups: list[Struct]) -> None:
    footer[3] = groups[0][3] = I64, 900_000


def _rows_of_the_columns(footer: Struct, groups: list[Struct]) -> None:
    _rows_of_all_but_the_columns(footer, groups)
    for column in columns_of(groups[0]):
        column[5] = I64, 900_000


def _less_than_no_rows(footer: Struct, groups: list[Struct]) -> None:
    footer[3] = groups[0][3] = I64, -5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_less_than_no_rows, "Failed to read Parquet file: has negative number of rows"),
        (_rows_of_the_file, "it says that it has 1000000000000 rows, and its row groups have 7"),
        (_rows_of_all, "it has 1000000000000 rows, and a file of its size may have 1000000"),
        (_rows_of_all_but_the_columns, "it is not Parquet"),
        (_rows_of_the_columns, "it is not Parquet"),
    ],
)
def test_rows_that_only_the_footer_has_are_refused(
    tmp_path: Path, change: Callable[[Struct, list[Struct]], None], said: str
) -> None:
    body = parquet(tmp_path, "SELECT i AS a, i AS b FROM range(7) t(i)")
    assert said in refused(tmp_path, forge(body, change), PARQUET, CSV)


def test_sizes_that_only_the_footer_has_make_no_chunks(tmp_path: Path) -> None:
    def change(footer: Struct, groups: list[Struct]) -> None:
        for group in groups:
            for column in columns_of(group):
                column[6] = I64, 2**60

    body = parquet(tmp_path, "SELECT i AS a, i AS b, 'x' AS note FROM range(100000) t(i)")
    assert len(planned(tmp_path, forge(body, change), PARQUET, CSV).chunks) == 2


def test_chunks_follow_the_sizes_of_texts_where_they_are(tmp_path: Path) -> None:
    """Texts of 64 KB in the middle of short ones: a chunk has 8 MB of text, and its own rows."""
    size = "CASE WHEN i BETWEEN 3000 AND 4999 THEN 65536 ELSE 1 END"
    query = f"SELECT i AS a, 1 AS b, repeat('x', {size}) AS note FROM range(9000) t(i)"
    file_plan = planned(tmp_path, parquet(tmp_path, query, ", COMPRESSION zstd"), PARQUET, PARQUET)
    texts = [
        sum(65536 if 3000 <= row < 5000 else 1 for row in range(chunk.start, chunk.end)) for chunk in file_plan.chunks
    ]
    assert max(texts) <= 2 * 8 * 2**20
    assert len(file_plan.chunks) < 40
    assert [chunk.end for chunk in file_plan.chunks][:-1] == [chunk.start for chunk in file_plan.chunks][1:]


def test_a_million_rows_of_few_values_are_scored_in_large_chunks(tmp_path: Path) -> None:
    columns = ", ".join(f"i % {number + 2} AS n{number}, 'word {number}' AS t{number}" for number in range(6))
    body = parquet(tmp_path, f"SELECT i % 7 AS a, i % 5 AS b, {columns} FROM range(1000000) t(i)", ", COMPRESSION zstd")
    assert len(body) < 100_000
    assert len(planned(tmp_path, body, PARQUET, CSV).chunks) < 40


@pytest.mark.parametrize(
    ("head", "row", "input_format", "output"),
    [
        (WIDE_CSV, b"1\n", CSV, CSV),
        (WIDE_CSV, b"1\n", CSV, PARQUET),
        (WIDE_JSON, b'{"a":1}\n', NDJSON, CSV),
        (WIDE_JSON, b'{"a":1}\n', NDJSON, PARQUET),
        (b"a,b," + b"n" * 20_000 + b"\n", b"1,2,3\n", CSV, NDJSON),
    ],
)
def test_names_count_for_each_row_that_lacks_their_values(
    tmp_path: Path, head: bytes, row: bytes, input_format: FileFormat, output: FileFormat
) -> None:
    assert "may take 64 MB; leave out columns" in refused(tmp_path, head + row * 5_000, input_format, output)
    file_plan = planned(tmp_path, head + row * 500, input_format, output)
    widest = len(head) if output is NDJSON else 8 * 9_000
    assert max(chunk.rows for chunk in file_plan.chunks) * widest <= 4 * 2**20


def test_lines_that_stay_as_they_are_may_have_any_names(tmp_path: Path) -> None:
    assert planned(tmp_path, WIDE_JSON + b'{"a":1}\n' * 14_000, NDJSON, NDJSON).rows == 14_001


@pytest.mark.slow
def test_a_model_of_many_inputs_or_answers_gets_fewer_rows_at_once(tmp_path: Path) -> None:
    """Each input of each row may have an error."""
    labels = tuple(f"label {number}" for number in range(5_000))
    wide = Loaded(
        Signature(numbers(*(f"x{number}" for number in range(5_000))), (Output(OutputKind.NUMBER),)), Lengths()
    )
    many = Loaded(
        Signature((Field("a", Kind.STRING),), (Output(OutputKind.CLASS, labels=labels, probabilities=True),)),
        Uniform(5_000),
    )
    body = b'{"a": "x", "b": 1}\n' * 5_000
    assert len(planned(tmp_path, body, NDJSON, NDJSON).chunks) == 2
    assert len(planned(tmp_path, body, NDJSON, NDJSON, many).chunks) > 20
    body = json.dumps(dict.fromkeys(wide.manifest.signature.names, 1)).encode() + b'\n{"x0": 1}' * 5_000
    assert len(planned(tmp_path, body, NDJSON, NDJSON, wide).chunks) > 90


@pytest.mark.slow
def test_a_wide_file_of_short_rows_is_written_whole(tmp_path: Path) -> None:
    body = b"a,b," + NAMES.encode() + b"\n" + b"1,2" + b"," * 9_000 + b"\n" + b"1\n" * 200
    text, errors = scored_text(tmp_path, body)
    lines = text.splitlines()
    assert (len(lines), len(errors)) == (202, 200)
    assert {line.count(",") for line in lines} == {9_004}
    output, _ = scored(tmp_path, WIDE_JSON + b'{"a": 1, "b": 2}\n' * 200, NDJSON, CSV)
    assert len(output.read_text().splitlines()) == 202


@pytest.mark.parametrize("output", [CSV, NDJSON])
def test_a_large_chunk_is_written_in_short_steps(tmp_path: Path, output: FileFormat) -> None:
    """Nobody else's row is scored during a step."""
    columns = ", ".join(f"i * {number} AS n{number}" for number in range(50))
    body = parquet(tmp_path, f"SELECT 1.0 AS a, 2.0 AS b, {columns} FROM range(60000) t(i)")
    file_plan = planned(tmp_path, body, PARQUET, output)
    largest = max(file_plan.chunks, key=lambda chunk: chunk.rows)
    assert largest.rows > 30_000
    part = Part(tmp_path / "part", tmp_path / "errors")
    sizes = [0]
    for _ in score(MODEL, tmp_path / "input", file_plan, largest, part):
        with suppress(FileNotFoundError):
            sizes.append(part.output.stat().st_size)
    assert sizes[-1] > 4 * 2**20
    assert max(after - before for before, after in pairwise(sizes)) < 2**18


@pytest.mark.parametrize("input_format", [CSV, NDJSON])
def test_chunks_grow_where_there_would_be_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, input_format: FileFormat
) -> None:
    monkeypatch.setattr(plans, "MOST_CHUNKS", 4)
    monkeypatch.setattr(plans, "MAX_CHUNK_ROWS", 10)
    head, row = (b"a,b\n", b"%d,2\n") if input_format is CSV else (b"", b'{"a":%d,"b":2}\n')
    body = head + b"".join(row % number for number in range(1_000))
    file_plan = planned(tmp_path, body, input_format, input_format)
    assert len(file_plan.chunks) < 4 and max(chunk.rows for chunk in file_plan.chunks) >= 250
    monkeypatch.undo()
    whole, _ = scored(tmp_path, body, input_format)
    expected = whole.read_bytes()
    monkeypatch.setattr(plans, "MOST_CHUNKS", 4)
    monkeypatch.setattr(plans, "MAX_CHUNK_ROWS", 10)
    assert scored(tmp_path, body, input_format)[0].read_bytes() == expected
