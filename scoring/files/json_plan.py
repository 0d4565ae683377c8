"""Finds the chunks of an NDJSON file: a row a line, an object or a list."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from contract.errors import FieldError, InvalidInstances
from contract.json_objects import RepeatedKeys
from contract.model.signature import RowFormat, Signature
from contract.rows.coercion import check_columns
from contract.rows.instances import MAX_NAMES, Grid
from scoring.files.json_lines import names_of, read_lines, rows_in
from scoring.files.plan import BLOCK_BYTES, MAX_ROW_BYTES, ChunkBuilder, Contents, NotReadable, RowBounds, Steps

_BLANK = re.compile(rb"(^|\n)[ \t\v\f\r]+(\n|$)")
_ROWS_TO_CHECK = 100
"""A file is refused at once if the names in so many rows are all wrong."""


def plan_json(path: Path, signature: Signature, target: str | None, bounds: RowBounds) -> Steps[Contents]:
    """Plan an NDJSON file. Its names are those in all rows if it is converted, else those in the first ones. Raises
    `InvalidInstances` and `NotReadable`, as `scoring.files.planning.plan`."""
    names: dict[str, None] = {}
    warnings: list[str] = []
    with path.open("rb") as file:
        offset = _start_of(file)
        chunks = ChunkBuilder(offset, bounds.chunk_rows(()))
        while block := _block(file, offset):
            is_first = not chunks.rows
            _add_rows(block, offset, chunks)
            if bounds.converted or is_first:
                rows = read_lines(rows_in(block))
                warnings = _check(rows[:_ROWS_TO_CHECK], signature, target) if is_first and rows else warnings
                names.update(dict.fromkeys(names_of(rows, signature)))
            if len(names) > MAX_NAMES:
                raise NotReadable(f"its rows have more than {MAX_NAMES} different names")
            offset += len(block)
            yield len(block)
        if bounds.converted:
            bounds.check(chunks.rows, list(names))
            if (most_rows := bounds.chunk_rows(list(names))) < chunks.most_rows:
                chunks = yield from _chunks(file, most_rows)
    chunks.close()
    if not chunks.rows:
        raise InvalidInstances([FieldError(None, None, "no_rows", "the file has no rows; send at least one")])
    return Contents(chunks.chunks, list(names), warnings)


def _chunks(file: IO[bytes], most_rows: int) -> Steps[ChunkBuilder]:
    """Find the chunks of a file, each of few rows, because they have many names."""
    offset = _start_of(file)
    chunks = ChunkBuilder(offset, most_rows)
    while block := _block(file, offset):
        _add_rows(block, offset, chunks)
        offset += len(block)
        yield len(block)
    return chunks


def _start_of(file: IO[bytes]) -> int:
    file.seek(0)
    return len(codecs.BOM_UTF8) if file.read(3) == codecs.BOM_UTF8 else 0


def _block(file: IO[bytes], offset: int) -> bytes:
    """Return the next lines, about `BLOCK_BYTES` of them. Raises `NotReadable`."""
    file.seek(offset)
    block = file.read(BLOCK_BYTES)
    if len(block) < BLOCK_BYTES:
        return _text(block)
    if b"\n" not in block:
        block += file.readline(MAX_ROW_BYTES)
        if not block.endswith(b"\n") and file.read(1):
            raise NotReadable(f"it is not NDJSON: a line is longer than {MAX_ROW_BYTES >> 20} MB")
        return _text(block)
    return _text(block[: block.rfind(b"\n") + 1])


def _text(block: bytes) -> bytes:
    if b"\0" in block:
        raise NotReadable("it is not NDJSON in UTF-8")
    return block


def _add_rows(block: bytes, offset: int, chunks: ChunkBuilder) -> None:
    if not _BLANK.search(block):
        chunks.add_lines(block, offset)
        return
    end = offset
    for line in block.split(b"\n"):
        end += len(line) + 1
        if line and not line.isspace():
            chunks.add(1, min(end, offset + len(block)))


def _check(rows: Iterable[object], signature: Signature, target: str | None) -> list[str]:
    """Return the warnings about the names of the first rows. Raises `InvalidInstances` if they are wrong in all."""
    first: InvalidInstances | None = None
    for row in rows:
        if not isinstance(row, dict):
            return []
        repeated: Sequence[str] = row.repeated if isinstance(row, RepeatedKeys) else ()
        try:
            return check_columns(Grid([*row, *repeated], []), signature, target)
        except InvalidInstances as error:
            first = first or error
    if first and signature.format is not RowFormat.RECORDS:
        raise first
    return []
