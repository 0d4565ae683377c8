"""Assembles the parts of a file's chunks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import IO

from contract.rows.file_formats import FileFormat
from scoring.files.parquet import in_background, join_parts
from scoring.files.plan import FilePlan, Steps
from scoring.files.writing import csv_header

_STEP = 8 * 2**20
"""Bytes of one step."""


def assemble(plan: FilePlan, outputs: Iterable[Path], target: Path, *, escape: bool = False) -> Steps[None]:
    """Write the output parts of all chunks, in their order, as one file to `target`; yields the bytes of each step
    (of Parquet, 0).

    Repeating it gives the same bytes. Parts stay where they are. Raises `OSError`.
    """
    if plan.output is FileFormat.PARQUET:
        yield from in_background(lambda: join_parts(list(outputs), target))
        return
    with target.open("wb") as file:
        if plan.output is FileFormat.CSV:
            file.write(csv_header(plan, escape=escape).encode())
        for part in outputs:
            yield from _append(part, file)


def assemble_errors(errors: Iterable[Path], target: Path) -> Steps[None]:
    """Write the error parts that exist, in their order, to `target`: NDJSON with `row`, `field`, `code`, `message`."""
    with target.open("wb") as file:
        for part in errors:
            if part.exists():
                yield from _append(part, file)


def _append(part: Path, file: IO[bytes]) -> Steps[None]:
    with part.open("rb") as source:
        while some := source.read(_STEP):
            file.write(some)
            yield len(some)
