"""Tensors of the Open Inference Protocol: every type, in JSON and as bytes; and requests that lie about their sizes."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.model.signature import AnswerForm as Form
from contract.model.signature import Field, Kind, Method, Output, OutputKind, Signature
from contract.rows.coercion import coerce
from contract.rows.instances import Grid
from gateway.problems.problem import MalformedBody, Problem
from gateway.protocols import open_inference, tensors

HEADER = "Inference-Header-Content-Length"
TYPES = {
    "BOOL": np.bool_,
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}
SHOP = Signature(
    (
        Field("price", Kind.NUMBER, nullable=True, aliases=("Price",)),
        Field("count", Kind.INTEGER),
        Field("town", Kind.STRING),
        Field("open", Kind.BOOLEAN),
    ),
    (Output(OutputKind.CLASS, labels=("a", "b"), probabilities=True),),
    methods=(Method("predict", Form.OUTPUTS), Method("transform", Form.NUMBERS)),
)


def request(*inputs: dict[str, Any], binary: bytes = b"", **members: Any) -> open_inference.InferRequest:
    body = json.dumps({"inputs": inputs, **members}).encode()
    return open_inference.read(body + binary, str(len(body)) if binary else None, SHOP)


def tensor(name: str, datatype: str, shape: list[int], **members: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, **members}


@pytest.mark.parametrize("datatype", TYPES)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(data=st.data())
def test_binary_tensors_hold_what_numpy_wrote(datatype: str, data: st.DataObject) -> None:
    dtype = np.dtype(TYPES[datatype])
    count = data.draw(st.integers(1, 12))
    written = np.frombuffer(
        data.draw(st.binary(min_size=count * dtype.itemsize, max_size=count * dtype.itemsize)), dtype
    )
    if datatype == "BOOL":
        written = np.frombuffer(written.tobytes(), np.uint8) % 2 == 1
    described = tensor("x", datatype, [count], parameters={"binary_data_size": written.nbytes})
    (result,) = request(described, binary=written.tobytes()).tensors
    expected = [None if value != value else value for value in written.tolist()]
    assert list(result.values()) == expected


@settings(max_examples=50, deadline=None, derandomize=True)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_texts_come_back(texts: list[str]) -> None:
    described, data = tensors.write("x", texts, binary=True)
    assert data == b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)
    (result,) = request(tensor("x", "BYTES", [len(texts)], parameters=described["parameters"]), binary=data).tensors
    assert result.values() == texts


def test_a_tensor_of_all_columns_and_one_tensor_a_column_are_the_same_rows() -> None:
    together = request(tensor("any", "BYTES", [2, 4], data=["1.5", 2, "Ulm", True, None, 3.0, "Bonn", 0]))
    split = request(
        tensor("town", "BYTES", [2, 1], data=["Ulm", "Bonn"]),
        tensor("Price", "FP32", [2], data=[1.5, None]),
        tensor("open", "FP64", [2], data=[[1.0], [0.0]]),
        tensor("count", "INT8", [2, 1], data=[2, 3]),
    )
    rows = [list(coerce(asked.instances(SHOP), SHOP).rows) for asked in (together, split)]
    assert rows[0] == rows[1] == [(1.5, 2, "Ulm", True), (None, 3, "Bonn", False)]


@pytest.mark.parametrize("shape", [[0], [0, 4], [4, 0], [0, 2**62], [2**62, 0]])
def test_a_tensor_without_values_has_no_rows_and_takes_no_memory(shape: list[int]) -> None:
    assert request(tensor("x", "FP64", shape, data=[])).instances(SHOP).rows == []


def test_a_single_input_of_a_model_with_one_column_may_have_any_shape_of_a_column() -> None:
    text = Signature((Field("text", Kind.STRING),), ())
    for name in ("text", "other"):
        for shape in ([2], [2, 1]):
            instances = request(tensor(name, "BYTES", shape, data=["a", "b"])).instances(text)
            assert isinstance(instances, Grid)
            assert instances.rows == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": 3}, r"inputs\[0\].name must be text; it is 3"),
        ({"datatype": "FP8"}, "datatype must be one of BOOL, "),
        ({"datatype": ["FP64"]}, "datatype must be one of"),
        ({"shape": 2}, r"shape must be \[rows\] or \[rows, columns\]"),
        ({"shape": []}, "shape must be"),
        ({"shape": [1, 1, 2]}, "shape must be"),
        ({"shape": [True, 2]}, "whole numbers"),
        ({"shape": [-1, -2]}, "whole numbers"),
        ({"shape": [2.0]}, "whole numbers"),
        ({"shape": [10**30, 10**30]}, "whole numbers"),
        ({"shape": [2**62, 2**62]}, "its shape 21267647932558653966460912964485513216"),
        ({"shape": [3]}, "has 2 values, its shape 3"),
        ({"shape": [0, 5]}, "has 2 values, its shape 0"),
        ({"data": None}, "has no data"),
        ({"data": "ab"}, "has no data"),
        ({"parameters": 3}, "parameters must be an object"),
        ({"parameters": {"content_type": "pd_json"}}, "send one of np, pd, dict, str, base64, datetime"),
        ({"parameters": {"content_type": ["np"]}}, "content_type"),
        ({"parameters": {"binary_data_size": 16}}, "16, and 0 bytes follow"),
        ({"parameters": {"binary_data_size": -1}}, "binary_data_size"),
        ({"parameters": {"binary_data_size": True}}, "binary_data_size"),
        ({"parameters": {"binary_data_size": "8"}}, "binary_data_size"),
    ],
)
def test_a_tensor_that_cannot_be_read(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(MalformedBody, match=said):
        request({**tensor("x", "FP64", [1, 2], data=[1, 2]), **changes})


@pytest.mark.parametrize(
    ("described", "binary", "said"),
    [
        (tensor("x", "FP64", [2], parameters={"binary_data_size": 8}), b"0" * 8, "its shape takes 16 bytes"),
        (tensor("x", "FP64", [1], parameters={"binary_data_size": 8}), b"0" * 9, "9 bytes follow the JSON"),
        (tensor("x", "FP64", [2**40], parameters={"binary_data_size": 8}), b"0" * 8, "takes 8796093022208 bytes"),
        (tensor("x", "FP64", [1], data=[1]), b"0", "take 0 of them"),
        (tensor("town", "BYTES", [1], parameters={"binary_data_size": 3}), b"\1\0\0", "ends within element 0"),
        (tensor("town", "BYTES", [1], parameters={"binary_data_size": 5}), b"\2\0\0\0a", "ends within element 0"),
        (tensor("town", "BYTES", [1], parameters={"binary_data_size": 4}), b"\xff" * 4, "ends within element 0"),
        (tensor("town", "BYTES", [2], parameters={"binary_data_size": 5}), b"\1\0\0\0a", "has 1 elements, its shape 2"),
        (tensor("town", "BYTES", [2**60], parameters={"binary_data_size": 5}), b"\1\0\0\0a", "has 1 elements"),
        (
            tensor("town", "BYTES", [1], parameters={"binary_data_size": 5}),
            b"\1\0\0\0\xff",
            "element 0 .* is not UTF-8",
        ),
    ],
)
def test_bytes_that_do_not_fit(described: dict[str, Any], binary: bytes, said: str) -> None:
    with pytest.raises(MalformedBody, match=said):
        request(described, binary=binary).instances(SHOP)


@pytest.mark.parametrize("length", ["0", "-1", "+5", "1e3", "9" * 30, "99", "", " 5", "٥"])
def test_a_length_of_the_json_that_is_none(length: str) -> None:
    with pytest.raises(MalformedBody, match=f"{HEADER} must be"):
        open_inference.read(b'{"inputs": []}', length, SHOP)


@pytest.mark.parametrize("body", ["3", "[]", "{}", '{"inputs": {}}', '{"inputs": []}', '{"inputs": [3]}', '{"id": 3}'])
def test_a_body_without_inputs(body: str) -> None:
    with pytest.raises(MalformedBody):
        open_inference.read(body.encode(), None, SHOP)


def test_several_inputs_are_columns_of_the_same_length() -> None:
    price = tensor("price", "FP64", [1], data=[1])
    for other in (tensor("count", "INT8", [2], data=[1, 2]), tensor("count", "INT8", [1, 2], data=[1, 2])):
        with pytest.raises(MalformedBody, match="'count' has the shape"):
            request(price, other).instances(SHOP)


def test_content_types_of_mlserver() -> None:
    coded = tensor("x", "BYTES", [1], data=["VWxt"], parameters={"content_type": "base64"})
    assert request(coded).tensors[0].values() == ["Ulm"]
    with pytest.raises(MalformedBody, match="not text in base64"):
        request({**coded, "data": ["VW"]}).tensors[0].values()
    by_column = request(tensor("prize", "FP64", [1, 1], data=[1]), parameters={"content_type": "pd"}).instances(SHOP)
    assert isinstance(by_column, Grid)
    assert by_column.columns == ["prize"]


def test_the_outputs_decide_the_method() -> None:
    def method(*names: str) -> str:
        outputs = [{"name": name} for name in names]
        return request(tensor("x", "FP64", [1], data=[1]), outputs=outputs).method(SHOP)

    assert method() == method("predict") == method("predict_proba") == method("predict_proba", "predict") == "predict"
    assert method("transform") == "transform"
    with pytest.raises(Problem, match="cannot come together"):
        method("predict", "transform")


@pytest.mark.parametrize("outputs", [3, [3], [{}], [{"name": 1}], [{"name": "predict", "parameters": 3}], {"name": 3}])
def test_outputs_that_cannot_be_read(outputs: object) -> None:
    with pytest.raises(MalformedBody):
        request(tensor("x", "FP64", [1], data=[1]), outputs=outputs)


@pytest.mark.parametrize(
    ("answers", "datatype", "shape", "values"),
    [
        ([1, 2], "INT64", [2, 1], [1, 2]),
        ([2**53 + 1, -7.0], "INT64", [2, 1], [2**53 + 1, -7]),
        ([True], "BOOL", [1, 1], [True]),
        ([1.5, None], "FP64", [2, 1], [1.5, None]),
        (["a", None], "BYTES", [2, 1], ["a", ""]),
        ([2**70], "FP64", [1, 1], [2**70]),
        ([{"a": 1, "b": 2}], "INT64", [1, 2], [1, 2]),
        ([{"a": "x", "b": 2}], "BYTES", [1, 2], ["x", "2"]),
        ([[[1.0, 2.0]], [[3.0, 4.0]]], "FP64", [2, 1, 2], [1.0, 2.0, 3.0, 4.0]),
        ([{"x": {"a": 0.1, "b": 0.9}}], "FP64", [1, 1, 2], [0.1, 0.9]),
    ],
)
def test_answers_as_tensors(answers: list[Any], datatype: str, shape: list[int], values: list[Any]) -> None:
    described, _ = tensors.write("y", answers, binary=False)
    assert (described["datatype"], described["shape"], described["data"]) == (datatype, shape, values)
    _, data = tensors.write("y", answers, binary=True)
    if datatype in TYPES:
        expected = np.array([np.nan if value is None else value for value in values], TYPES[datatype])
        assert data == expected.tobytes()


def test_answers_of_different_sizes_are_no_tensor() -> None:
    for answers in ([[1], [1, 2]], [{"1": 0.5}, {}], [1, [2]]):
        with pytest.raises(ValueError, match="different sizes"):
            tensors.write("y", answers, binary=False)


FLAGS = Signature((Field("n", Kind.NUMBER), Field("i", Kind.INTEGER), Field("open", Kind.BOOLEAN)), SHOP.outputs)


@pytest.mark.parametrize("as_bytes", [True, False])
def test_a_tensor_of_booleans_is_0_and_1_for_inputs_of_numbers(as_bytes: bool) -> None:
    def flags(name: str, values: list[bool], *shape: int) -> dict[str, Any]:
        described: dict[str, Any] = {"name": name, "datatype": "BOOL", "shape": list(shape)}
        if as_bytes:
            return {**described, "parameters": {"binary_data_size": len(values)}}
        return {**described, "data": values}

    values = [True, True, False, False, True, True]
    together = request(flags("x", values, 2, 3), binary=bytes(values) if as_bytes else b"").instances(FLAGS)
    expected = [(1, 1, False), (0, 1, True)]
    assert coerce(together, FLAGS).rows == expected
    columns = {"n": [True, False], "i": [True, True], "open": [False, True]}
    binary = b"".join(map(bytes, columns.values())) if as_bytes else b""
    apart = request(*(flags(name, column, 2) for name, column in columns.items()), binary=binary).instances(FLAGS)
    assert coerce(apart, FLAGS).rows == expected


def test_dict_is_a_tensor_a_column() -> None:
    asked = request(tensor("price", "FP64", [2], data=[1.5, 2.5]), parameters={"content_type": "dict"})
    rows = asked.instances(SHOP)
    assert isinstance(rows, Grid)
    assert (rows.columns, list(rows.rows)) == (["price"], [(1.5,), (2.5,)])
