"""Arrays as NumPy saves them, in and out of predictions."""

from __future__ import annotations

import io
import random
import re
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from contract.errors import InvalidInstances
from contract.model.signature import Field, Kind, Signature
from gateway.problems import MalformedBody
from gateway.protocols import npy

PREDICT = "/v1/models/sum/predict"
SIGNATURE = Signature(inputs=(Field("a", Kind.NUMBER), Field("b", Kind.NUMBER)), outputs=())


def saved(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "dtype", ["?", "b1", "i1", "<i2", ">i4", "i8", "u1", "u2", ">u4", "u8", "f2", "<f4", ">f8", "U3", ">U3", "S3"]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_any_type_is_read_as_numpy_reads_it(dtype: str, order: Any) -> None:
    array = np.array([[1, 0], [0, 1], [1, 1]]).astype(dtype, order=order)
    expected = [tuple(value.decode() if isinstance(value, bytes) else value for value in row) for row in array.tolist()]
    rows = npy.read(saved(array), SIGNATURE, 1000).rows
    assert [tuple(row) for row in rows] == expected  # type: ignore[arg-type]
    assert {type(value) for row in rows for value in row} == {type(value) for row in expected for value in row}


def test_nan_is_null_and_text_keeps_every_character() -> None:
    assert npy.read(saved(np.array([[1.5, np.nan]])), SIGNATURE, 1000).rows == [(1.5, None)]
    assert npy.read(saved(np.array([["é", "😀x"]])), SIGNATURE, 1000).rows == [("é", "😀x")]


def test_one_dimension_is_a_row_as_in_json() -> None:
    assert npy.read(saved(np.array([1, 2])), SIGNATURE, 1000).rows == [(1, 2)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (saved(np.array([[1, "a"]], dtype=object)), "Python objects"),
        (saved(np.array([1 + 2j])), "the type '<c16'"),
        (saved(np.array(["2026-01-01"], dtype="M8[D]")), "the type '<M8[D]'"),
        (saved(np.zeros(2, dtype=[("a", "f8"), ("b", "f8")])), "send numbers"),
        (saved(np.array(5.0)), "0 dimensions"),
        (saved(np.zeros((1, 2, 3))), "3 dimensions"),
        (saved(np.array([[1.0, 2.0]]))[:-1], "bytes follow"),
        (saved(np.array([[1.0, 2.0]]))[:20], "not a whole .npy file"),
        (b"PK\x03\x04", "np.savez"),
        (b"[[1, 2]]", "not an .npy file"),
        (b"\x93NUMPY\x01\x00\x76\x00" + b"(" * 118, "head of the .npy file"),
        (b"\x93NUMPY\x03\x00\xff\xff\xff\x7f" + b"(" * 118, "not a whole .npy file"),
        (saved(np.array([["a"]])).replace(b"<U1", b"<U0"), "the type '<U0'"),
        (saved(np.zeros((1, 1))).replace(b"(1, 1)", b"(9**9,)"), "head of the .npy file"),
        (saved(np.zeros((1, 1))).replace(b"(1, 1), }      ", b"(-1, 99999999)}"), "dimension"),
        (saved(np.array([["a", "b"]]))[:-4] + b"\x00\xd8\x00\x00", "text that cannot be read"),
    ],
)
def test_what_is_no_array_of_numbers_or_text_is_refused_with_what_to_send(body: bytes, said: str) -> None:
    with pytest.raises(MalformedBody, match=re.escape(said)):
        npy.read(body, SIGNATURE, 1000)


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (0, 2**62), (2**62, 0)])
@pytest.mark.parametrize("order", [False, True])
def test_an_array_without_values_has_no_rows_and_takes_no_memory(shape: tuple[int, int], order: bool) -> None:
    head = f"{{'descr': '<f8', 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    assert npy.read(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head, SIGNATURE, 1000).rows == []


def test_a_damaged_array_is_refused_or_read_and_does_no_harm() -> None:
    chosen = random.Random(1)
    whole = [saved(np.array([["a", "é"]])), saved(np.arange(6.0).reshape(3, 2))]
    for _ in range(3_000):
        body = bytearray(chosen.choice(whole))
        for _ in range(chosen.choice((1, 2, 4))):
            body[chosen.randrange(len(body))] = chosen.choice((0, 1, 127, 255, 40, 57))
        with suppress(MalformedBody, InvalidInstances):
            npy.read(bytes(body), SIGNATURE, 1000)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([1.5, None], np.array([1.5, np.nan])),
        ([1, 2, 3], np.array([1, 2, 3])),
        ([True, False], np.array([True, False])),
        (["no", "é😀", None], np.array(["no", "é😀", ""])),
        ([[1, 2], [3, 4]], np.array([[1, 2], [3, 4]])),
        ([{"0": 0.25, "1": 0.75}], np.array([[0.25, 0.75]])),
        ([2**70, 1], np.array([2.0**70, 1.0])),
    ],
)
def test_answers_are_an_array_that_numpy_loads(answers: list[Any], expected: Any) -> None:
    loaded = np.load(io.BytesIO(npy.write(answers)), allow_pickle=False)
    np.testing.assert_array_equal(loaded, expected)
    assert loaded.dtype == expected.dtype


def test_answers_that_no_array_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="different sizes"):
        npy.write([[1], [1, 2]])
    with pytest.raises(ValueError, match="far longer"):
        npy.write(["x" * 10_000, *["y"] * 10_000])


@pytest.mark.usefixtures("scoring")
def test_a_prediction_takes_and_answers_arrays(client: FlaskClient) -> None:
    rows = np.array([[1.0, 2.0], [3.0, 4.0]])
    headers = {"Content-Type": npy.CONTENT_TYPE, "Accept": npy.CONTENT_TYPE}
    answer = client.post(PREDICT, data=saved(rows), headers=headers)
    assert (answer.status_code, answer.content_type) == (200, npy.CONTENT_TYPE)
    assert np.load(io.BytesIO(answer.data)).tolist() == [3.0, 7.0]
    assert answer.headers["Location"].startswith("/v1/jobs/")
    refused = client.post(PREDICT, data=saved(np.array([[1.0, np.nan]])), headers=headers)
    assert refused.status_code == 422
    assert (refused.json["errors"][0]["row"], refused.json["errors"][0]["field"]) == (0, "b")
