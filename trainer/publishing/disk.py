"""Writes the model repository durably, and lets one process at a time do it.

`.staging/` in the model repository holds what readers do not see: incomplete folders, and locks.

Other users may write there, too. Their symbolic links are not followed: one could lead to any file of the trainer's.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from contract.errors import Code

STAGING = ".staging"

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES})


def code_of(error: OSError) -> Code:
    """Return the code of a failure to write to the model repository."""
    return Code.MODELS_FULL if error.errno in _NO_ROOM else Code.NOT_PUBLISHED


def staging(root: Path) -> Path:
    """Make `.staging/` if it is missing, and return it. Raises OSError if it is a symbolic link."""
    folder = root / STAGING
    folder.mkdir(parents=True, exist_ok=True)
    with opened_folder(folder):
        return folder


@contextmanager
def opened_folder(path: Path) -> Iterator[int]:
    """Make the folder `path` if it is missing, and yield its descriptor. Raises OSError if it is a symbolic link."""
    path.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def no_link(path: str, flags: int) -> int:
    """Open a file as `open` does. Raises OSError for a symbolic link, and for a pipe that nobody reads."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)


@contextmanager
def locked(root: Path, name: str) -> Iterator[IO[str]]:
    """Hold the lock `name`, after waiting for other processes. Yields its file, whose content persists.

    Raises OSError if `root` cannot be written.
    """
    with open(staging(root) / f"{name}.lock", "a+", opener=no_link) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


@contextmanager
def locked_if_free(root: Path, name: str) -> Iterator[IO[str] | None]:
    """Hold the lock `name` and yield its file, or yield None while another process holds it.

    Raises OSError if `root` cannot be written.
    """
    with open(staging(root) / f"{name}.lock", "a+", opener=no_link) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield file


def write(path: Path, data: bytes) -> None:
    with open(path, "wb", opener=no_link) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Flush a file's contents, or a folder's list of names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
