"""The messages of ModelInfer as the protocol writes them over HTTP: JSON, and tensors as bytes after it."""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import accumulate, islice, pairwise
from typing import Any
from wsgiref.types import WSGIEnvironment

import orjson
from google.protobuf.message import DecodeError

from contract.rows.instances import MAX_NAMES
from gateway.grpc_server import inference_pb2 as pb
from gateway.problems import MalformedBody, Problem, ProblemCode
from gateway.protocols.tensors import FORMATS, TYPES

_FIELDS = {
    "FP16": "raw_input",  # it has no field
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint"),
}
"""How the field of `InferTensorContents` for a datatype begins, if not like the datatype."""

_LENGTH = struct.Struct("<I")

_PIECE = 50_000
"""Values that are packed at a time, which takes milliseconds: meanwhile no other thread can go on."""

_INVALID = "the message is no valid message of this call"

_HEAD = re.compile(rb"[\x80-\xff]{0,4}[\x00-\x7f]([\x80-\xff]{0,9}[\x00-\x7f])")
"""What a field of a message begins with: its number and type, then its size, or the number that it is."""
_WITH_PARTS = b"\x2a\x32"
"""Number and type of inputs and outputs."""
_SMALL = 64
"""Bytes of an input or output whose few parts are not counted."""
_MOST_PARTS = 3 * MAX_NAMES
"""Inputs, outputs, parameters and raw contents of a message: each may take two bytes there, and 700 as an object."""
_LARGE = 2 * _MOST_PARTS
"""Bytes of a message that may have more parts."""
_ONE_LARGE = threading.Lock()
"""Large messages are read one after the other: what makes millions of objects at a time lets nobody else go on."""


def check_parts(message: bytes) -> None:
    """Raise `MalformedBody` for a `ModelInferRequest` of too many parts, before any is made: only sizes are read."""
    count = 0
    for key, start, end in _parts(message, 0, len(message) if len(message) > _LARGE else 0):
        large = key in _WITH_PARTS and end - start > _SMALL
        count += 1 + (sum(1 for _ in islice(_parts(message, start, end), _MOST_PARTS)) if large else 0)
        if count > _MOST_PARTS:
            detail = f"the message has more than {_MOST_PARTS:,} inputs, outputs, parameters and raw contents"
            raise MalformedBody(f"{detail}; send all columns in one tensor of the shape [rows, columns]")


def _parts(message: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number and type, start and end of each field between two places. Raises `MalformedBody`."""
    while at < end:
        head, key = _HEAD.match(message, at), message[at]
        if head is None or key & 7 not in (0, 2):
            raise MalformedBody(_INVALID)
        size = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[1])) if key & 7 else 0
        start, at = head.end(), head.end() + size
        yield key, start, at


def parsed(kind: Any, message: bytes) -> Any:
    """Return the message. Raises `MalformedBody`."""
    try:
        return kind.FromString(message)
    except DecodeError:
        raise MalformedBody(_INVALID) from None


def body(message: bytes, environ: WSGIEnvironment, most: int) -> bytes:
    """Return the body of the request, and put the length of its JSON into the environment. Raises `MalformedBody`, and
    `Problem` for contents of more than `most` bytes."""
    with _ONE_LARGE if len(message) > _LARGE else nullcontext():
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


def write(value: Mapping[str, Any], tensors: bytes) -> pb.ModelInferResponse:
    """Return the message of an answer."""
    response = pb.ModelInferResponse(
        model_name=value["model_name"], model_version=value["model_version"], id=value.get("id", "")
    )
    sizes = []
    for output in value["outputs"]:
        response.outputs.add(name=output["name"], datatype=output["datatype"], shape=output["shape"])
        sizes.append(output["parameters"]["binary_data_size"])
    response.raw_output_contents.extend(tensors[start:end] for start, end in pairwise(accumulate(sizes, initial=0)))
    return response


def _values_of(parameters: Mapping[str, pb.InferParameter]) -> dict[str, Any]:
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
            pieces = (values[start : start + _PIECE] for start in range(0, len(values), _PIECE))
            yield b"".join(struct.pack(f"<{len(piece)}{letter}", *piece) for piece in pieces)
        except struct.error:
            raise MalformedBody(f"inputs[{at}].contents.{field} has a value that is no {datatype}") from None
