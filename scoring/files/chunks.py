"""Reads the rows of a chunk of any format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from contract.rows.file_formats import FileFormat
from scoring.files.answers import Scorable
from scoring.files.csv_chunk import CsvChunk
from scoring.files.json_chunk import JsonChunk
from scoring.files.parquet_chunk import ParquetChunk
from scoring.files.plan import Chunk, FilePlan, Steps
from scoring.files.rows import ChunkRows


class ChunkReader(Protocol):
    """Reads the rows of one chunk; `read` comes first."""

    def read(self, *, lenient: bool) -> Steps[ChunkRows]:
        """Return the rows as the inputs of the model. Raises `InvalidInstances` unless `lenient`."""

    def columns(self) -> Sequence[Sequence[Any]]:
        """Return the values of each column that the plan keeps."""


def rows_of(model: Scorable, path: Path, plan: FilePlan, chunk: Chunk) -> ChunkReader:
    """Return the reader of a chunk."""
    return _READERS[plan.input](path, plan, chunk, model)


_READERS: dict[FileFormat, Callable[[Path, FilePlan, Chunk, Scorable], ChunkReader]] = {
    FileFormat.CSV: CsvChunk,
    FileFormat.NDJSON: JsonChunk,
    FileFormat.PARQUET: ParquetChunk,
}
