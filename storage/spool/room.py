"""The room for files of users: the quota, what is taken of it, and how much of the rest one owner may take."""

from __future__ import annotations

import fcntl
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from contract.errors import Code, ModelgateError
from contract.settings import MB
from contract.work.api_keys import PER_FREE
from storage.spool.names import SUFFIX, FileFolder, tag_of_upload

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

    def check(self, size: int, what: str = "") -> None:
        """Raise `ModelgateError` (`spool_full`) if so many bytes more find no room. `what` begins its sentence."""
        if size > self.free:
            raise ModelgateError(Code.SPOOL_FULL, f"{what}{self._lacks(size)}")

    def _lacks(self, size: int) -> str:
        """Return the sentence for a client whose `size` bytes find no room."""
        taken = f"{self.taken // MB} of {self.limit // MB} MB (SPOOL_MB) are taken"
        if self.owned is not None:
            taken += f", {self.owned // MB} of them by your owner, who may take nine tenths of what others leave"
        todo = "try again later, delete file predictions that you do not need, or raise SPOOL_MB"
        return f"there is no room for {size / MB:.1f} MB more: {taken}; {todo}"


OUTPUT = "the output of this file: "
"""Begins the sentence of a full spool for a file prediction."""


class SpoolRoom(ABC):
    """The room of which all files together may take `megabytes`."""

    def __init__(self, megabytes: int) -> None:
        self.limit = megabytes * MB

    @abstractmethod
    def taken(self) -> int:
        """Return the bytes that are claimed."""

    @abstractmethod
    def locked(self, tag: str) -> AbstractContextManager[Room]:
        """Yield the room for the owner with this tag ("": for everybody). Others claim none within the block."""

    @abstractmethod
    def claim(self, job: FileFolder, size: int, beyond: int | None = None) -> None:
        """Let a file prediction claim `size` bytes more than now, or than `beyond`. Raises `ModelgateError`
        (`spool_full`), and `OSError`."""


class FolderRoom(SpoolRoom):
    """The room in `folder`."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        super().__init__(megabytes)
        self.folder = folder

    def taken(self) -> int:
        try:
            return sum(size for _, size in _claims(self.folder))
        except OSError:  # before the first upload
            return 0

    @contextmanager
    def locked(self, tag: str) -> Iterator[Room]:
        with (self.folder / ".lock").open("a") as lock:
            _lock(lock)
            claims = list(_claims(self.folder))
            owned = sum(size for owner, size in claims if owner == tag) if tag else None
            yield Room(self.limit, sum(size for _, size in claims), owned)

    def claim(self, job: FileFolder, size: int, beyond: int | None = None) -> None:
        with self.locked(job.tag) as room, job.claimed.open("ab") as file:
            claimed = os.fstat(file.fileno()).st_size
            wanted = (claimed if beyond is None else beyond) + size
            room.check(wanted - claimed, OUTPUT)
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
