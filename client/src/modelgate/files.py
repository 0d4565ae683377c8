"""Files that appear once all of them is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `target` at the end. After an error `target` is what it was."""
    if target.exists() and not target.is_file():  # a device or a pipe, which a new file must not replace
        with target.open("wb") as file:
            yield file
        return
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)  # a link there could lead anywhere
    try:
        with part.open("xb") as file:
            yield file
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
