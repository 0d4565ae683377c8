"""Texts and records in every dialect, and bodies that hold neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import InvalidInstances
from contract.model.manifest import InputFormat
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from contract.rows.coercion import coerce
from contract.settings import Settings
from gateway.app import create_app
from gateway.problems.problem import MalformedBody
from gateway.protocols import csv_rows, native
from tests.support import Sum, write_version

TEXT = (Field("text", Kind.STRING),)
NAMES = (Field("city", Kind.STRING), Field("visits", Kind.NUMBER))
OUTPUTS = (Output(OutputKind.CLASS),)
MAILS = Signature(TEXT, OUTPUTS, format=RowFormat.TEXTS)
VISITS = Signature(NAMES, OUTPUTS, format=RowFormat.RECORDS)
TWO = ["buy now", "see you"]
ROWS = [{"city": "Rome", "visits": 3.0}, {"visits": 1.0}]


def texts_in(value: object, by: Signature = MAILS) -> list[Any]:
    return [row[0] for row in coerce(native.read(json.dumps(value).encode(), by), by).rows]


@pytest.fixture
def client(settings: Settings, models: Path) -> FlaskClient:
    for name, signature, takes in (("mails", MAILS, InputFormat.TEXTS), ("visits", VISITS, InputFormat.RECORDS)):
        inputs = signature.inputs
        write_version(models, name, Sum(), inputs, input_format=takes, signature=signature, example={})
    return create_app(settings).test_client()


@pytest.mark.parametrize(
    "body",
    [
        TWO,
        [[text] for text in TWO],
        [{"text": text} for text in TWO],
        {"instances": TWO},
        {"instances": [{"text": text} for text in TWO]},
        {"instances": [[text] for text in TWO]},
        {"inputs": TWO},
        {"inputs": {"text": TWO}},
        {"columns": {"text": TWO}},
        {"dataframe_split": {"columns": ["text"], "data": [[text] for text in TWO]}},
        {"dataframe_records": [{"text": text} for text in TWO]},
        {"text": {"0": TWO[0], "1": TWO[1]}},
        json.dumps(TWO),
        json.dumps({"instances": TWO}),
    ],
    ids=lambda body: json.dumps(body)[:50],
)
def test_texts_come_in_every_dialect(body: object) -> None:
    assert texts_in(body) == TWO


@pytest.mark.parametrize(
    "body",
    [
        "buy now",
        ["buy now"],
        {"text": "buy now"},
        {"inputs": "buy now"},
        {"instances": "buy now"},
        json.dumps("buy now"),
        json.dumps({"text": "buy now"}),
    ],
    ids=str,
)
def test_one_text_comes_alone(body: object) -> None:
    assert texts_in(body) == ["buy now"]


@pytest.mark.parametrize(
    "text", ["[URGENT] buy now", "{name}, buy now", '"Buy" now', "5", "null", "true", "1e400", "["]
)
def test_a_text_that_looks_like_json_and_is_none_is_a_text(text: str) -> None:
    assert texts_in(text) == [text]
    assert texts_in([text]) == [text]


@pytest.mark.parametrize("body", [{"data": TWO}, {"texts": TWO}, {"text": TWO}, {"instances": {"text": TWO}}], ids=str)
def test_texts_come_under_any_name_and_as_a_column(body: object) -> None:
    assert texts_in(body) == TWO


def test_a_list_of_texts_is_a_value_of_a_record_and_lists_of_objects_are_rows() -> None:
    tags = {"city": ["Rome", "Ulm"]}
    for body in (tags, {"instances": tags}, [tags]):
        assert texts_in(body, VISITS) == [tags]
    for body in ({"data": ROWS}, {"Inputs": {"data": ROWS}}, {"a": ROWS[0], "b": ROWS[1]}):
        assert texts_in(body, VISITS) == ROWS


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        (b"buy now\nsee you\n", TWO),
        (b"\xef\xbb\xbfbuy now\r\nsee you", TWO),
        ("grüß\u2028dich, 5\n".encode(), ["grüß\u2028dich, 5"]),
        (b"buy\n\nnow\n\n\n", ["buy", "", "now"]),
        (b"[URGENT] buy\n5\nnull\n", ["[URGENT] buy", "5", "null"]),
        (b' ["buy now", "see you"]\n', TWO),
        (b'{"text": "buy now"}', TWO[:1]),
    ],
)
def test_plain_text_is_a_text_a_line_unless_it_is_json(body: bytes, texts: list[str]) -> None:
    assert [row[0] for row in coerce(native.read_lines(body, MAILS, 9), MAILS).rows] == texts


def test_plain_text_is_for_models_of_texts(client: FlaskClient) -> None:
    def sent(model: str, body: bytes, kind: str = "text/plain; charset=utf-8") -> Any:
        return client.post(f"/v1/models/{model}/predict", data=body, content_type=kind)

    assert sent("mails", b"buy now\nsee you\n").status_code == 202
    assert [sent("mails", body).status_code for body in (b" \n", b"\xff\xfe")] == [400, 400]
    assert sent("mails", b"x", "image/png").headers["Accept-Post"].endswith(", text/plain")
    for body, said in ((b'[{"visits": 1}]', "JSON"), (b"city,visits\nRome,1\n", "CSV")):
        answer = sent("visits", body)
        assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")
        assert answer.json["detail"].startswith(f"the body is {said}, but its media type says that it is text; send it")
    assert "'text/plain' is not supported" in sent("visits", b"Rome").json["detail"]


def test_texts_come_in_a_csv_and_in_a_form() -> None:
    for header in ("text", "mail"):
        rows = csv_rows.read(f'{header}\nbuy now\n"see, you"\n'.encode())
        assert coerce(rows, MAILS).rows == [("buy now",), ("see, you",)]
    assert coerce(native.read_fields([("text", "buy now")]), MAILS).rows == [("buy now",)]


@pytest.mark.parametrize(
    ("body", "row", "code"),
    [
        (["buy now", 5], 1, "not_a_string"),
        (["buy now", None], 1, "null_not_allowed"),
        ([None, "buy now"], 0, "null_not_allowed"),
        ([5], 0, "not_a_string"),
        (["buy now", ["see", "you"]], 1, "not_a_string"),
        ([["buy", "now"]], 0, "wrong_length"),
        ([["buy now"], "see you"], 1, "not_a_row"),
        ([{"text": "buy now"}, "see you"], 1, "not_a_row"),
        ([{"text": "buy now"}, {"mail": "see you"}], 1, "missing_field"),
        ({"instances": ["buy now", 5]}, 1, "not_a_string"),
        ([], None, "no_rows"),
        ({"instances": []}, None, "no_rows"),
        (5, None, "not_instances"),
    ],
    ids=lambda value: json.dumps(value),
)
def test_what_holds_no_text_is_422_with_its_row(client: FlaskClient, body: object, row: int | None, code: str) -> None:
    response = client.post("/v1/models/mails/predict", json=body)
    assert response.status_code == 422
    (error,) = response.get_json()["errors"]
    assert (error["row"], error["code"]) == (row, code)


@pytest.mark.parametrize(
    "body",
    [
        ROWS,
        {"instances": ROWS},
        {"inputs": ROWS},
        {"dataframe_records": ROWS},
        json.dumps(ROWS),
    ],
    ids=lambda body: json.dumps(body)[:50],
)
def test_records_come_in_every_dialect_that_has_objects(body: object) -> None:
    assert texts_in(body, VISITS) == ROWS


def test_records_come_alone_in_columns_in_a_csv_and_in_a_form() -> None:
    assert texts_in(ROWS[0], VISITS) == ROWS[:1]
    for columns in ({"columns": {"city": ["Rome"], "visits": [3]}}, {"city": {"0": "Rome"}, "visits": {"0": 3}}):
        assert texts_in(columns, VISITS) == ROWS[:1]
    assert [row[0] for row in coerce(csv_rows.read(b"city,visits\nRome,3\n,1\n"), VISITS).rows] == ROWS
    assert coerce(native.read_fields([("city", "Rome"), ("visits", "3")]), VISITS).rows == [(ROWS[0],)]


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        (b'[{"visits": 1e400}]', "visits", "not_a_number"),
        (b'[{"else": 1e400}]', "else", "not_a_value"),
        (b'[{"visits": %s}]' % (b"9" * 400), "visits", "not_a_number"),
        (b'[{"else": %s{}%s}]' % (b"[" * 400, b"]" * 400), "else", "not_a_value"),
        (b'[{"else": {"a": 1}}]', "else", "not_a_value"),
        (b'{"visits": 1, "visits": 2}', "visits", "repeated_field"),
        (b'[["Rome", 3]]', None, "not_a_row"),
        (b'["Rome", 3]', None, "not_a_row"),
        (b"[]", None, "no_rows"),
        (b'{"visits": null}', "visits", "null_not_allowed"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_no_record_can_hold_is_422_with_its_name(
    client: FlaskClient, body: bytes, field: str | None, code: str
) -> None:
    response = client.post("/v1/models/visits/predict", data=body, content_type="application/json")
    assert response.status_code == 422, response.get_json()
    (error,) = response.get_json()["errors"]
    assert (error["field"], error["code"]) == (field, code)


@pytest.mark.parametrize("body", [b'[{"visits": NaN}]', b'[{"visits": Infinity}]', b'{"a": ' * 100_000])
def test_nan_and_deep_nesting_are_400(client: FlaskClient, body: bytes) -> None:
    for model in ("mails", "visits"):
        assert client.post(f"/v1/models/{model}/predict", data=body, content_type="application/json").status_code == 400


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["[[1]]", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["text", "inputs", "instances", "visits"]) | st.text(max_size=3), inner, max_size=4
        )
    ),
)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(junk, st.sampled_from([MAILS, VISITS]), st.integers(0, 2))
def test_any_json_becomes_texts_or_records_or_a_refusal(value: object, by: Signature, times: int) -> None:
    body = json.dumps(value)
    for _ in range(times):
        body = json.dumps(body)
    try:
        coerced = coerce(native.read(body.encode(), by), by)
    except (InvalidInstances, MalformedBody):
        return
    kind = str if by is MAILS else dict
    assert all(len(row) == 1 and isinstance(row[0], kind) for row in coerced.rows)
