"""The uploads in SPOOL_DIR as the trainer sees them: a training's file goes when the training has ended."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

LONGEST = 3600.0
"""Seconds since its last change after which a file that no job needs is removed: whoever received it has died."""


def remove(spool: Path, name: object) -> None:
    """Removes the upload `name`, if it is the name of one."""
    if isinstance(name, str) and name and Path(name).name == name:
        with suppress(OSError):
            (spool / name).unlink()


def sweep(spool: Path, keep: Collection[object], longest: float = LONGEST) -> None:
    """Removes what has lain there for `longest` seconds, but for the uploads in `keep`."""
    with suppress(OSError):
        for path in spool.iterdir():
            if (
                path.name[0] != "."
                and path.name not in keep
                and path.is_file()
                and time.time() - path.stat().st_mtime > longest
            ):
                remove(spool, path.name)
