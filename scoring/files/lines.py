"""Files whose rows are lines of text: written and joined in short steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from scoring.files.answers import Column
from scoring.files.plan import FilePlan, Steps

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
