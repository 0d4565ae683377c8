"""Tensors of the Open Inference Protocol, as JSON or as bytes (little-endian, one after the other).

https://github.com/kserve/open-inference-protocol, and Triton's extension of binary tensors: `extension_binary_data` in
the protocol folder of https://github.com/triton-inference-server/server.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from contract.wording import shown
from gateway.problems import MalformedBody, Problem, ProblemCode

FORMATS: Mapping[str, str] = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
"""The letter of each type for `struct`."""

TYPES = (*FORMATS, "BYTES")

_CONTENT_TYPES = ("np", "pd", "dict", "str", "base64", "datetime")
"""Content types of MLServer that are read; all but base64 only say what the data already shows."""

_LENGTH = struct.Struct("<I")
"""The length before each element of BYTES."""


@dataclass(frozen=True)
class Tensor:
    """An input with one value a row, or with `columns` values a row. `data` is the list of its JSON, or its bytes."""

    name: str
    datatype: str
    rows: int
    columns: int
    data: list[Any] | bytes
    base64: bool = False

    @property
    def count(self) -> int:
        return self.rows * self.columns

    def values(self) -> Sequence[Any]:
        """Return all values, row by row; NaN is None. Raises `MalformedBody`."""
        values: Sequence[Any] = self.data
        if isinstance(self.data, bytes):
            values = self._texts(self.data) if self.datatype == "BYTES" else self._numbers(self.data)
        return [self._decoded(value) for value in values] if self.base64 else values

    def _numbers(self, data: bytes) -> Sequence[Any]:
        letter = FORMATS[self.datatype]
        numbers = struct.unpack(f"<{self.count}{letter}", data)
        if letter in "efd" and math.isnan(sum(numbers)):
            return [None if value != value else value for value in numbers]
        return numbers

    def _texts(self, data: bytes) -> list[str]:
        texts: list[str] = []
        start = 0
        while start < len(data):
            begin = start + _LENGTH.size
            end = begin + _LENGTH.unpack_from(data, start)[0] if begin <= len(data) else begin
            if end > len(data):
                raise MalformedBody(f"the input {shown(self.name)} ends within element {len(texts)}")
            if len(texts) == self.count:
                raise MalformedBody(f"the input {shown(self.name)} has more elements than its shape, {self.count}")
            texts.append(self._text(data[begin:end], len(texts)))
            start = end
        if len(texts) < self.count:
            raise MalformedBody(f"the input {shown(self.name)} has {len(texts)} elements, its shape {self.count}")
        return texts

    def _text(self, element: bytes, number: int) -> str:
        try:
            return element.decode()
        except UnicodeDecodeError:
            raise MalformedBody(f"element {number} of the input {shown(self.name)} is not UTF-8") from None

    def _decoded(self, value: object) -> object:
        try:
            return base64.b64decode(value, validate=True).decode() if isinstance(value, str) else value
        except (binascii.Error, UnicodeDecodeError):
            raise MalformedBody(f"the input {shown(self.name)} is not text in base64: {shown(value)}") from None


def read(described: Sequence[object], binary: bytes) -> list[Tensor]:
    """Return the tensors of `inputs`. `binary` follows the JSON. Raises `MalformedBody`."""
    tensors, start = [], 0
    for number, item in enumerate(described):
        tensor, taken = _tensor(item, f"inputs[{number}]", binary, start)
        tensors.append(tensor)
        start += taken
    if start != len(binary):
        raise MalformedBody(f"{len(binary)} bytes follow the JSON, and the inputs take {start} of them")
    return tensors


def _tensor(described: object, where: str, binary: bytes, start: int) -> tuple[Tensor, int]:
    """Return a tensor, and how many of the bytes are its own, beginning at `place`."""
    if not isinstance(described, dict):
        raise MalformedBody(f"{where} must be an object; it is {shown(described)}")
    name, datatype = described.get("name"), described.get("datatype")
    if not isinstance(name, str):
        raise MalformedBody(f"{where}.name must be text; it is {shown(name)}")
    if datatype not in TYPES:
        raise MalformedBody(f"{where}.datatype must be one of {', '.join(TYPES)}; it is {shown(datatype)}")
    rows, columns = _shape(described.get("shape"), where)
    options = parameters_of(described, where)
    coded = content_type(options, where) == "base64"
    size = options.get("binary_data_size")
    if size is None:
        data = described.get("data")
        if not isinstance(data, list):
            raise MalformedBody(f"{where} has no data: send a list, or bytes after the JSON (binary_data_size)")
        flat = list(chain.from_iterable(part if isinstance(part, list) else (part,) for part in data))
        if len(flat) != rows * columns:
            raise MalformedBody(f"{where}.data has {len(flat)} values, its shape {rows * columns}")
        return Tensor(name, datatype, rows, columns, flat, coded), 0
    if type(size) is not int or not 0 <= size <= len(binary) - start:
        most = len(binary) - start
        raise MalformedBody(f"{where} has the binary_data_size {shown(size)}, and {most} bytes follow; send all")
    if datatype in FORMATS and size != (taken := rows * columns * struct.calcsize("<" + FORMATS[datatype])):
        raise MalformedBody(f"{where} has the binary_data_size {size}, its shape takes {shown(taken)} bytes")
    return Tensor(name, datatype, rows, columns, binary[start : start + size], coded), size


def _shape(shape: object, where: str) -> tuple[int, int]:
    """Return rows and columns. What has no values has no rows, however many columns it claims."""
    if not isinstance(shape, list) or not 1 <= len(shape) <= 2:
        raise MalformedBody(f"{where}.shape must be [rows] or [rows, columns]; it is {shown(shape)}")
    if not all(type(size) is int and 0 <= size < 2**63 for size in shape):
        raise MalformedBody(f"{where}.shape must have whole numbers from 0 to 2**63 - 1; it is {shown(shape)}")
    if 0 in shape:
        return 0, 1
    return shape[0], shape[1] if len(shape) == 2 else 1


def parameters_of(described: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return the object `parameters`, which may be missing. Raises `MalformedBody`, or `Problem` for shared memory."""
    parameters = described.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise MalformedBody(f"{where}.parameters must be an object; it is {shown(parameters)}")
    if "shared_memory_region" in parameters:  # the client would look for the answer there
        detail = f"{where} is in shared memory, which is not supported; tensors come in the body"
        raise Problem(ProblemCode.NOT_SUPPORTED, detail)
    return parameters


def content_type(parameters: Mapping[str, Any], where: str) -> str | None:
    """Return MLServer's content type. Raises `MalformedBody` for one that is not read."""
    kind = parameters.get("content_type")
    if kind is not None and kind not in _CONTENT_TYPES:
        allowed = ", ".join(_CONTENT_TYPES)
        raise MalformedBody(f"{where} has the content_type {shown(kind)}; send one of {allowed}, or none")
    return kind


def write(name: str, answers: Sequence[Any], binary: bool) -> tuple[dict[str, object], bytes]:
    """Return an output in JSON, and its bytes if it is `binary`: a value a row, or lists or objects of the same size.

    Raises `ValueError` for answers of different sizes, which no tensor holds.
    """
    shape, values = flattened(answers)
    datatype = datatype_of(values)
    if datatype == "BYTES":
        values = texts_of(values)
    # MLServer writes a value a row as [rows, 1].
    described: dict[str, object] = {"name": name, "datatype": datatype, "shape": shape if shape[1:] else [*shape, 1]}
    options: dict[str, object] = {"content_type": "str" if datatype == "BYTES" else "np"}
    if not binary:
        return {**described, "parameters": options, "data": values}, b""
    data = packed(values, datatype)
    return {**described, "parameters": {**options, "binary_data_size": len(data)}}, data


def flattened(answers: Sequence[Any]) -> tuple[list[int], list[Any]]:
    """Return shape and values. Raises `ValueError` for answers of different sizes.

    Whole numbers are floats, but for those that a float would round: beside these all are whole.
    """
    shape, values = [len(answers)], list(answers)
    while any(isinstance(value, list | dict) for value in values):
        parts = [list(value.values()) if isinstance(value, dict) else value for value in values]
        if not all(isinstance(part, list) and len(part) == len(parts[0]) for part in parts):
            raise ValueError("its rows have different sizes")
        shape.append(len(parts[0]))
        values = list(chain.from_iterable(parts))
    if set(map(type, values)) == {int, float} and all(map(float.is_integer, map(float, values))):
        values = list(map(int, values))
    return shape, values


def datatype_of(values: Sequence[Any]) -> str:
    """Return the type of a tensor that holds these answers."""
    types = set(map(type, values))
    if types == {bool}:
        return "BOOL"
    if types == {int} and all(-(2**63) <= value < 2**63 for value in values):
        return "INT64"
    return "FP64" if types <= {int, float, type(None)} else "BYTES"


def texts_of(values: Sequence[Any]) -> list[str]:
    """Return answers as text; null is ''."""
    return [value if isinstance(value, str) else "" if value is None else str(value) for value in values]


def packed(values: Sequence[Any], datatype: str) -> bytes:
    """Return answers as the bytes of a tensor; a number that is null is NaN."""
    if datatype == "BYTES":
        texts = [value.encode(errors="replace") for value in values]
        return b"".join(_LENGTH.pack(len(text)) + text for text in texts)
    numbers = [math.nan if value is None else value for value in values]
    return struct.pack(f"<{len(numbers)}{FORMATS[datatype]}", *numbers)
