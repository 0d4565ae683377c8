"""NumPy's `.npy` files, read and written without NumPy: numbers and text.

https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import ast
import math
import re
import struct
from collections.abc import Sequence
from typing import Any, cast

from contract.model.signature import RowFormat, Signature
from contract.rows.instances import Grid, Instances, check_length
from contract.wording import counted, shown
from gateway.problems import MalformedBody, Problem, ProblemCode
from gateway.protocols import tensors
from gateway.protocols.offload import offload_large

CONTENT_TYPE = "application/x-npy"

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000
"""Bytes of a header that are read, as NumPy reads them: Python's parser takes memory for deeper ones."""
_DTYPE = re.compile(r"(?P<order>[<>|=]?)(?P<kind>[biufUS])(?P<size>[0-9]{1,6})", re.ASCII)
_LETTERS = {
    ("b", 1): "?",
    ("f", 2): "e",
    ("f", 4): "f",
    ("f", 8): "d",
    **{("i", size): letter for size, letter in zip((1, 2, 4, 8), "bhiq", strict=True)},
    **{("u", size): letter for size, letter in zip((1, 2, 4, 8), "BHIQ", strict=True)},
}
"""The letter of `struct` by kind and bytes."""
_TEXTS = ("U", "S")
_DTYPES = {"BOOL": "|b1", "INT64": "<i8", "FP64": "<f8"}
"""Of answers, by the type of a tensor that holds them."""
_MOST_FILL = 2**20
"""Characters that may fill the texts of an answer, which all take as many as the longest."""
_ALIGNED = 64
"""The data begins at a multiple of this."""
_SAVE = "np.save(file, array)"


@offload_large
def read(body: bytes, signature: Signature, most_rows: int) -> Instances:
    """Return the rows of an array; of one with more than `most_rows`, only how many. With one dimension it is a row, or
    texts.

    Raises `MalformedBody` for what is no array of numbers or text, or is not all there, and `InvalidInstances` for rows
    that do not have a value for each input.
    """
    described, data = _split(body)
    dtype, shape, by_column = _description(described)
    if not (count := math.prod(shape)):  # however many columns it claims
        return Grid(None, [])
    if len(shape) == 1:
        shape = (count, 1) if signature.format is RowFormat.TEXTS else (1, count)
    rows, columns = shape
    check_length(columns, signature)
    if rows > most_rows:
        return Grid(None, cast(Any, range(rows)))  # which are refused by their number
    values = _values(dtype, count, data)
    if by_column:  # as Fortran stores it
        return Grid(None, list(zip(*(values[at : at + rows] for at in range(0, count, rows)), strict=True)))
    return Grid(None, list(zip(*[iter(values)] * columns, strict=True)))


def _split(body: bytes) -> tuple[str, memoryview]:
    """Return the description of the array, and its data."""
    if not body.startswith(_MAGIC):
        archive = "an archive of several arrays (np.savez)" if body.startswith(b"PK") else "not an .npy file"
        raise MalformedBody(f"the body is {archive}; send one array, as {_SAVE} writes it")
    size = 2 if body[6:7] == b"\x01" else 4
    start = 8 + size
    length = int.from_bytes(body[8:start], "little")
    if length > _LONGEST_HEADER or start + length > len(body):
        raise MalformedBody(f"the body is not a whole .npy file; send one array, as {_SAVE} writes it")
    return body[start : start + length].decode("latin-1"), memoryview(body)[start + length :]


def _description(text: str) -> tuple[re.Match[str], tuple[int, ...], bool]:
    """Return type and shape of the array, and whether it is stored column by column."""
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        value = None
    if not isinstance(value, dict) or not {"descr", "shape", "fortran_order"} <= value.keys():
        raise MalformedBody(f"the head of the .npy file cannot be read; send one array, as {_SAVE} writes it")
    descr, shape = value["descr"], value["shape"]
    dtype = _DTYPE.fullmatch(descr) if isinstance(descr, str) else None
    if dtype is None or int(dtype["size"]) == 0 or (dtype["kind"] not in _TEXTS and _letter(dtype) is None):
        what = "Python objects" if descr == "|O" else f"the type {shown(descr)}"
        raise MalformedBody(f"the array holds {what}; send numbers, booleans or text, such as array.astype(float)")
    sizes = shape if isinstance(shape, tuple) else ()
    if not 1 <= len(sizes) <= 2 or not all(type(size) is int and 0 <= size < 2**63 for size in sizes):
        raise MalformedBody(
            f"the array has {counted(len(sizes), 'dimension')}; send an array of the shape (rows, inputs)"
        )
    return dtype, sizes, value["fortran_order"] is True


def _letter(dtype: re.Match[str]) -> str | None:
    return _LETTERS.get((dtype["kind"], int(dtype["size"])))


def _values(dtype: re.Match[str], count: int, data: memoryview) -> Sequence[Any]:
    kind, size = dtype["kind"], int(dtype["size"])
    item = size * 4 if kind == "U" else size
    if len(data) != count * item:
        raise MalformedBody(f"the array has {counted(count, 'value')} of {item} bytes, and {len(data)} bytes follow")
    order = ">" if dtype["order"] == ">" else "<"
    if kind in _TEXTS:
        coding = "utf-8" if kind == "S" else "utf-32-be" if order == ">" else "utf-32-le"
        return [_text(data[at : at + item], coding) for at in range(0, len(data), item)]
    values = struct.unpack(f"{order}{count}{_letter(dtype)}", data)
    if kind == "f" and math.isnan(sum(values)):
        return [None if value != value else value for value in values]
    return values


def _text(data: memoryview, coding: str) -> str:
    try:
        return str(data, coding).rstrip("\0")
    except UnicodeDecodeError:
        raise MalformedBody("the array has text that cannot be read; send it as array.astype(str)") from None


def write_answers(answers: Sequence[Any]) -> bytes:
    """Return the array. Raises `Problem` (406) for what no array holds."""
    try:
        return write(answers)
    except ValueError as error:
        detail = f"the answer is no array, because {error}; accept application/json"
        raise Problem(ProblemCode.NOT_ACCEPTABLE, detail) from error


def write(answers: Sequence[Any]) -> bytes:
    """Return the array of a value a row, or of lists or objects of the same size. Null is NaN, and in text ''.

    Raises `ValueError` for answers that no array holds: of different sizes, or text of which some is far longer.
    """
    shape, values = tensors.flattened(answers)
    datatype = tensors.datatype_of(values)
    if datatype in _DTYPES:
        dtype, data = _DTYPES[datatype], tensors.packed(values, datatype)
    else:
        texts = tensors.texts_of(values)
        lengths = [*map(len, texts)]
        width = max(lengths, default=0) or 1
        if width * len(texts) > _MOST_FILL + sum(lengths):
            raise ValueError("some of its texts are far longer than the others")
        dtype = f"<U{width}"
        data = "".join(text.ljust(width, "\0") for text in texts).encode("utf-32-le", errors="replace")
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    head += " " * (-(len(head) + 11) % _ALIGNED) + "\n"
    return b"".join((_MAGIC, b"\x01\x00", len(head).to_bytes(2, "little"), head.encode(), data))
