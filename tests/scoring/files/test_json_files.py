"""NDJSON files are read chunk by chunk as a request would be read; their rows keep what they have."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from contract.errors import InvalidInstances
from contract.model.manifest import InputFormat
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from contract.rows.file_formats import FileFormat
from gateway.protocols import native
from scoring.files.plan import NotReadable
from scoring.files.stages import plan
from tests.scoring.files.reading import (
    MODEL,
    Lengths,
    Loaded,
    as_file,
    coerced,
    finished,
    random_signature,
    scored_text,
)

NUMBER = (Output(OutputKind.NUMBER),)
VALUES = ["1.5", "-3", "true", "null", '"7"', '"abc"', '"red"', '"2024-05-17"', "12345678901234567890", "1e5", "[1]"]


def scored(folder: Path, *lines: str, **options: Any) -> tuple[list[Any], list[dict[str, Any]]]:
    text, errors = scored_text(folder, "\n".join(lines).encode(), input_format=FileFormat.NDJSON, **options)
    return [json.loads(line) for line in text.splitlines()], errors


def test_random_objects_and_lists_are_read_as_requests(tmp_path: Path) -> None:
    rng = random.Random(15)
    kept = 0
    for _ in range(200):
        signature = random_signature(rng, rng.choice([[Kind.NUMBER], list(Kind)]))
        names = [*signature.names, *["id"] * (signature.id_field is not None)]
        lists = rng.random() < 0.3
        lines = []
        for _ in range(rng.choice([1, 5, 9, 60])):
            cells = [rng.choice(VALUES if rng.random() < 0.2 else ["1", "2", "5.0"]) for _ in names]
            pairs = [f'"{name}": {cell}' for name, cell in zip(names, cells, strict=True) if rng.random() < 0.99]
            pairs += [f'"{rng.choice(names)}": 1'] * (rng.random() < 0.02) + ['"more": "a:b"'] * (rng.random() < 0.1)
            lines.append(f"[{', '.join(cells[: len(signature.inputs)])}]" if lists else f"{{{', '.join(pairs)}}}")
        (tmp_path / "file").write_text("\n".join(lines) + rng.choice(["", "\n", "\n\n", "\r\n", "\n \n"]))
        got, _ = as_file(tmp_path / "file", FileFormat.NDJSON, Loaded(signature, Lengths()))
        if got.rows is not None:
            assert got == coerced(native.read(f"[{','.join(lines)}]".encode(), signature), signature), lines
            kept += any(got.rows)
    assert kept > 50


def test_an_object_keeps_what_it_has_and_answers_follow(tmp_path: Path) -> None:
    rows, errors = scored(tmp_path, '{"b": 2, "a": 1, "note": {"x": [1]}}', "", ' {"a": -1, "b": 0} \r')
    assert [list(row) for row in rows] == [
        ["b", "a", "note", "prediction", "probability_no", "probability_yes"],
        ["a", "b", "prediction", "probability_no", "probability_yes"],
    ]
    assert (rows[0]["note"], rows[0]["prediction"], rows[1]["prediction"]) == ({"x": [1]}, "yes", "no")
    assert rows[0]["probability_yes"] == MODEL.estimator.predict_proba([[1, 2]])[0, 1]
    assert errors == []


def test_a_list_becomes_an_object_of_the_inputs(tmp_path: Path) -> None:
    rows, _ = scored(tmp_path, "[1, 2]", '{"a": 1, "b": 2}')
    assert rows[0] == rows[1]


def test_each_bad_line_has_its_error_and_no_answers(tmp_path: Path) -> None:
    lines = ['{"a": 1, "b": 2}', '{"a": 1', "7", '{"a": NaN, "b": 1}', '{"a": 1, "b": 1, "a": 2}', "[1]", "[3, 4]"]
    lines += ['{"a": 1, "b": 1, "note": "\\ud83d"}', '{"a": 1, "b": 1, "note": "\\ud83d\\ude00"}']
    rows, errors = scored(tmp_path, *lines)
    assert [row.get("prediction") for row in rows] == ["yes", *[None] * 5, "yes", None, "yes"]
    assert [(error["row"], error["code"]) for error in errors] == [
        *(
            (1, "not_json"),
            (2, "not_a_row"),
            (3, "not_json"),
            (4, "repeated_field"),
            (5, "wrong_length"),
            (7, "not_json"),
        )
    ]
    assert errors[0]["message"] == "row 1 is not JSON: Expecting ',' delimiter at column 8"
    assert errors[2]["message"] == "row 3 is not JSON: NaN is not JSON"
    assert "half of a surrogate pair" in errors[5]["message"]


def test_strict_stops_at_a_line_that_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(InvalidInstances, match="row 1 is not JSON"):
        scored(tmp_path, "[1, 2]", "{", lenient=False)


def test_an_answer_replaces_a_name_that_comes_later_in_the_file(tmp_path: Path) -> None:
    many = [f'{{"a": 1, "b": 2, "note": "{"x" * 500}"}}'] * 2500
    first, *_, last = scored(tmp_path, *many, '{"a": -5, "b": 2, "prediction": "?"}')[0]
    assert (first["prediction"], last["prediction"]) == ("yes", "no")
    (row,) = scored(tmp_path, '{"a": 1, "b": 2, "prediction": "?"}')[0]
    assert (row["prediction"], row["prediction_2"]) == ("?", "yes")


def test_names_that_are_wrong_in_all_first_rows_are_refused_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text('{"a": 1, "B": 2}\n' * 200)
    with pytest.raises(InvalidInstances) as refused:
        finished(plan(tmp_path / "file", FileFormat.NDJSON, FileFormat.NDJSON, MODEL))
    (error,) = refused.value.errors
    assert (error.row, error.field, error.code) == (None, "b", "missing_field")
    assert error.message.endswith("'B' is not an input: did you mean 'b'?")


def test_ndjson_becomes_csv_with_all_names_of_the_file(tmp_path: Path) -> None:
    lines = ['{"a": 1, "b": 2.5}', '{"a": -3, "b": 0, "more": [1, "x"]}', "x"]
    text, _ = scored_text(tmp_path, "\n".join(lines).encode(), input_format=FileFormat.NDJSON, output=FileFormat.CSV)
    header, *rows = text.splitlines()
    assert header == "a,b,more,prediction,probability_no,probability_yes"
    assert rows[0].startswith("1,2.5,,yes,")
    assert rows[1].startswith('-3,0,"[1,""x""]",no,')
    assert rows[2] == ",,,,,"


def test_csv_becomes_ndjson_with_the_values_that_the_model_gets(tmp_path: Path) -> None:
    body = b"note,a,b,note\nx,1.50,2,\ny,?,2,z\n"
    text, errors = scored_text(tmp_path, body, output=FileFormat.NDJSON)
    good, bad = map(json.loads, text.splitlines())
    assert list(good.items())[:5] == [("note", "x"), ("a", 1.5), ("b", 2.0), ("note_2", None), ("prediction", "yes")]
    assert (bad["a"], bad["b"], bad["prediction"]) == (None, 2.0, None)
    assert len(errors) == 1


def test_rows_may_be_texts_or_records(tmp_path: Path) -> None:
    texts = Signature((Field("text", Kind.STRING),), NUMBER, format=RowFormat.TEXTS)
    rows, _ = scored(
        tmp_path, '"a text"', '{"text": "b"}', model=Loaded(texts, Count(), input_format=InputFormat.TEXTS)
    )
    assert rows == [{"text": "a text", "prediction": 6.0}, {"text": "b", "prediction": 1.0}]
    records = Signature((), NUMBER, format=RowFormat.RECORDS)
    model = Loaded(records, Count(), input_format=InputFormat.RECORDS)
    rows, errors = scored(tmp_path, '{"x": 1, "y": "z"}', '{"x": {}}', model=model)
    assert rows == [{"x": 1, "y": "z", "prediction": 2.0}, {"x": {}, "prediction": None}]
    assert [(error["row"], error["field"]) for error in errors] == [(1, "x")]


class Count:
    """The length of each row."""

    def predict(self, X: Any) -> Any:
        return [float(len(row)) for row in X]


@pytest.mark.parametrize(("body", "why"), [(b"\xff\xfe[\x001\x00", "UTF-8"), (b"[" + b" " * 2**24, "longer than 8 MB")])
def test_what_is_not_ndjson_is_refused(tmp_path: Path, body: bytes, why: str) -> None:
    (tmp_path / "file").write_bytes(body)
    with pytest.raises(NotReadable, match=why):
        finished(plan(tmp_path / "file", FileFormat.NDJSON, FileFormat.NDJSON, MODEL))
