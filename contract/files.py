"""Reads files that another user may have created, and finds where a file would be."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path | str) -> BinaryIO:
    """Open `path` for reading if it is a regular file or a link to one: a pipe would wait for a writer, and a device
    may never end. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path | str) -> bytes:
    """Return the content of `path`. Raises OSError as `open_regular` does."""
    with open_regular(path) as file:
        return file.read()


def free_share(folder: Path) -> float | None:
    """Return the free share of the disk of `folder`; None if it cannot be read."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail / disk.f_blocks if disk.f_blocks else None


def outlasts_container(path: Path) -> bool:
    """Return whether a file would outlast the container that this process is in: it is on a volume, not in memory."""
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = [line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    in_memory = any(mount.split()[2] == number and kind.split()[0] in ("tmpfs", "ramfs") for mount, kind in mounts)
    return device != Path("/").stat().st_dev and not in_memory
