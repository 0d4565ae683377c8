"""The room in SPOOL_DIR. Gateways and workers share it by the sizes of the files there alone.

A file in transfer is sparse and as large as the space that it claims. So is the file `claimed` of a file prediction,
which stands for all that workers write beside its input.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from contract.errors import Code, ModelgateError
from contract.settings import MB
from contract.work.quotas import PER_FREE
from runtime.spool.names import SUFFIX, FileFolder, tag_of_upload

_PATIENCE, _PAUSE = 1.0, 0.002
"""Seconds that a process waits for the lock at most, and between two tries. One that was stopped while it held the lock
must not stop the others: without the lock, both may claim the same room."""


@dataclass(frozen=True)
class Room:
    """The bytes of the quota, those taken, and those taken by one owner, if its share is bounded (None: it is not)."""

    limit: int
    taken: int
    owned: int | None

    @property
    def free(self) -> int:
        """The bytes that may be claimed. An owner may have nine for each that is free afterwards."""
        free = self.limit - self.taken
        return free if self.owned is None else min(free, (PER_FREE * free - self.owned) // (PER_FREE + 1))

    def lacks(self, size: int) -> str:
        """Return the sentence for a client whose `size` bytes find no room."""
        taken = f"{self.taken // MB} of {self.limit // MB} MB (SPOOL_MB) are taken"
        if self.owned is not None:
            taken += f", {self.owned // MB} of them by your owner, who may take nine tenths of what others leave"
        todo = "try again later, delete file predictions that you do not need, or raise SPOOL_MB"
        return f"there is no room for {size / MB:.1f} MB more: {taken}; {todo}"


class SpoolRoom:
    """The room in `folder`, of which all files together may take `megabytes`."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        self.limit = megabytes * MB

    def taken(self) -> int:
        """Return the bytes that are claimed."""
        try:
            return sum(size for _, size in _claims(self.folder))
        except OSError:  # before the first upload
            return 0

    @contextmanager
    def locked(self, tag: str) -> Iterator[Room]:
        """Yield the room for the owner with this tag ("": for everybody). Others claim none within the block."""
        with (self.folder / ".lock").open("a") as lock:
            _lock(lock)
            claims = list(_claims(self.folder))
            owned = sum(size for owner, size in claims if owner == tag) if tag else None
            yield Room(self.limit, sum(size for _, size in claims), owned)

    def claim(self, job: FileFolder, size: int, beyond: int | None = None) -> None:
        """Let a file prediction claim `size` bytes more than now, or than `beyond`. Raises `ModelgateError`
        (`spool_full`), and `OSError`."""
        with self.locked(job.tag) as room, job.claimed.open("ab") as file:
            claimed = os.fstat(file.fileno()).st_size
            wanted = (claimed if beyond is None else beyond) + size
            if wanted - claimed > room.free:
                raise ModelgateError(Code.SPOOL_FULL, f"the output of this file: {room.lacks(wanted - claimed)}")
            os.truncate(file.fileno(), max(claimed, wanted))


def _lock(file: IO[str]) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_PAUSE)


def _claims(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield the tag of the owner and the bytes of each upload and file prediction."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIX):
                job = FileFolder(Path(entry.path))
                yield job.tag, _size(job.input) + (_size(job.claimed) or _size(job.output) + _size(job.errors))
            else:
                yield tag_of_upload(entry.name), _size(entry)


def _size(path: Path | os.DirEntry[str]) -> int:
    with suppress(OSError):  # just removed, or not there yet
        return path.stat().st_size
    return 0
