"""Files of users in SPOOL_DIR: uploads, which wait for the trainer, and the folders of file predictions.

Gateways and workers share the room there by the sizes of its files alone. A file in transfer is sparse and as large as
the space that it claims; it is never in memory or in Redis. So is the file `claimed` of a file prediction, which stands
for all that workers write beside its input.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from contract.files import free_share
from contract.retention import Retention
from storage.spool.names import FileFolder, upload_name
from storage.spool.room import FolderRoom, SpoolRoom

Aside = Callable[[Callable[[], Any]], Any]
"""Calls a function that waits for a disk or a network, and returns its answer."""

_PIECE = 256 * 1024
"""Bytes of a file that are read at a time."""

_PART = ".part"
"""The end of the name of a file that is still being received."""
_FIRST_CLAIM, _LARGEST_CLAIM = 64 * 1024, 1024 * 1024
"""Bytes that a file claims at first, and at most, beyond the received ones. In between it claims as many again."""


def checked(name: object) -> str:
    """Return the name of an upload. Raises `ValueError` unless it is a plain file name."""
    if not isinstance(name, str) or not name or Path(name).name != name or name.startswith("."):
        raise ValueError(f"{name!r:.80} is not a file of SPOOL_DIR")
    return name


class UploadTooLarge(Exception):
    """An upload has more bytes than one may have."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def directly(call: Callable[[], Any]) -> Any:
    """Call it, and let everything else wait."""
    return call()


class Spool:
    """The files in `folder`, which may take `megabytes` together. Methods that read or write files raise OSError."""

    def __init__(self, folder: Path, megabytes: int, aside: Aside = directly, room: SpoolRoom | None = None) -> None:
        """`aside` calls what waits for a disk or a network, so that other requests go on. `room`: that of the folder,
        unless it is elsewhere."""
        self.folder = folder
        self.aside = aside
        self.room = room or FolderRoom(folder, megabytes)

    def job(self, job_id: str) -> FileFolder:
        """Return the folder of a file prediction."""
        return FileFolder.of(self.folder, job_id)

    def jobs(self) -> Sequence[FileFolder]:
        """Return the folders of all file predictions."""
        return FileFolder.all(self.folder)

    def upload(self, name: object) -> Path:
        """Return the path of an upload on this machine. Raises `ValueError` unless `name` is a plain file name."""
        return self.folder / checked(name)

    def open(self, name: object) -> BinaryIO:
        """Open an upload. Raises `ValueError` as `upload` does."""
        return (self.folder / checked(name)).open("rb")

    def digest(self, name: object) -> str:
        """Return the SHA-256 of an upload."""
        digest = hashlib.sha256()
        with self.open(name) as file:
            while piece := self.aside(lambda: file.read(_PIECE)):
                digest.update(piece)
        return digest.hexdigest()

    def discard(self, names: Iterable[object]) -> None:
        """Remove uploads that will not be used; names that no upload can have are ignored."""
        for name in names:
            with suppress(OSError, ValueError):
                (self.folder / checked(name)).unlink()

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
                room.check(size)
            yield upload
        except BaseException:
            for file in upload.files:
                file.remove()
            raise

    def new_file(self, upload: IncomingUpload, job_id: str) -> IncomingFile:
        """Begin a file of an upload: the input of a file prediction if there is a `job_id`."""
        return FileInFolder(upload, job_id)


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

    def open(self, job_id: str = "") -> IncomingFile:
        """Begin another file: the input of a file prediction if there is a `job_id`."""
        self.files.append(self.spool.new_file(self, job_id))
        return self.files[-1]

    def check_size(self, size: int) -> None:
        if size > self._most:
            raise UploadTooLarge(size)


class IncomingFile(ABC):
    """A file of an upload that is being received."""

    def __init__(self, upload: IncomingUpload, job_id: str) -> None:
        self.upload = upload
        self.job_id = job_id
        self.name = upload_name(uuid.uuid4().hex, upload.tag)
        self.size = 0

    @abstractmethod
    def write(self, data: bytes) -> int:
        """Add data. Raises as `Spool.incoming`."""

    def seek(self, position: int) -> int:
        """Do nothing: a form parser rewinds the file that it has written."""
        return position

    @abstractmethod
    def keep(self) -> str:
        """Let others see the file once nothing can take it away, and return the name of the upload."""

    @abstractmethod
    def remove(self) -> None:
        """Remove the file, whether it was kept or not."""


class FileInFolder(IncomingFile):
    """Is sparse, and as large as the room that it claims, until it gets its final name once it is on disk."""

    def __init__(self, upload: IncomingUpload, job_id: str) -> None:
        super().__init__(upload, job_id)
        self._final = upload.spool.folder / self.name
        self._path = self._final.with_suffix(_PART)
        self._file: IO[bytes] = self._path.open("wb")
        self._claimed = 0

    def write(self, data: bytes) -> int:
        self.size += len(data)
        if self.size > self._claimed:
            self._claimed = self._claim(self.size)
        return self._file.write(data)

    def keep(self) -> str:
        self._file.truncate(self.size)
        self.upload.spool.aside(lambda: os.fsync(self._file.fileno()))
        self._file.close()
        self._path.rename(self._final)
        self._path = self._final
        if self.job_id:
            self.upload.spool.job(self.job_id).create(self._final, self.upload.tag)
        return self.name

    def remove(self) -> None:
        with suppress(OSError):  # a full disk fails again
            self._file.close()
        self._path.unlink(missing_ok=True)

    def _claim(self, size: int) -> int:
        """Claim at least `size` bytes, and return the bytes that are claimed now."""
        self.upload.check_size(size)
        claimed = os.fstat(self._file.fileno()).st_size
        with self.upload.spool.room.locked(self.upload.tag) as room:
            room.check(size - claimed)
            grown = min(size + min(max(size, _FIRST_CLAIM), _LARGEST_CLAIM), claimed + room.free)
            os.truncate(self._file.fileno(), grown)
        return grown
