"""A finished prediction as an Arrow stream: the columns of its answers, and the job in the metadata of the schema."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from contract.model.signature import Signature
from contract.rows.answer_columns import answer_columns, answer_names
from contract.work.jobs import Job
from gateway.protocols import native, tensors
from gateway.protocols.arrow import BATCH, CONTINUES, SCHEMA
from gateway.protocols.arrow_columns import BOOL, FLOAT, INT, TEXT
from gateway.protocols.flatbuffers import Fields, Number, Structs, written

JOB = "modelgate.job"
"""The key of the job in the metadata."""

_VERSION = 4
"""Of the format: that of Arrow 1.0 and later."""
_TYPES: dict[str, tuple[int, Fields]] = {
    "BOOL": (BOOL, {}),
    "INT64": (INT, {0: Number("i", 64), 1: Number("?", True)}),
    "FP64": (FLOAT, {0: Number("h", 2)}),
    "BYTES": (TEXT, {}),
}
"""Number and description of each type of a tensor."""
_LETTERS = {"INT64": "q", "FP64": "d"}


def write(job: Job, signature: Signature, method: str) -> bytes:
    """Return the answers, a row each, behind the ids if there are any. A null is null."""
    told = job.to_json()
    output: Mapping[str, Any] = job.output or {}
    del told["output"]
    ids = {signature.id_field or "id": output["ids"]} if output.get("ids") else {}
    answers = answer_columns(
        output["predictions"], output.get("probabilities"), output.get("scores"), signature, method
    )
    names = [*ids, *answer_names(signature, method, ids)]
    columns = [list(column) for column in (*ids.values(), *answers)]
    return b"".join(_stream(names, columns, native.line(told).decode()))


def _stream(names: Sequence[str], columns: Sequence[Sequence[Any]], job: str) -> Iterator[bytes]:
    fields: list[Fields] = []
    nodes: list[tuple[int, int]] = []
    places: list[tuple[int, int]] = []
    data = bytearray()
    for name, values in zip(names, columns, strict=True):
        kinds = tensors.datatype_of([value for value in values if value is not None])
        number, described = _TYPES[kinds]
        fields.append({0: name, 1: Number("?", True), 2: Number("B", number), 3: described, 5: []})
        nulls = values.count(None)
        nodes.append((len(values), nulls))
        for buffer in (_bitmap([value is not None for value in values]) if nulls else b"", *_buffers(kinds, values)):
            places.append((len(data), len(buffer)))
            data += buffer + bytes(-len(buffer) % 8)
    schema: Fields = {1: fields, 2: [{0: JOB, 1: job}]}
    rows = len(columns[0]) if columns else 0
    yield _message(SCHEMA, schema, b"")
    yield _message(BATCH, {0: Number("q", rows), 1: Structs(nodes), 2: Structs(places)}, bytes(data))
    yield CONTINUES + bytes(4)


def _message(kind: int, header: Fields, data: bytes) -> bytes:
    fields: Fields = {0: Number("h", _VERSION), 1: Number("B", kind), 2: header, 3: Number("q", len(data))}
    metadata = written(fields)
    metadata += bytes(-len(metadata) % 8)
    return CONTINUES + struct.pack("<i", len(metadata)) + metadata + data


def _buffers(datatype: str, values: Sequence[Any]) -> Iterator[bytes]:
    """Yield the buffers of a column behind its validity."""
    if datatype == "BOOL":
        yield _bitmap([bool(value) for value in values])
    elif letter := _LETTERS.get(datatype):
        null = math.nan if letter == "d" else 0
        yield struct.pack(f"<{len(values)}{letter}", *(null if value is None else value for value in values))
    else:
        texts = [_as_text(value).encode(errors="replace") for value in values]
        ends = [*accumulate(map(len, texts), initial=0)]
        yield struct.pack(f"<{len(ends)}i", *ends)
        yield b"".join(texts)


def _as_text(value: Any) -> str:
    """Return text as it is, and lists or objects as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return native.to_json(value).rstrip() if isinstance(value, dict | list) else str(value)


def _bitmap(bits: Sequence[bool]) -> bytes:
    """Return so many bits, the first in the lowest one of the first byte."""
    number = int("".join("1" if bit else "0" for bit in reversed(bits)) or "0", 2)
    return number.to_bytes((len(bits) + 7) // 8, "little")
