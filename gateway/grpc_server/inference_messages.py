"""The messages of ModelInfer as the protocol writes them over HTTP: JSON, and tensors as bytes after it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import orjson

from gateway.grpc_server import inference_pb2 as pb
from gateway.grpc_server.http_client import HttpAnswer
from gateway.problems import MalformedBody
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


def read(request: pb.ModelInferRequest) -> tuple[bytes, Sequence[bytes]]:
    """Return the JSON of the request and its tensors. Raises `MalformedBody`."""
    tensors = request.raw_input_contents or [_packed(tensor, at) for at, tensor in enumerate(request.inputs)]
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
                "shape": list(tensor.shape),
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
    chosen = ((name, parameter, parameter.WhichOneof("parameter_choice")) for name, parameter in parameters.items())
    return {name: getattr(parameter, choice) for name, parameter, choice in chosen if choice}


def _packed(tensor: pb.ModelInferRequest.InferInputTensor, at: int) -> bytes:
    """Return the values in `contents` as bytes. What is wrong with size or datatype, the protocol refuses."""
    datatype = tensor.datatype
    field, letter = _CONTENTS.get(datatype, _ONLY_RAW)
    for sent, _ in tensor.contents.ListFields():
        if sent.name != field and datatype in TYPES:
            raise MalformedBody(f"inputs[{at}].contents has {sent.name}; values of {datatype} come in {field}")
    values = getattr(tensor.contents, field, ())
    if not letter:
        return b"".join(_LENGTH.pack(len(value)) + value for value in values)
    try:
        return struct.pack(f"<{len(values)}{letter}", *values)
    except struct.error:
        raise MalformedBody(f"inputs[{at}].contents.{field} has a value that is no {datatype}") from None
