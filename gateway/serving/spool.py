"""Uploads: files are written to SPOOL_DIR as they arrive, and are never in memory or in Redis.

A file in transfer is sparse and as large as the space that it claims. So the processes of the gateway share the quota
by the sizes of the files alone.
"""

from __future__ import annotations

import errno
import fcntl
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from gevent import get_hub

from contract.settings import MB
from gateway.refusals import Reason, Refusal

_PART = ".part"
"""The end of the name of a file that is still being received."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES})

_FIRST_CLAIM, _LARGEST_CLAIM = 64 * 1024, 1024 * 1024
"""Bytes that a file claims at first, and at most, beyond the received ones. In between it claims as many again."""


class Spool:
    """Receives uploads: each of at most `megabytes_each`, together at most `megabytes`."""

    def __init__(self, folder: Path, megabytes: int, megabytes_each: int) -> None:
        self._folder = folder
        self._limit = megabytes * MB
        self._largest = megabytes_each * MB

    @contextmanager
    def receiving(self, size: int) -> Iterator[IncomingUpload]:
        """Receive the files of an upload of `size` bytes. No file stays if the block raises.

        Raises `Refusal`: `upload_too_large`, or `spool_full`, also during the upload.
        """
        if size > self._largest:
            most = f"{self._largest // MB} MB (MAX_UPLOAD_MB)"
            detail = f"the upload has {size / MB:.1f} MB, but may have at most {most}"
            raise Refusal(Reason.UPLOAD_TOO_LARGE, detail)
        upload = IncomingUpload(self._folder, self._claim, size)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._free() as free:
                if size > free:
                    raise self._no_room(size, free)
            yield upload
        except BaseException as error:
            for file in upload.files:
                file.remove()
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                raise _full(f"SPOOL_DIR cannot be written ({error.strerror})") from error
            raise

    def open(self, name: str) -> IO[bytes]:
        """Open a file that was received."""
        return (self._folder / name).open("rb")

    def discard(self, names: Iterable[str]) -> None:
        """Remove files that will not be used."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def _claim(self, file: IO[bytes], size: int) -> int:
        """Let `file` claim at least `size` bytes, and return the bytes that it claims now."""
        claimed = os.fstat(file.fileno()).st_size
        with self._free() as free:
            if size - claimed > free:
                raise self._no_room(size - claimed, free)
            grown = min(size + min(max(size, _FIRST_CLAIM), _LARGEST_CLAIM), claimed + free)
            os.truncate(file.fileno(), grown)
        return grown

    @contextmanager
    def _free(self) -> Iterator[int]:
        """Yield the unclaimed bytes of the quota, which stay unclaimed by others within the block."""
        with (self._folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self._limit - sum(_sizes(self._folder))

    def _no_room(self, size: int, free: int) -> Refusal:
        used = f"{(self._limit - free) // MB} of {self._limit // MB} MB (SPOOL_MB) are taken"
        return _full(f"there is no room for {size / MB:.1f} MB more: {used}")


class IncomingUpload:
    """An upload of `size` bytes that is still being received."""

    def __init__(self, folder: Path, claim: Callable[[IO[bytes], int], int], size: int) -> None:
        self._folder = folder
        self._claim = claim
        self.size = size
        self.files: list[IncomingFile] = []

    def open(self) -> IncomingFile:
        """Begin another file."""
        self.files.append(IncomingFile(self._folder, self._claim))
        return self.files[-1]


class IncomingFile:
    """A file of an upload. It gets its final name once it is on disk."""

    def __init__(self, folder: Path, claim: Callable[[IO[bytes], int], int]) -> None:
        self._final = folder / f"{uuid.uuid4().hex}.upload"
        self._path = self._final.with_suffix(_PART)
        self._file: IO[bytes] = self._path.open("wb")
        self._claim = claim
        self._size = self._claimed = 0

    def write(self, data: bytes) -> int:
        self._size += len(data)
        if self._size > self._claimed:
            self._claimed = self._claim(self._file, self._size)
        return self._file.write(data)

    def seek(self, position: int) -> int:
        """Do nothing: a form parser rewinds the file that it has written."""
        return position

    def keep(self) -> str:
        """Flush the file to disk and return its name in SPOOL_DIR."""
        self._file.truncate(self._size)
        get_hub().threadpool.apply(os.fsync, (self._file.fileno(),))  # other requests go on meanwhile
        self._file.close()
        self._path.rename(self._final)
        self._path = self._final
        return self._final.name

    def remove(self) -> None:
        with suppress(OSError):  # a full disk fails again
            self._file.close()
        self._path.unlink(missing_ok=True)


def _sizes(folder: Path) -> Iterator[int]:
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # just removed
                yield entry.stat().st_size


def _full(detail: str) -> Refusal:
    message = f"{detail}; try again when a training has ended, or raise SPOOL_MB"
    return Refusal(Reason.SPOOL_FULL, message, retry_after=60)
