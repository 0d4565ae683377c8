"""ModelInfer: tensors in both forms, outputs, refusals, and how large a message may be."""

from __future__ import annotations

import gzip
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from gateway.grpc_server import http_client
from gateway.grpc_server import inference_pb2 as pb
from gateway.grpc_server.service import NAME
from tests.gateway.grpc_server.conftest import infer_request, refusal
from tests.stacks.grpc_servers import WAIT, Client, GrpcServerProcess, connected

pytestmark = [pytest.mark.waits, pytest.mark.usefixtures("redis", "scoring")]

NUMBERS = {
    "INT8": ("b", "int_contents"),
    "INT16": ("h", "int_contents"),
    "INT32": ("i", "int_contents"),
    "INT64": ("q", "int64_contents"),
    "UINT8": ("B", "uint_contents"),
    "UINT16": ("H", "uint_contents"),
    "UINT32": ("I", "uint_contents"),
    "UINT64": ("Q", "uint64_contents"),
    "FP32": ("f", "fp32_contents"),
    "FP64": ("d", "fp64_contents"),
}
"""Each datatype of numbers, with its letter for `struct` and its field."""


def texts(data: bytes) -> list[str]:
    """Return the elements of a tensor of BYTES."""
    found = []
    while data:
        (size,) = struct.unpack_from("<I", data)
        found.append(data[4 : 4 + size].decode())
        data = data[4 + size :]
    return found


def refused(client: Client, request: pb.ModelInferRequest) -> tuple[grpc.StatusCode, str]:
    error = refusal(lambda: client.ask("ModelInfer", request))
    return error.code(), error.details()


def test_an_answer(client: Client) -> None:
    answer = client.ask("ModelInfer", infer_request(1, 2, 3, 4, id="seven"))
    assert (answer.model_name, answer.model_version, answer.id) == ("sum", "1", "seven")
    (output,) = answer.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("predict", "FP64", [2, 1])
    assert list(answer.raw_output_contents) == [struct.pack("<2d", 3, 7)]


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("datatype", NUMBERS)
def test_every_type_of_number(client: Client, datatype: str, raw: bool) -> None:
    letter, field = NUMBERS[datatype]
    request = pb.ModelInferRequest(model_name="sum")
    tensor = request.inputs.add(name="x", datatype=datatype, shape=[2, 2])
    if raw:
        request.raw_input_contents.append(struct.pack(f"<4{letter}", 1, 2, 3, 100))
    else:
        getattr(tensor.contents, field).extend([1, 2, 3, 100])
    assert list(client.ask("ModelInfer", request).raw_output_contents) == [struct.pack("<2d", 3, 103)]


@pytest.mark.parametrize("raw", [True, False])
def test_a_tensor_for_each_column_with_truth_texts_and_numbers(client: Client, raw: bool) -> None:
    request = pb.ModelInferRequest(model_name="mixed")
    words = ["Ödipus", ""]
    flag, word, number = (
        request.inputs.add(name=name, datatype=datatype, shape=[2, 1])
        for name, datatype in (("flag", "BOOL"), ("word", "BYTES"), ("number", "FP32"))
    )
    if raw:
        packed = [struct.pack("<I", len(text.encode())) + text.encode() for text in words]
        request.raw_input_contents.extend([b"\1\0", b"".join(packed), struct.pack("<2f", 0.5, 2.5)])
    else:
        flag.contents.bool_contents.extend([True, False])
        word.contents.bytes_contents.extend([text.encode() for text in words])
        number.contents.fp32_contents.extend([0.5, 2.5])
    answer = client.ask("ModelInfer", request)
    assert answer.outputs[0].datatype == "BYTES"
    assert texts(answer.raw_output_contents[0]) == ["[True, 'Ödipus', 0.5]", "[False, '', 2.5]"]


def test_half_precision_comes_raw_alone(client: Client) -> None:
    request = pb.ModelInferRequest(model_name="sum", raw_input_contents=[struct.pack("<2e", 1, 0.5)])
    tensor = request.inputs.add(name="x", datatype="FP16", shape=[1, 2])
    assert list(client.ask("ModelInfer", request).raw_output_contents) == [struct.pack("<d", 1.5)]
    del request.raw_input_contents[:]
    tensor.contents.fp32_contents.extend([1, 0.5])
    said = "inputs[0].contents has fp32_contents; values of FP16 come in raw_input_contents"
    assert refused(client, request) == (grpc.StatusCode.INVALID_ARGUMENT, said)


def test_outputs_versions_and_parameters(client: Client) -> None:
    for version in ("1", "current"):
        request = infer_request(1, 2, model_version=version)
        request.outputs.add(name="predict").parameters["binary_data"].bool_param = False
        request.parameters["priority"].uint64_param = 2**63
        request.inputs[0].parameters["content_type"].string_param = "np"
        assert list(client.ask("ModelInfer", request).raw_output_contents) == [struct.pack("<d", 3)]


def change(**changes: Any) -> pb.ModelInferRequest:
    """Return a request whose only tensor has other members."""
    request = infer_request(1, 2)
    request.inputs[0].MergeFrom(pb.ModelInferRequest.InferInputTensor(**changes))
    return request


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (infer_request(1, 2, raw_input_contents=[b""]), "raw_input_contents has 2 entries, and inputs has 1; send one"),
        (pb.ModelInferRequest(model_name="sum"), 'the list "inputs", which has at least one'),
        (change(shape=[7]), "inputs[0].shape must be [rows] or [rows, columns]"),
        (change(datatype="FP65"), "inputs[0].datatype must be one of BOOL"),
        (change(datatype="FP32"), "inputs[0] has the binary_data_size 16, its shape takes 8 bytes"),
        (infer_request(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), "more rows than may wait for a model"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_with_its_part(
    client: Client, request_: pb.ModelInferRequest, said: str
) -> None:
    code, sentence = refused(client, request_)
    assert said in sentence
    assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)


@pytest.mark.parametrize(
    ("datatype", "field", "values", "said"),
    [
        ("INT8", "int_contents", [1, 128], "inputs[0].contents.int_contents has a value that is no INT8"),
        (
            "INT64",
            "int_contents",
            [1, 2],
            "inputs[0].contents has int_contents; values of INT64 come in int64_contents",
        ),
        ("FP64", "fp64_contents", [1], "inputs[0] has the binary_data_size 8, its shape takes 16 bytes"),
        ("FP64", "fp64_contents", [], "inputs[0] has the binary_data_size 0, its shape takes 16 bytes"),
        ("BYTES", "bytes_contents", [b"\xff", b""], "element 0 of the input 'x' is not UTF-8"),
        ("X", "fp64_contents", [1, 2], "inputs[0].datatype must be one of BOOL"),
    ],
)
def test_contents_that_do_not_fit_their_tensor(
    client: Client, datatype: str, field: str, values: list[Any], said: str
) -> None:
    request = pb.ModelInferRequest(model_name="sum")
    tensor = request.inputs.add(name="x", datatype=datatype, shape=[1, 2])
    getattr(tensor.contents, field).extend(values)
    code, sentence = refused(client, request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert said in sentence


def test_an_error_of_a_value_names_its_row_and_field(client: Client) -> None:
    request = pb.ModelInferRequest(model_name="mixed")
    request.inputs.add(name="flag", datatype="INT64", shape=[2]).contents.int64_contents.extend([1, 7])
    request.inputs.add(name="word", datatype="BYTES", shape=[2]).contents.bytes_contents.extend([b"a", b"b"])
    request.inputs.add(name="number", datatype="FP64", shape=[2]).contents.fp64_contents.extend([1, 2])
    code, sentence = refused(client, request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert sentence.startswith("row 1: 'flag' must be")


def test_what_is_no_message_is_refused_and_logged(client: Client, server: GrpcServerProcess) -> None:
    error = refusal(lambda: client.channel.unary_unary(f"/{NAME}/ModelInfer")(b"\xff\xff", timeout=WAIT))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "the message is no valid message of this call"
    request_id = dict(error.trailing_metadata())["x-request-id"]
    line = next(line for line in server.log.splitlines() if request_id in line)
    assert "POST /v2/models/{model}/infer 400 route=/v2/models/<reference>/infer code=malformed_body" in line


def test_a_sentence_is_cut_before_clients_would_drop_it() -> None:
    refused = http_client.refusal(404, "ö" * 3000)
    handler = grpc.unary_unary_rpc_method_handler(lambda _, context: context.abort(*refused))
    with ThreadPoolExecutor() as pool:
        server = grpc.server(pool, [grpc.method_handlers_generic_handler("long", {"Sentence": handler})])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with connected(port) as client:
            error = refusal(lambda: client.channel.unary_unary("/long/Sentence")(b"", timeout=WAIT))
        server.stop(None)
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "ö" * 1000)


def test_a_body_beyond_the_limit_is_refused(client: Client) -> None:
    """The server of this test takes 1 MB. Contents of small numbers are longer as a tensor than as a message."""
    code, sentence = refused(client, infer_request(*[1.0] * 140_000))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in sentence
    request = pb.ModelInferRequest(model_name="sum")
    tensor = request.inputs.add(name="x", datatype="INT64", shape=[100_000, 2])
    tensor.contents.int64_contents.extend([1] * 200_000)
    code, sentence = refused(client, request)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "the tensors are larger than a body may be (MAX_BODY_MB)" in sentence


@pytest.mark.slow
def test_compressed_messages_are_read_and_a_bomb_is_not(client: Client, server: GrpcServerProcess) -> None:
    call = client.call("ModelInfer")
    answer = call(infer_request(1, 2), timeout=WAIT, compression=grpc.Compression.Gzip)
    assert list(answer.raw_output_contents) == [struct.pack("<d", 3)]
    bomb = infer_request()
    bomb.raw_input_contents[0] = bytes(200_000_000)
    assert len(gzip.compress(bomb.SerializeToString())) < 1_000_000
    before = server.peak_memory()
    error = refusal(lambda: call(bomb, timeout=WAIT, compression=grpc.Compression.Gzip))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert server.peak_memory() - before < 20


SUM = b"\x0a\x03sum"
"""The model of a message."""


def field(number: int, data: bytes) -> bytes:
    """Return a field of a message with its size."""
    size, rest = b"", len(data)
    while rest > 127:
        size, rest = size + bytes([rest & 127 | 128]), rest >> 7
    return bytes([number << 3 | 2]) + size + bytes([rest]) + data


TENSOR = field(1, b"x") + field(2, b"FP64")
PARAMETERS = b"".join(field(4, field(1, b"%06d" % number) + field(2, b"\x08\x01")) for number in range(50_000))


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (field(5, b"") * 500_000, "the message has more than 30,000 inputs, outputs, parameters and raw contents"),
        (field(7, b"") * 500_000, "the message has more than 30,000 inputs"),
        (field(5, TENSOR + PARAMETERS), "the message has more than 30,000 inputs"),
        (field(5, TENSOR + field(3, b"\x01" * 1_000_000)), "inputs[0].shape must be [rows] or [rows, columns]"),
        (field(5, field(2, b"\xff" * 1_000_000)), "no valid message of this call"),
    ],
    ids=["inputs", "raw contents", "parameters", "a shape", "no text"],
)
def test_a_small_message_cannot_take_much_memory(
    client: Client, server: GrpcServerProcess, message: bytes, said: str
) -> None:
    """Nor can many of them one after the other, which would hold what they were if their errors held them."""
    before = server.peak_memory()
    for _ in range(20):
        error = refusal(lambda: client.channel.unary_unary(f"/{NAME}/ModelInfer")(SUM + message, timeout=WAIT))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert said in error.details()
    assert server.peak_memory() - before < 40
