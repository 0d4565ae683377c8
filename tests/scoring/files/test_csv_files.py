"""CSV files are read chunk by chunk as a request would be read, and answered with their own columns."""

from __future__ import annotations

import csv
import io
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from contract.errors import InvalidInstances
from contract.model.manifest import InputFormat
from contract.model.signature import Field, Kind, Output, OutputKind, Signature
from contract.rows.file_formats import FileFormat
from scoring.files import plan as plans
from scoring.files.plan import NotReadable
from scoring.files.stages import plan
from tests.scoring.files.reading import MODEL, Lengths, Loaded, as_file, as_request, finished, random_csv
from tests.scoring.files.reading import scored_text as scored
from tests.support import numbers


def test_random_files_are_read_as_requests(tmp_path: Path) -> None:
    rng = random.Random(15)
    kept = 0
    for _ in range(150):
        body, signature = random_csv(rng)
        (tmp_path / "file").write_bytes(body)
        model = Loaded(signature, Lengths(), input_format=rng.choice([InputFormat.DATAFRAME, InputFormat.ARRAY]))
        got, _ = as_file(tmp_path / "file", FileFormat.CSV, model)
        wanted = as_request(body, signature)
        if got.rows is None:
            assert wanted.rows is None or not any(wanted.rows), body
        else:
            assert got == wanted, body
            kept += 1
    assert kept > 50


def test_many_rows_are_read_as_requests_in_several_chunks(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"b": rng.normal(size=20_000), "note": "x", "a": rng.normal(size=20_000) / 1e300})
    text = frame.to_csv(index=False)
    (tmp_path / "file").write_text(text)
    got, file_plan = as_file(tmp_path / "file", FileFormat.CSV, MODEL)
    assert file_plan and len(file_plan.chunks) > 1
    assert got == as_request(text.encode(), MODEL.signature)
    assert file_plan.warnings == ["ignored columns that are not inputs of the model: 'note'"]


@pytest.mark.parametrize("line", [",", " , ", '"",""', ",\t"])
@pytest.mark.parametrize("blank", [1, 3, 9000])
def test_blank_cells_at_the_end_of_a_file_are_no_rows(tmp_path: Path, line: str, blank: int) -> None:
    text = "a,b\n" + "1,2\n" * 3 + ",\n" + "3,4\n" + f"{line}\n" * blank
    (tmp_path / "file").write_text(text)
    got, file_plan = as_file(tmp_path / "file", FileFormat.CSV, MODEL)
    assert file_plan and file_plan.rows == 5
    assert got == as_request(text.encode(), MODEL.signature)
    lines = "1 line" if blank == 1 else f"{blank} lines"
    assert file_plan.warnings == [f"the CSV ends with {lines} of blank cells, which are not rows"]
    output, errors = scored(tmp_path, text.encode())
    assert (len(output.splitlines()), {error["row"] for error in errors}) == (6, {3})


@pytest.mark.parametrize("text", ["1,2\n3,4\n", "Sums\na,b\n1,2\n"])
def test_a_file_without_a_header_or_with_a_title_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    got, _ = as_file(tmp_path / "file", FileFormat.CSV, MODEL)
    assert got.errors and [error.code for error in got.errors] == ["no_header"]


def test_columns_are_kept_and_predictions_follow(tmp_path: Path) -> None:
    output, errors = scored(tmp_path, b"name,a,b\r\nx,1.50,2\r\ny,-1,-2e0\r\n")
    frame = pd.read_csv(io.StringIO(output), dtype=str)
    assert list(frame.columns) == ["name", "a", "b", "prediction", "probability_no", "probability_yes"]
    assert frame["a"].tolist() == ["1.50", "-1"]
    assert frame["prediction"].tolist() == ["yes", "no"]
    table = MODEL.estimator.predict_proba([[1.5, 2], [-1, -2]])
    assert frame["probability_yes"].map(float).tolist() == table[:, 1].tolist()
    assert errors == []


def test_bad_rows_stay_without_answers_and_have_errors(tmp_path: Path) -> None:
    output, errors = scored(tmp_path, b"a,b\n1,2\nx,\n3\n1,2,3\n3,4\n")
    rows = list(csv.reader(io.StringIO(output)))[1:]
    assert [row[:3] for row in rows] == [
        *(["1", "2", "yes"], ["x", "", ""], ["3", "", ""], ["1", "2", ""], ["3", "4", "yes"])
    ]
    assert [(error["row"], error["field"], error["code"]) for error in errors] == [
        *((1, "a", "not_a_number"), (1, "b", "null_not_allowed"), (2, None, "wrong_length"), (3, None, "wrong_length"))
    ]
    assert errors[0]["message"] == "'a' must be a finite number; it is 'x'"
    assert errors[2]["message"].startswith("row 2 must be")


def test_all_errors_are_kept_with_the_numbers_that_rows_have_in_the_file(tmp_path: Path) -> None:
    bad = [3, *range(16_000, 18_000)]
    lines = ["1,2"] * 20_000
    for number in bad:
        lines[number] = "x,y"
    output, errors = scored(tmp_path, ("a,b\n" + "\n".join(lines)).encode())
    assert [error["row"] for error in errors] == [number for number in bad for _ in "ab"]
    answers = [line.rsplit(",", 3)[1] for line in output.splitlines()[1:]]
    assert [number for number, answer in enumerate(answers) if not answer] == bad


def test_strict_stops_at_the_first_bad_rows(tmp_path: Path) -> None:
    with pytest.raises(InvalidInstances) as refused:
        scored(tmp_path, ("a,b\n" + "1,2\n" * 20_000 + "x,2\n").encode(), lenient=False)
    (error,) = refused.value.errors
    assert (error.row, error.field, error.code) == (20_000, "a", "not_a_number")


def test_formulas_are_escaped_on_request_and_numbers_are_not(tmp_path: Path) -> None:
    body = b'a,b,note\n-1,+2,=cmd()\n1,2,"@x,""y"""\n'
    output, _ = scored(tmp_path, body, escape=True)
    rows = list(csv.reader(io.StringIO(output)))[1:]
    assert [row[:3] for row in rows] == [["-1", "+2", "'=cmd()"], ["1", "2", '\'@x,"y"']]


def test_the_format_of_numbers_is_that_of_the_whole_file(tmp_path: Path) -> None:
    # 1.234 is a number with decimals until a comma comes, a megabyte later.
    text = "a;b;note\n" + f"1.234;5;{'x' * 500}\n" * 2500 + "1.234,5;5;\n"
    (tmp_path / "file").write_text(text)
    got, _ = as_file(tmp_path / "file", FileFormat.CSV, MODEL)
    assert got == as_request(text.encode(), MODEL.signature)
    assert got.rows and got.rows[0][0] == 1234


@pytest.mark.parametrize(
    ("body", "why"),
    [(b'a,b\n1,"2\n', "not closed"), (b"a,b\n1,\0\n", "binary"), (b'a,b\n"' + b"x" * 2**23, "longer than 8 MB")],
)
def test_what_is_not_csv_is_refused(tmp_path: Path, body: bytes, why: str) -> None:
    (tmp_path / "file").write_bytes(body)
    with pytest.raises(NotReadable, match=why):
        finished(plan(tmp_path / "file", FileFormat.CSV, FileFormat.CSV, MODEL))


@pytest.mark.parametrize(
    ("header", "code"), [("a,c", "missing_field"), ("a,b,a", "repeated_field"), ("a,b", "no_rows")]
)
def test_wrong_columns_are_refused_once(tmp_path: Path, header: str, code: str) -> None:
    (tmp_path / "file").write_text(header + "\n" + "1,2,3\n" * (code != "no_rows"))
    with pytest.raises(InvalidInstances) as refused:
        finished(plan(tmp_path / "file", FileFormat.CSV, FileFormat.CSV, MODEL))
    assert [(error.row, error.code) for error in refused.value.errors] == [(None, code)]


def test_a_taken_name_of_an_answer_gets_a_number(tmp_path: Path) -> None:
    output, _ = scored(tmp_path, b"a,b,prediction\n1,2,3\n")
    assert output.splitlines()[0] == "a,b,prediction,prediction_2,probability_no,probability_yes"


def test_integers_and_texts_are_read_as_the_model_takes_them(tmp_path: Path) -> None:
    fields = (Field("n", Kind.INTEGER), Field("word", Kind.STRING, nullable=True))
    model = Loaded(Signature(fields, (Output(OutputKind.NUMBER),)), Lengths())
    (tmp_path / "file").write_text("word,n\nred,1\n,2\n")
    got, _ = as_file(tmp_path / "file", FileFormat.CSV, model)
    assert got.rows == [[1, "red"], [2, None]]


class Slow:
    """Waits a little for each row."""

    def predict(self, X: Any) -> Any:
        time.sleep(0.004 * len(X))
        return [0.0] * len(X)


class Beside:
    """Adds the mean of all rows to each."""

    def predict(self, X: Any) -> Any:
        return X.sum(axis=1) + X.mean()


def test_rows_of_a_model_that_is_scored_alone_are_asked_one_by_one_whatever_the_chunks_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Loaded(Signature(numbers("a", "b"), (Output(OutputKind.NUMBER),)), Beside(), input_format=InputFormat.ARRAY)
    model.manifest = replace(model.manifest, artifact=replace(model.manifest.artifact, alone=True))
    body = "a,b\n" + "".join(f"{number},{number % 7}\n" for number in range(3000)) + "x,1\n"
    outputs = set()
    for rows in (64, 1024, 4096):
        monkeypatch.setattr(plans, "MAX_CHUNK_ROWS", rows)
        outputs.add(scored(tmp_path, body.encode(), model=model)[0])
    (output,) = outputs
    assert output.splitlines()[1:-1] == [f"{n},{n % 7},{1.5 * (n + n % 7)}" for n in range(3000)]


def test_a_slow_model_gets_few_rows_at_once_and_a_fast_one_many(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a,b\n" + "1,2\n" * 5000)
    signature = Signature(numbers("a", "b"), (Output(OutputKind.NUMBER),))
    for estimator, fewest, most in ((Slow(), 1, 16), (Lengths(), 1024, 4096)):
        file_plan = finished(plan(tmp_path / "file", FileFormat.CSV, FileFormat.CSV, Loaded(signature, estimator)))
        assert fewest <= file_plan.call_rows <= most
