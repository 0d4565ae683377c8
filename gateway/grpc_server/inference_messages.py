"""The messages of ModelInfer as the protocol writes them over HTTP: JSON, and tensors as bytes after it."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, TypeVar
from wsgiref.types import WSGIEnvironment

import orjson
from google.protobuf.message import DecodeError, Message

from contract.rows.instances import MAX_NAMES
from gateway.grpc_server import inference_pb2 as pb
from gateway.grpc_server.http_client import HttpAnswer
from gateway.problems import MalformedBody, Problem, ProblemCode
from gateway.protocols.tensors import TYPES

_CONTENTS: Mapping[str, tuple[str, str]] = {
    "BOOL": ("bool_contents", "?"),
    "INT8": ("int_contents", "b"),
    "INT16": ("int_contents", "h"),
    "INT32": ("int_contents", "i"),
    "INT64": ("int64_contents", "q"),
    "UINT8": ("uint_contents", "B"),
    "UINT16": ("uint_contents", "H"),
    "UINT32": ("uint_contents", "I"),
    "UINT64": ("uint64_contents", "Q"),
    "FP32": ("fp32_contents", "f"),
    "FP64": ("fp64_contents", "d"),
    "BYTES": ("bytes_contents", ""),
}
"""The field of `InferTensorContents` for each datatype, and the letter of its numbers for `struct`."""

_ONLY_RAW = ("raw_input_contents", "")
_LENGTH = struct.Struct("<I")

_MOST_PARTS = 3 * MAX_NAMES
"""Inputs, outputs, parameters and raw contents of a message: each may take two bytes there, and 700 as an object."""
_MOST_PARAMETERS = 100
"""Parameters of each input and output."""

M = TypeVar("M", bound=Message)


class InferBody:
    """The body of a request, which is made of the message when the route reads it: until then the message is bytes."""

    def __init__(self, message: bytes, environ: WSGIEnvironment) -> None:
        self._message = message
        self._environ = environ

    def read(self, most: int) -> bytes:
        """Return the whole body. Raises `MalformedBody`, and `Problem` for contents of more than `most` bytes."""
        header, tensors = read(parsed(pb.ModelInferRequest, self._message), most)
        self._environ["HTTP_INFERENCE_HEADER_CONTENT_LENGTH"] = str(len(header))
        return b"".join((header, *tensors))


def parsed(kind: type[M], message: bytes) -> M:
    """Return the message. Raises `MalformedBody`."""
    try:
        parsed_message: M = kind.FromString(message)
    except DecodeError:
        name = kind.__name__.removesuffix("Head")
        raise MalformedBody(f"the message is no {name} of the protocol") from None
    return parsed_message


def head_of(message: bytes) -> pb.ModelInferRequestHead:
    """Return who a `ModelInferRequest` is for. Raises `MalformedBody`, also for too many parts."""
    head = parsed(pb.ModelInferRequestHead, message)
    parts = len(head.inputs) + len(head.outputs) + len(head.parameters) + len(head.raw_input_contents)
    if parts > _MOST_PARTS:
        detail = f"the message has {parts:,} inputs, outputs, parameters and raw contents"
        raise MalformedBody(f"{detail}; send all columns in one tensor of the shape [rows, columns]")
    return head


def read(request: pb.ModelInferRequest, most: int) -> tuple[bytes, Sequence[bytes]]:
    """Return the JSON of the request and its tensors. Raises `MalformedBody`, and `Problem` for contents of more than
    `most` bytes."""
    tensors: Sequence[bytes] = request.raw_input_contents or list(_packed(request.inputs, most))
    if len(tensors) != len(request.inputs):
        counts = f"raw_input_contents has {len(tensors)} entries, and inputs has {len(request.inputs)}"
        raise MalformedBody(f"{counts}; send one for each input, or none and the contents of each input")
    value: dict[str, object] = {
        "id": request.id,
        "parameters": _values_of(request.parameters) | {"binary_data_output": True},
        "inputs": [
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": tensor.shape[:3],  # of two numbers at most
                "parameters": _values_of(tensor.parameters) | {"binary_data_size": len(data)},
            }
            for tensor, data in zip(request.inputs, tensors, strict=True)
        ],
    }
    if request.outputs:
        value["outputs"] = [
            {"name": output.name, "parameters": _values_of(output.parameters) | {"binary_data": True}}
            for output in request.outputs
        ]
    return orjson.dumps(value), tensors


def write(answer: HttpAnswer) -> pb.ModelInferResponse:
    """Return the message of an answer. Raises `CallRefused` for an error."""
    value = answer.json()
    response = pb.ModelInferResponse(
        model_name=value["model_name"], model_version=value["model_version"], id=value.get("id", "")
    )
    sizes = []
    for output in value["outputs"]:
        response.outputs.add(name=output["name"], datatype=output["datatype"], shape=output["shape"])
        sizes.append(output["parameters"]["binary_data_size"])
    ends = accumulate(sizes, initial=answer.header_length)
    response.raw_output_contents.extend(answer.body[start:end] for start, end in pairwise(ends))
    return response


def _values_of(parameters: Mapping[str, pb.InferParameter]) -> dict[str, Any]:
    if len(parameters) > _MOST_PARAMETERS:
        raise MalformedBody(f"there are {len(parameters):,} parameters in one place; send {_MOST_PARAMETERS} at most")
    chosen = ((name, parameter, parameter.WhichOneof("parameter_choice")) for name, parameter in parameters.items())
    return {name: getattr(parameter, choice) for name, parameter, choice in chosen if choice}


def _packed(tensors: Sequence[pb.ModelInferRequest.InferInputTensor], most: int) -> Iterator[bytes]:
    """Yield the values in `contents` as bytes, at most `most` altogether. What is wrong with size or datatype, the
    protocol refuses."""
    for at, tensor in enumerate(tensors):
        datatype = tensor.datatype
        field, letter = _CONTENTS.get(datatype, _ONLY_RAW)
        for sent, _ in tensor.contents.ListFields():
            if sent.name != field and datatype in TYPES:
                raise MalformedBody(f"inputs[{at}].contents has {sent.name}; values of {datatype} come in {field}")
        values = getattr(tensor.contents, field, ())
        most -= len(values) * struct.calcsize(letter or _LENGTH.format)
        if most < 0:
            detail = f"up to inputs[{at}], the tensors are larger than a body may be (MAX_BODY_MB)"
            raise Problem(ProblemCode.BODY_TOO_LARGE, f"{detail}; send fewer rows")
        if not letter:
            yield b"".join(_LENGTH.pack(len(value)) + value for value in values)
            continue
        try:
            yield struct.pack(f"<{len(values)}{letter}", *values)
        except struct.error:
            raise MalformedBody(f"inputs[{at}].contents.{field} has a value that is no {datatype}") from None
