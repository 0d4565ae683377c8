"""Files of users in SPOOL_DIR: uploads, which wait for the trainer, and the folders of file predictions.

Gateways and workers share the room there by the sizes of its files alone. A file in transfer is sparse and as large as
the space that it claims; it is never in memory or in Redis. So is the file `claimed` of a file prediction, which stands
for all that workers write beside its input.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from contract.errors import Code, ModelgateError
from contract.files import free_share
from contract.retention import Retention
from contract.settings import MB, Settings
from contract.work.api_keys import PER_FREE
from storage.spool.names import SUFFIX, FileFolder, tag_of_upload, upload_name

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
