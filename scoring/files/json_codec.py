"""NDJSON files: a row a line, an object or a list. Their rows keep their lines as they are."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import IO, Any, NoReturn

import orjson

from contract.errors import InvalidInstances
from contract.json_objects import RepeatedKeys
from contract.model.signature import RowFormat, Signature
from contract.rows.coercion import check_columns
from contract.rows.instances import MAX_NAMES, Grid, Records
from runtime.exact_json import dumps, is_exact, with_repeats_marked
from scoring.files.answers import Column, listed
from scoring.files.codec import FREE_BYTES, ChunkReader, join_lines, unlike, write_lines
from scoring.files.plan import (
    BLOCK_BYTES,
    MAX_ROW_BYTES,
    ChunkBuilder,
    Contents,
    FilePlan,
    NotReadable,
    RowBounds,
    Steps,
)
from scoring.files.rows import ChunkRows, NotJson, Run, coerce_chunk


def rows_in(text: bytes) -> list[bytes]:
    """Return the lines that are not blank."""
    return [line for line in text.split(b"\n") if line and not line.isspace()]


def read_lines(lines: Sequence[bytes]) -> list[Any]:
    """Return the value of each line; `NotJson` for one that is none. Objects that repeat a key are `RepeatedKeys`."""
    try:
        values = list(map(orjson.loads, lines))
    except orjson.JSONDecodeError:
        return list(map(_read, lines))
    return values if is_exact(values, b"\n".join(lines)) else list(map(_read, lines))


def _read(line: bytes) -> Any:
    try:
        value = orjson.loads(line)
        if is_exact(value, line):
            return value
    except orjson.JSONDecodeError:
        pass
    try:
        value = _DECODER.decode(line.decode())
        json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError:
        return NotJson("it has half of a surrogate pair, as of an emoji that was cut")
    except json.JSONDecodeError as error:
        return NotJson(f"{error.msg} at column {error.colno}")
    except UnicodeDecodeError as error:
        return NotJson(f"byte {error.start} is not UTF-8")
    except RecursionError:
        return NotJson("it is nested too deeply")
    except ValueError as error:
        return NotJson(str(error) if str(error) in _CONSTANTS else "a number has thousands of digits")


_CONSTANTS = [f"{constant} is not JSON" for constant in ("NaN", "Infinity", "-Infinity")]


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=with_repeats_marked, parse_constant=_refuse_constant)


def names_of(rows: Iterable[Any], signature: Signature) -> dict[str, None]:
    """Return the names of the values in rows, in the order in which they come."""
    names: dict[str, None] = {}
    for row in rows:
        if isinstance(row, dict):
            if not row.keys() <= names.keys():
                names.update(dict.fromkeys(row))
        elif isinstance(row, list | str):
            names.update(dict.fromkeys(signature.names))
    return names


def named(row: Any, signature: Signature) -> dict[str, Any]:
    """Return the values of a row by name; none if it has none."""
    if isinstance(row, dict):
        return row
    values = row if isinstance(row, list) else [row] if isinstance(row, str) else []
    return dict(zip(signature.names, values, strict=False))


def runs_of(rows: Sequence[Any], signature: Signature) -> Iterator[Run]:
    """Yield the rows in runs of the same form."""
    texts = signature.format is RowFormat.TEXTS
    for kind, some in groupby(rows, type):
        if kind is NotJson:
            yield from some
        elif kind is list:
            yield Grid(None, list(some))
        elif kind is str and texts:
            yield Grid(None, [[text] for text in some])
        else:
            yield Records(list(some))


_BLANK = re.compile(rb"(^|\n)[ \t\v\f\r]+(\n|$)")
_ROWS_TO_CHECK = 100
"""A file is refused at once if the names in so many rows are all wrong."""


def plan_json(path: Path, signature: Signature, target: str | None, bounds: RowBounds) -> Steps[Contents]:
    """Plan an NDJSON file. Its names are those in all rows if it is converted, else those in the first ones. Raises
    `InvalidInstances` and `NotReadable`, as `scoring.files.stages.plan`."""
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


_LINES_AT_ONCE = 4096


class JsonChunk(ChunkReader):
    """The rows of one chunk of an NDJSON file."""

    def read(self, *, lenient: bool) -> Steps[ChunkRows]:
        with self.path.open("rb") as file:
            file.seek(self.chunk.start)
            self._lines = rows_in(file.read(self.chunk.end - self.chunk.start))
        yield 0
        self._rows: list[Any] = []
        for start in range(0, len(self._lines), _LINES_AT_ONCE):
            self._rows += read_lines(self._lines[start : start + _LINES_AT_ONCE])
            yield 0
        runs = runs_of(self._rows, self.signature)
        return (yield from coerce_chunk(runs, self.signature, self.chunk.first_row, lenient=lenient))

    def lines(self, answers: Collection[str]) -> list[bytes]:
        """Return the rows as objects in JSON, without what has the name of an answer. A list gets the names of the
        inputs; what is neither object nor list becomes {}."""
        taken = set(answers)
        return [
            line.strip() if isinstance(row, dict) and taken.isdisjoint(row) else self._object(row, taken)
            for line, row in zip(self._lines, self._rows, strict=True)
        ]

    def _object(self, row: Any, taken: set[str]) -> bytes:
        values = named(row, self.signature)
        return dumps({name: value for name, value in values.items() if name not in taken})

    def columns(self) -> list[Sequence[Any]]:
        rows = [named(row, self.signature) for row in self._rows]
        return [[row.get(name) for row in rows] for name in self.plan.columns]


class NdjsonCodec:
    """The codec of NDJSON."""

    free_bytes = FREE_BYTES
    repeats_names = True

    plan = staticmethod(plan_json)
    reader = JsonChunk

    def write(self, path: Path, plan: FilePlan, reader: ChunkReader, answers: Sequence[Column]) -> Steps[None]:
        kept = reader.lines(plan.answers) if isinstance(reader, JsonChunk) else None
        columns = [] if isinstance(reader, JsonChunk) else reader.columns()
        names = unlike(plan.columns)

        def lines(rows: slice) -> bytes:
            first = _objects(names, columns, rows) if kept is None else kept[rows]
            return b"".join(map(_spliced, first, _objects(plan.answers, answers, rows)))

        return write_lines(path, plan, answers, lines)

    def join(self, _: FilePlan, parts: Sequence[Path], target: Path) -> Steps[None]:
        return join_lines(parts, target)


def _objects(names: Sequence[str], columns: Sequence[Column], rows: slice) -> list[bytes]:
    values = zip(*(listed(column[rows]) for column in columns), strict=True)
    return [dumps(dict(zip(names, row, strict=True))) for row in values]


def _spliced(first: bytes, second: bytes) -> bytes:
    """Return two objects in JSON as a line of one."""
    inner = first[1:-1].strip()
    return b"{" + inner + b"," * bool(inner) + second[1:] + b"\n"
