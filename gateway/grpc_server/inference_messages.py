"""The messages of ModelInfer as the protocol writes them over HTTP: JSON, and tensors as bytes after it."""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import accumulate, pairwise
from typing import Any, TypeVar, cast
from wsgiref.types import WSGIEnvironment

import orjson
from google.protobuf.message import DecodeError, Message

from contract.rows.instances import MAX_NAMES
from gateway.grpc_server import inference_pb2 as pb
from gateway.grpc_server.http_client import HttpAnswer
from gateway.problems import MalformedBody, Problem, ProblemCode
from gateway.protocols.tensors import FORMATS, TYPES

_FIELDS = {
    "FP16": "raw_input",  # it has no field
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint"),
}
"""How the field of `InferTensorContents` for a datatype begins, if not like the datatype."""

_LENGTH = struct.Struct("<I")

_LARGE, _MOST_AT_ONCE = threading.Lock(), 256 * 1024
"""Messages of more bytes are read one after the other: what makes millions of objects lets nobody else run."""

M = TypeVar("M", bound=Message)

_PART = re.compile(rb"[\x0a\x12\x1a\x22\x2a\x32\x3a]([\x80-\xff]{0,4}[\x00-\x7f])")
"""The number of a field of `ModelInferRequest`, all of which begin with their size, and that size."""
_MOST_PARTS = 3 * MAX_NAMES
"""Inputs, outputs, parameters and raw contents of a message: each may take two bytes there, and 700 as an object."""
_MOST_PARAMETERS = 100
"""Parameters of each input and output."""


def check_parts(message: bytes) -> None:
    """Raise `MalformedBody` for a `ModelInferRequest` of too many parts, before any is made: only sizes are read."""
    at = parts = 0
    while at < len(message):
        head = _PART.match(message, at)
        if head is None:
            raise MalformedBody("the message is no ModelInferRequest of the protocol")
        at = head.end() + sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[1]))
        parts += 1
        if parts > _MOST_PARTS:
            detail = f"the message has more than {_MOST_PARTS:,} inputs, outputs, parameters and raw contents"
            raise MalformedBody(f"{detail}; send all columns in one tensor of the shape [rows, columns]")


def parsed(kind: type[M], message: bytes) -> M:
    """Return the message. Raises `MalformedBody`."""
    try:
        return cast(M, kind.FromString(message))
    except DecodeError:
        raise MalformedBody(f"the message is no {kind.__name__} of the protocol") from None


def body(message: bytes, environ: WSGIEnvironment, most: int) -> bytes:
    """Return the body of the request, and put the length of its JSON into the environment. Raises `MalformedBody`, and
    `Problem` for contents of more than `most` bytes."""
    with _LARGE if len(message) > _MOST_AT_ONCE else nullcontext():
        header, tensors = read(parsed(pb.ModelInferRequest, message), most)
        environ["HTTP_INFERENCE_HEADER_CONTENT_LENGTH"] = str(len(header))
        return b"".join((header, *tensors))


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
        field, letter = f"{_FIELDS.get(datatype, datatype.lower())}_contents", FORMATS.get(datatype)
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
