"""Uploads: files are written to SPOOL_DIR as they arrive, and are never in memory or in Redis.

A file in transfer claims space by its size (`runtime.spool_room`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

from gevent import get_hub

from contract.settings import MB
from contract.work.file_jobs import FileFolder, tag_of
from gateway.problems.codes import ProblemCode
from gateway.problems.problem import Problem
from runtime.spool_room import Room, SpoolRoom

_PART = ".part"
"""The end of the name of a file that is still being received."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES})

_FIRST_CLAIM, _LARGEST_CLAIM = 64 * 1024, 1024 * 1024
"""Bytes that a file claims at first, and at most, beyond the received ones. In between it claims as many again."""


_PIECE = 256 * 1024
"""Bytes of a file that are hashed before other requests run."""


def free_share(folder: Path) -> float | None:
    """Return the free share of the disk of `folder`; None if it cannot be read."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail / disk.f_blocks if disk.f_blocks else None


class Spool:
    """Receives uploads: each of at most `megabytes_each`, together at most `megabytes`."""

    def __init__(
        self,
        folder: Path,
        megabytes: int,
        megabytes_each: int,
        received: Callable[[int], object] = lambda _: None,
        take: Callable[[int, Callable[[], int]], AbstractContextManager[None]] = lambda *_: nullcontext(),
        owner: Callable[[], str] = str,
    ) -> None:
        """`received` is called with the size of each complete file. `take` takes the bytes of an upload from the
        caller's allowance (`gateway.serving.upload_allowance`). `owner` returns that of the caller, "" without keys."""
        self._folder = folder
        self._room = SpoolRoom(folder, megabytes)
        self._owner = owner
        self._largest = megabytes_each * MB
        self._received = received
        self._take = take

    @contextmanager
    def receiving(self, size: int) -> Iterator[IncomingUpload]:
        """Receive the files of an upload of `size` bytes. No file stays if the block raises.

        Raises `Problem`: `upload_too_large`, `upload_limit`, or `spool_full`, also during the upload. Raises
        `RedisError` if the caller has an allowance that cannot be read.
        """
        self._check_size(size)
        upload = IncomingUpload(self._folder, self._claim, size, tag_of(self._owner()))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._room.locked(upload.tag) as room:
                _check_room(room, size)
            with self._take(size, upload.received):
                yield upload
        except BaseException as error:
            for file in upload.files:
                file.remove()
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                detail = f"SPOOL_DIR cannot be written ({error.strerror}); try again later, or make room on its disk"
                raise Problem(ProblemCode.SPOOL_FULL, detail, retry_after=60) from error
            raise
        for file in upload.files:
            self._received(file.size)

    @contextmanager
    def receiving_for_job(self, job_id: str, size: int | None) -> Iterator[IncomingFile]:
        """Receive the file of a file prediction, as `receiving` does. `size` is None if the client has not said it.
        After the block the file is in the folder of the job."""
        with self.receiving(size or 0) as upload:
            yield (file := upload.open())
            name, folder = file.keep(), self.folder_of(job_id)
            folder.path.mkdir(exist_ok=True)
            if upload.tag:
                folder.owner.write_text(upload.tag)
            (self._folder / name).rename(folder.input)

    def folder_of(self, job_id: str) -> FileFolder:
        """Return the folder of a file prediction."""
        return FileFolder.of(self._folder, job_id)

    def discard_job(self, job_id: str) -> None:
        """Remove the folder of a file prediction, if it has one."""
        shutil.rmtree(self.folder_of(job_id).path, ignore_errors=True)

    def used(self) -> int:
        """Return the bytes of all uploads, with those in transfer."""
        return self._room.taken()

    def free_share(self) -> float | None:
        """Return the free share of the limit or, if that is less, of the disk; None before the first upload."""
        disk = free_share(self._folder)
        return disk and min(disk, max(0.0, 1 - self.used() / self._room.limit))

    def open(self, name: str) -> IO[bytes]:
        """Open a file that was received."""
        return (self._folder / name).open("rb")

    def digest(self, name: str) -> str:
        """Return the SHA-256 of a file that was received; other requests run meanwhile."""
        digest = hashlib.sha256()
        with self.open(name) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                time.sleep(0)
        return digest.hexdigest()

    def discard(self, names: Iterable[str]) -> None:
        """Remove files that will not be used."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def _claim(self, file: IO[bytes], size: int, tag: str) -> int:
        """Let `file` claim at least `size` bytes, and return the bytes that it claims now."""
        self._check_size(size)
        claimed = os.fstat(file.fileno()).st_size
        with self._room.locked(tag) as room:
            _check_room(room, size - claimed)
            grown = min(size + min(max(size, _FIRST_CLAIM), _LARGEST_CLAIM), claimed + room.free)
            os.truncate(file.fileno(), grown)
        return grown

    def _check_size(self, size: int) -> None:
        if size > self._largest:
            most = f"{self._largest // MB} MB (an eighth of SPOOL_MB)"
            detail = f"the upload has {size / MB:.1f} MB, but may have at most {most}"
            raise Problem(ProblemCode.UPLOAD_TOO_LARGE, detail)


class IncomingUpload:
    """An upload of `size` bytes that is still being received."""

    def __init__(self, folder: Path, claim: Callable[[IO[bytes], int, str], int], size: int, tag: str) -> None:
        """`tag`: of its owner."""
        self._folder = folder
        self._claim = claim
        self.size = size
        self.tag = tag
        self.files: list[IncomingFile] = []

    def received(self) -> int:
        """Return the bytes that have arrived."""
        return sum(file.size for file in self.files)

    def open(self) -> IncomingFile:
        """Begin another file."""
        self.files.append(IncomingFile(self._folder, self._claim, self.tag))
        return self.files[-1]


class IncomingFile:
    """A file of an upload. It gets its final name once it is on disk."""

    def __init__(self, folder: Path, claim: Callable[[IO[bytes], int, str], int], tag: str) -> None:
        self._final = folder / f"{uuid.uuid4().hex}-{tag}.upload"
        self._path = self._final.with_suffix(_PART)
        self._file: IO[bytes] = self._path.open("wb")
        self._claim = claim
        self._tag = tag
        self.size = self._claimed = 0

    def write(self, data: bytes) -> int:
        self.size += len(data)
        if self.size > self._claimed:
            self._claimed = self._claim(self._file, self.size, self._tag)
        return self._file.write(data)

    def seek(self, position: int) -> int:
        """Do nothing: a form parser rewinds the file that it has written."""
        return position

    def keep(self) -> str:
        """Flush the file to disk and return its name in SPOOL_DIR."""
        self._file.truncate(self.size)
        get_hub().threadpool.apply(os.fsync, (self._file.fileno(),))  # other requests go on meanwhile
        self._file.close()
        self._path.rename(self._final)
        self._path = self._final
        return self._final.name

    def remove(self) -> None:
        with suppress(OSError):  # a full disk fails again
            self._file.close()
        self._path.unlink(missing_ok=True)


def _check_room(room: Room, size: int) -> None:
    if size > room.free:
        raise Problem(ProblemCode.SPOOL_FULL, room.lacks(size), retry_after=60)
