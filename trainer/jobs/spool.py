"""Removes uploads from SPOOL_DIR: when their job has ended, or when no job needs them."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

MAX_AGE = 3600.0
"""Seconds since its last change after which a file without a job is removed: the gateway that received it has died."""


def remove(spool: Path, name: object) -> None:
    """Remove the upload `name`, if it is a plain file name."""
    if isinstance(name, str) and name and Path(name).name == name:
        with suppress(OSError):
            (spool / name).unlink()


def sweep(spool: Path, keep: Collection[object], max_age: float = MAX_AGE) -> None:
    """Remove files that have not changed for `max_age` seconds, except those in `keep`."""
    with suppress(OSError):
        for path in spool.iterdir():
            if (
                path.name[0] != "."
                and path.name not in keep
                and path.is_file()
                and time.time() - path.stat().st_mtime > max_age
            ):
                remove(spool, path.name)
