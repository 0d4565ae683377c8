"""Arrow streams in and out of predictions, written and read by polars; those of pyarrow are in tests/qa/clients/."""

from __future__ import annotations

import io
import json
import random
import struct
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from flask.testing import FlaskClient

from contract.errors import InvalidInstances
from contract.model.signature import Field, Kind, Signature
from contract.rows.instances import Grid
from contract.settings import MB
from gateway.problems import MalformedBody
from gateway.protocols import arrow
from gateway.protocols.arrow import BATCH, DICTIONARY
from gateway.protocols.arrow_answers import JOB, _message
from gateway.protocols.flatbuffers import Fields, Number, Structs, Table

PREDICT = "/v1/models/sum/predict"
SIGNATURE = Signature(inputs=(Field("a", Kind.NUMBER), Field("b", Kind.NUMBER)), outputs=())
COLUMNS: dict[str, tuple[pl.Series, list[Any]]] = {
    "int8": (pl.Series([1, None, -3], dtype=pl.Int8), [1, None, -3]),
    "uint16": (pl.Series([1, 2, 65535], dtype=pl.UInt16), [1, 2, 65535]),
    "int64": (pl.Series([2**62, None, -1]), [2**62, None, -1]),
    "float32": (pl.Series([0.5, None, float("nan")], dtype=pl.Float32), [0.5, None, None]),
    "float64": (pl.Series([0.1, float("inf"), None]), [0.1, float("inf"), None]),
    "bool": (pl.Series([True, None, False]), [True, None, False]),
    "text": (pl.Series(["a", "é", None]), ["a", "é", None]),
    "long text": (pl.Series(["a text of more than twelve bytes", "", "é" * 20]), [""] * 3),
    "null": (pl.Series([None, None, None]), [None, None, None]),
    "date": (pl.Series([date(1970, 1, 1), None, date(2024, 10, 4)]), ["1970-01-01", None, "2024-10-04"]),
    "moment": (
        pl.Series([datetime(1970, 1, 1), datetime(1970, 1, 1, 0, 0, 1, 500_000), None]),
        ["1970-01-01T00:00:00", "1970-01-01T00:00:01.500000", None],
    ),
    "zoned": (
        pl.Series([datetime(1970, 1, 1, tzinfo=UTC)] * 3).dt.convert_time_zone("Europe/Berlin"),
        ["1970-01-01T00:00:00Z"] * 3,
    ),
    "categorical": (pl.Series(["no", None, "no"], dtype=pl.Categorical), ["no", None, "no"]),
    "enum": (pl.Series(["no", "yes", None], dtype=pl.Enum(["no", "yes"])), ["no", "yes", None]),
}
COLUMNS["long text"] = (COLUMNS["long text"][0], COLUMNS["long text"][0].to_list())


def stream(compat: bool = False, **columns: Any) -> bytes:
    """Return a stream of these columns. `compat`: without views, as older writers do."""
    file = io.BytesIO()
    level = pl.CompatLevel.oldest() if compat else pl.CompatLevel.newest()
    pl.DataFrame(columns).write_ipc_stream(file, compat_level=level)
    return file.getvalue()


def read(body: bytes, most_rows: int = 1000, most_bytes: int = MB) -> Grid:
    rows = arrow.read(body, SIGNATURE, most_rows, most_bytes)
    assert isinstance(rows, Grid)
    return rows


@pytest.mark.parametrize("compat", [True, False])
@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_any_type_that_an_input_takes_is_read(name: str, compat: bool) -> None:
    values, expected = COLUMNS[name]
    grid = read(stream(compat, a=values, other=[1, 2, 3]))
    assert grid.columns == ["a", "other"]
    assert grid.rows == [*zip(expected, [1, 2, 3], strict=True)]
    assert {type(value) for value, _ in grid.rows} == {*map(type, expected)}


def test_at_most_so_many_rows_are_read() -> None:
    assert read(stream(a=[*range(9)]), most_rows=4).rows == [(0,), (1,), (2,), (3,)]
    for value in (None, True, "x", 0.5):
        assert read(stream(a=[value] * 9), most_rows=4).rows == [(value,)] * 4


def numbered(rows: int, *buffers: bytes) -> bytes:
    """Return the message of a batch with one column."""
    data, places = b"", []
    for buffer in buffers:
        places.append((len(data), len(buffer)))
        data += buffer + bytes(-len(buffer) % 8)
    return _message(BATCH, batch(rows, places), data)


def batch(rows: int, places: list[tuple[int, int]]) -> Fields:
    return {0: Number("q", rows), 1: Structs([(rows, 0)]), 2: Structs(places)}


def of_dictionary(values: list[str], indexes: list[int], *, deltas: list[list[str]] | None = None) -> bytes:
    """Return a stream with one column of indexes into a dictionary of text."""
    encoding: Fields = {0: Number("q", 7), 1: {0: Number("i", 32), 1: Number("?", True)}}
    field: Fields = {0: "a", 1: Number("?", True), 2: Number("B", 5), 3: {}, 4: encoding, 5: []}
    messages = [_message(1, {1: [field]}, b"")]
    for number, texts in enumerate([values, *(deltas or [])]):
        ends = [sum(map(len, texts[:at])) for at in range(len(texts) + 1)]
        parts = [b"", struct.pack(f"<{len(ends)}i", *ends), "".join(texts).encode()]
        data, places = b"", []
        for part in parts:
            places.append((len(data), len(part)))
            data += part + bytes(-len(part) % 8)
        header: Fields = {0: Number("q", 7), 1: batch(len(texts), places), 2: Number("?", number > 0)}
        messages.append(_message(DICTIONARY, header, data))
    messages.append(numbered(len(indexes), b"", struct.pack(f"<{len(indexes)}i", *indexes)))
    return b"".join(messages)


def test_a_dictionary_is_resolved_and_grows_by_deltas() -> None:
    assert read(of_dictionary(["no", "yes"], [1, 0, 1])).rows == [("yes",), ("no",), ("yes",)]
    assert read(of_dictionary(["no"], [1, 2], deltas=[["yes"], ["perhaps"]])).rows == [("yes",), ("perhaps",)]


@pytest.mark.parametrize("index", [2, -1])
def test_an_index_that_the_dictionary_lacks_is_refused(index: int) -> None:
    with pytest.raises(MalformedBody, match="an index that its dictionary lacks"):
        read(of_dictionary(["no", "yes"], [0, index]))


def test_text_that_stands_in_the_body_once_does_not_fill_the_memory() -> None:
    long = "x" * 100_000
    with pytest.raises(MalformedBody, match="more than MAX_BODY_MB"):
        read(of_dictionary([long], [0] * 900))
    body = stream(a=[long])
    assert read(body).rows == [(long,)]
    with pytest.raises(MalformedBody, match="more text than MAX_BODY_MB"):
        read(body, most_bytes=99_999)


def test_columns_and_batches_that_take_no_bytes_do_not_take_the_time() -> None:
    nothing: Fields = {0: "", 1: Number("?", True), 2: Number("B", 1), 3: {}, 5: []}
    schema = _message(1, {1: [nothing] * 9_000}, b"")
    with pytest.raises(MalformedBody, match="far more cells than bytes"):
        read(schema + _message(BATCH, {0: Number("q", 100_000)}, b""), most_rows=100_000)
    with pytest.raises(MalformedBody, match="far more cells than bytes"):
        read(schema + _message(BATCH, {0: Number("q", 0)}, b"") * 5_000)
    with pytest.raises(InvalidInstances, match="names"):
        read(_message(1, {1: [nothing] * 10_001}, b""))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "does not begin with a schema"),
        (b"ARROW1\0\0", "not as a file"),
        (b"[[1, 2]]", "does not begin with a schema"),
        (stream(a=[1])[:-80], "ends within a message"),
        (stream(compat=True, a=[b"x"]), "the column 'a' is of the type large binary; send numbers"),
        (_message(BATCH, {0: Number("q", 0)}, b""), "does not begin with a schema"),
        (_message(1, {0: Number("h", 1), 1: []}, b""), "highest byte"),
    ],
)
def test_what_is_no_stream_of_values_is_refused_with_what_to_send(body: bytes, said: str) -> None:
    with pytest.raises(MalformedBody, match=said):
        read(body)


def test_compressed_buffers_are_refused() -> None:
    plain = stream(a=[1])
    schema = plain[: plain.index(b"\xff\xff\xff\xff", 4)]
    with pytest.raises(MalformedBody, match="write it without compression"):
        read(schema + _message(BATCH, {**batch(1, [(0, 0), (0, 8)]), 3: {}}, bytes(8)))


def test_a_damaged_stream_is_refused_or_read_and_does_no_harm() -> None:
    chosen = random.Random(1)
    columns = {name: values for name, (values, _) in COLUMNS.items()}
    whole = [stream(compat, a=values) for values in columns.values() for compat in (True, False)]
    whole += [of_dictionary(["no", "yes"], [0, 1]), stream(**columns)]
    for _ in range(5_000):
        body = bytearray(chosen.choice(whole))
        for _ in range(chosen.choice((1, 2, 4))):
            at = chosen.randrange(len(body) - 4) // 4 * 4
            number = chosen.choice((0, -1, 1, 2**31 - 1, -(2**31), 1000, chosen.randrange(-5000, 5000)))
            body[at : at + 4] = struct.pack("<i", number)
        with suppress(MalformedBody, InvalidInstances):
            read(bytes(body))


def loaded(body: bytes) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Return the columns of an answer, and the job in its metadata."""
    schema = Table.root(body[8:]).table(2)
    (entry,) = schema.tables(2)
    assert entry.text(0) == JOB
    return pl.read_ipc_stream(io.BytesIO(body)).to_dict(as_series=False), json.loads(entry.text(1))


@pytest.mark.waits
@pytest.mark.usefixtures("scoring")
def test_a_prediction_takes_and_answers_streams(client: FlaskClient) -> None:
    body = stream(b=[2, 4], a=[1.0, 3.0], key=["x", "ü"])
    headers = {"Content-Type": arrow.CONTENT_TYPE, "Accept": arrow.CONTENT_TYPE}
    answer = client.post(PREDICT, data=body, headers=headers)
    assert (answer.status_code, answer.content_type) == (200, arrow.CONTENT_TYPE)
    columns, job = loaded(answer.data)
    assert columns == {"key": ["x", "ü"], "prediction": [3.0, 7.0]}
    assert (job["status"], job["model"], job["warnings"]) == ("succeeded", {"name": "sum", "version": 1}, [])
    refused = client.post(PREDICT, data=stream(a=[None], b=[1]), headers=headers)
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "a")


@pytest.mark.waits
@pytest.mark.usefixtures("scoring")
def test_a_row_left_out_is_null_in_the_answer(client: FlaskClient) -> None:
    headers = {"Prefer": "handling=lenient", "Accept": arrow.CONTENT_TYPE}
    answer = client.post(PREDICT, json=[[1, 2], ["x", 2], [3, 4]], headers=headers)
    columns, _ = loaded(answer.data)
    assert columns == {"prediction": [3.0, None, 7.0]}
