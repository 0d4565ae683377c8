"""Files of users in SPOOL_DIR: uploads, which wait for the trainer, and the folders of file predictions.

A file in transfer claims room by its size (`runtime.spool.room`). It is never in memory or in Redis.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from contract.errors import Code, ModelgateError
from contract.files import free_share
from contract.retention import Retention
from contract.settings import Settings
from runtime.spool.names import FileFolder, upload_name
from runtime.spool.room import Room, SpoolRoom

_PART = ".part"
"""The end of the name of a file that is still being received."""
_FIRST_CLAIM, _LARGEST_CLAIM = 64 * 1024, 1024 * 1024
"""Bytes that a file claims at first, and at most, beyond the received ones. In between it claims as many again."""


class UploadTooLarge(Exception):
    """An upload has more bytes than one may have."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class Spool:
    """The files in `folder`, which may take `megabytes` together."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        self.room = SpoolRoom(folder, megabytes)

    @classmethod
    def of(cls, settings: Settings) -> Spool:
        return Spool(settings.spool_dir.absolute(), settings.spool_mb)

    def job(self, job_id: str) -> FileFolder:
        """Return the folder of a file prediction."""
        return FileFolder.of(self.folder, job_id)

    def upload(self, name: object) -> Path:
        """Return the path of an upload. Raises `ValueError` unless `name` is a plain file name."""
        if not isinstance(name, str) or not name or Path(name).name != name or name.startswith("."):
            raise ValueError(f"{name!r:.80} is not a file of SPOOL_DIR")
        return self.folder / name

    def discard(self, names: Iterable[object]) -> None:
        """Remove uploads that will not be used; names that no upload can have are ignored."""
        for name in names:
            with suppress(OSError, ValueError):
                self.upload(name).unlink()

    def sweep_uploads(self, keep: Collection[object], orphan_for: float = Retention.unused_uploads) -> None:
        """Remove uploads that have not changed for `orphan_for` seconds, except those in `keep`."""
        with suppress(OSError):
            for path in self.folder.iterdir():
                if path.name not in keep and path.is_file() and time.time() - path.stat().st_mtime > orphan_for:
                    self.discard([path.name])

    def used(self) -> int:
        """Return the bytes of all files, with those in transfer."""
        return self.room.taken()

    def free_share(self) -> float | None:
        """Return the free share of the limit or, if that is less, of the disk; None before the first upload."""
        disk = free_share(self.folder)
        return disk and min(disk, max(0.0, 1 - self.used() / self.room.limit))

    @contextmanager
    def incoming(self, size: int, most: int, tag: str) -> Iterator[IncomingUpload]:
        """Receive the files of an upload of `size` bytes, and of `most` at most, from the owner with this tag. No file
        stays if the block raises. Raises `UploadTooLarge`, `ModelgateError` (`spool_full`) and `OSError`, also during
        the upload."""
        upload = IncomingUpload(self, size, most, tag)
        try:
            upload.check_size(size)
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.room.locked(tag) as room:
                _check_room(room, size)
            yield upload
        except BaseException:
            for file in upload.files:
                file.remove()
            raise

    def flush(self, descriptor: int) -> None:
        """Wait until a file is on disk."""
        os.fsync(descriptor)


class IncomingUpload:
    """An upload of `size` bytes that is still being received."""

    def __init__(self, spool: Spool, size: int, most: int, tag: str) -> None:
        """`tag`: of its owner."""
        self.spool = spool
        self.size = size
        self.tag = tag
        self.files: list[IncomingFile] = []
        self._most = most

    def received(self) -> int:
        """Return the bytes that have arrived."""
        return sum(file.size for file in self.files)

    def open(self) -> IncomingFile:
        """Begin another file."""
        self.files.append(IncomingFile(self))
        return self.files[-1]

    def check_size(self, size: int) -> None:
        if size > self._most:
            raise UploadTooLarge(size)

    def claim(self, file: IO[bytes], size: int) -> int:
        """Let `file` claim at least `size` bytes, and return the bytes that it claims now."""
        self.check_size(size)
        claimed = os.fstat(file.fileno()).st_size
        with self.spool.room.locked(self.tag) as room:
            _check_room(room, size - claimed)
            grown = min(size + min(max(size, _FIRST_CLAIM), _LARGEST_CLAIM), claimed + room.free)
            os.truncate(file.fileno(), grown)
        return grown


class IncomingFile:
    """A file of an upload. It gets its final name once it is on disk."""

    def __init__(self, upload: IncomingUpload) -> None:
        self._upload = upload
        self._final = upload.spool.folder / upload_name(uuid.uuid4().hex, upload.tag)
        self._path = self._final.with_suffix(_PART)
        self._file: IO[bytes] = self._path.open("wb")
        self.size = self._claimed = 0

    def write(self, data: bytes) -> int:
        self.size += len(data)
        if self.size > self._claimed:
            self._claimed = self._upload.claim(self._file, self.size)
        return self._file.write(data)

    def seek(self, position: int) -> int:
        """Do nothing: a form parser rewinds the file that it has written."""
        return position

    def keep(self) -> str:
        """Flush the file to disk and return its name in SPOOL_DIR."""
        self._file.truncate(self.size)
        self._upload.spool.flush(self._file.fileno())
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
        raise ModelgateError(Code.SPOOL_FULL, room.lacks(size))
