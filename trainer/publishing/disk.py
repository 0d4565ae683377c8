"""How the model repository is written: what is done stays done after a power cut, and one process at a time does it.

`.staging/` in the model repository holds what no reader may see: folders that are not whole, and locks.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

STAGING = ".staging"


@contextmanager
def locked(root: Path, name: str) -> Iterator[IO[str]]:
    """Waits until no other process holds the lock `name`; gives its file, whose content stays.

    Raises OSError when `root` cannot be written.
    """
    (root / STAGING).mkdir(parents=True, exist_ok=True)
    with (root / STAGING / f"{name}.lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Of a folder: the names in it are on disk only after this. Of a file: what is in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
