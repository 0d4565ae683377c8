"""Reads the rows of one chunk of an NDJSON file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from runtime.exact_json import dumps
from scoring.files.answers import Scorable
from scoring.files.json_lines import named, read_lines, rows_in, runs_of
from scoring.files.plan import Chunk, FilePlan, Steps
from scoring.files.rows import ChunkRows, coerce_chunk

_LINES_AT_ONCE = 4096


class JsonChunk:
    """The rows of one chunk of an NDJSON file."""

    def __init__(self, path: Path, plan: FilePlan, chunk: Chunk, model: Scorable) -> None:
        self._path = path
        self._chunk = chunk
        self._columns = plan.columns
        self._signature = model.manifest.signature
        self._lines: list[bytes] = []
        self._rows: list[Any] = []

    def read(self, *, lenient: bool) -> Steps[ChunkRows]:
        """Return the rows as the inputs of the model. Raises `InvalidInstances` unless `lenient`."""
        with self._path.open("rb") as file:
            file.seek(self._chunk.start)
            self._lines = rows_in(file.read(self._chunk.end - self._chunk.start))
        yield 0
        for start in range(0, len(self._lines), _LINES_AT_ONCE):
            self._rows += read_lines(self._lines[start : start + _LINES_AT_ONCE])
            yield 0
        runs = runs_of(self._rows, self._signature)
        return (yield from coerce_chunk(runs, self._signature, self._chunk.first_row, lenient=lenient))

    def lines(self, answers: Collection[str]) -> list[bytes]:
        """Return the rows as objects in JSON, without what has the name of an answer. A list gets the names of the
        inputs; what is neither object nor list becomes {}."""
        taken = set(answers)
        return [
            line.strip() if isinstance(row, dict) and taken.isdisjoint(row) else self._object(row, taken)
            for line, row in zip(self._lines, self._rows, strict=True)
        ]

    def _object(self, row: Any, taken: set[str]) -> bytes:
        values = named(row, self._signature)
        return dumps({name: value for name, value in values.items() if name not in taken})

    def columns(self) -> list[Sequence[Any]]:
        """Return the values of each column that the plan keeps; None where a row lacks it."""
        rows = [named(row, self._signature) for row in self._rows]
        return [[row.get(name) for row in rows] for name in self._columns]
