"""What each format of files offers: a codec plans, reads and writes its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from contract.model.signature import Signature
from scoring.files.answers import Column, Scorable
from scoring.files.plan import Chunk, Contents, FilePlan, RowBounds, Steps
from scoring.files.rows import ChunkRows


class ChunkReader(Protocol):
    """Reads the rows of one chunk; `read` comes first."""

    def read(self, *, lenient: bool) -> Steps[ChunkRows]:
        """Return the rows as the inputs of the model. Raises `InvalidInstances` unless `lenient`."""

    def columns(self) -> Sequence[Sequence[Any]]:
        """Return the values of each column that the plan keeps."""


class Codec(Protocol):
    """Plans, reads and writes files of one format."""

    free_bytes: int
    """Bytes in memory that the rows of a small file may take."""
    repeats_names: bool
    """Whether each row of a file has the names of its columns."""

    def plan(self, path: Path, signature: Signature, target: str | None, bounds: RowBounds) -> Steps[Contents]:
        """Plan a file; yields the bytes of each step. Raises `InvalidInstances`, `NotReadable` and `OSError`."""

    def reader(self, path: Path, plan: FilePlan, chunk: Chunk, model: Scorable) -> ChunkReader:
        """Return the reader of a chunk."""

    def write(self, path: Path, plan: FilePlan, reader: ChunkReader, answers: Sequence[Column]) -> Steps[None]:
        """Write the rows that `reader`, of any codec, has read, each with its answers. Numbers read back equal."""

    def join(self, plan: FilePlan, parts: Sequence[Path], target: Path, /) -> Steps[None]:
        """Write what `write` has written for all chunks, in their order, as one file; yields the bytes of each step, if
        they are known. Repeating it gives the same bytes. Raises `OSError`."""


def unlike(names: Sequence[str]) -> list[str]:
    """Return names of which no two are the same, in any case, and none is blank: as keys of an object, or columns of a
    Parquet file."""
    names_used: dict[str, str] = {}
    for index, name in enumerate(names):
        name = name or f"column_{index + 1}"
        free, number = name, 2
        while free.lower() in names_used:
            free, number = f"{name}_{number}", number + 1
        names_used[free.lower()] = free
    return list(names_used.values())
