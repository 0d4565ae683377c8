"""What each format of files offers: a codec plans, reads and writes its files. Those of lines of text share how they
are written and joined, in short steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from modelgate_kernels.matrix import are_numbers

from contract.model.manifest import InputFormat
from contract.model.signature import Kind, Signature
from scoring.files.answers import Column, Scorable
from scoring.files.plan import Chunk, Contents, FilePlan, RowBounds, Steps
from scoring.files.rows import ChunkRows


@dataclass
class ChunkReader(ABC):
    """Reads the rows of one chunk of the file at `path`; `read` comes first."""

    path: Path
    plan: FilePlan
    chunk: Chunk
    model: Scorable

    @property
    def signature(self) -> Signature:
        return self.model.manifest.signature

    @property
    def takes_arrays(self) -> bool:
        """Whether a column of floats may be an array, with NaN for null: objects are kept as they are given."""
        if self.model.manifest.artifact.input_format is InputFormat.ARRAY:
            return are_numbers(self.signature.inputs)
        return not any(field.kind is Kind.NUMBER and field.holds_objects for field in self.signature.inputs)

    @abstractmethod
    def read(self, *, lenient: bool) -> Steps[ChunkRows]:
        """Return the rows as the inputs of the model. Raises `InvalidInstances` unless `lenient`."""

    @abstractmethod
    def columns(self) -> Sequence[Sequence[Any]]:
        """Return the values of each column that the plan keeps; None where a row lacks it."""


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


FREE_BYTES = 64 * 2**20
"""Bytes in memory that the rows of a small file of text may take."""
_CELLS_AT_ONCE, _ROWS_AT_ONCE = 8192, 16
"""Cells that are written in one step, and the fewest rows, because each column of a step takes some time as well."""
_STEP = 8 * 2**20
"""Bytes of one step."""


def write_lines(path: Path, plan: FilePlan, answers: Sequence[Column], lines: Callable[[slice], bytes]) -> Steps[None]:
    """Write all rows. `lines` returns some of them as lines of the output."""
    yield 0
    count = max(_ROWS_AT_ONCE, _CELLS_AT_ONCE // (len(plan.columns) + len(plan.answers)))
    with path.open("wb") as file:
        for start in range(0, len(answers[0]), count):
            file.write(lines(slice(start, start + count)))
            yield 0


def join_lines(parts: Iterable[Path], target: Path, header: bytes = b"") -> Steps[None]:
    """Write a header and the parts, in their order, as one file; yields the bytes of each step."""
    with target.open("wb") as file:
        file.write(header)
        for part in parts:
            with part.open("rb") as source:
                while some := source.read(_STEP):
                    file.write(some)
                    yield len(some)
