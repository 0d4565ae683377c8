"""Writes files durably, where other users may write as well, and says why they cannot be written."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from contract.errors import Code

_READ_ONLY = frozenset({errno.EROFS, errno.EACCES})
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG}) | _READ_ONLY


class StoreError(OSError):
    """The object store does not answer, refuses, or does not have what it should; the message says what was asked."""


def code_of(error: OSError) -> Code:
    """Return the code of a failure to write to the model repository."""
    if isinstance(error, StoreError):
        return Code.STORE_AWAY
    return Code.MODELS_FULL if error.errno in _NO_ROOM else Code.NOT_PUBLISHED


def not_written(error: OSError) -> str:
    """Return why the model repository cannot be written, and what to do first."""
    repair = "make it writable" if error.errno in _READ_ONLY else "free space on its disk"
    return f"the model repository cannot be written ({error.strerror}); {repair}"


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
def locked_file(path: Path, how: int = fcntl.LOCK_EX) -> Iterator[IO[str]]:
    """Lock a file, which is made if it is missing, and yield it. Raises BlockingIOError if another process holds the
    lock and `how` (of `flock`) does not wait."""
    with open(path, "a+", opener=no_link) as file:
        fcntl.flock(file, how)
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
