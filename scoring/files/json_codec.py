"""NDJSON files. The rows of one keep their lines as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtime.exact_json import dumps
from scoring.files.answers import Column, listed
from scoring.files.codec import ChunkReader, unlike
from scoring.files.json_chunk import JsonChunk
from scoring.files.json_plan import plan_json
from scoring.files.lines import FREE_BYTES, join_lines, write_lines
from scoring.files.plan import FilePlan, Steps


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
