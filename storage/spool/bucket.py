"""Files of users in an object store, for services on several machines.

```
<id>-<tag>.upload                  an upload, as in SPOOL_DIR
<job>.job/input, plan.json, …      the files of a file prediction; `owner.<tag>` is empty
```

SPOOL_DIR has copies of the files that this machine works on, and what it has not sent yet. Objects are written once,
and exist as a whole or not at all. The quota counts what a list of the objects shows, so uploads of several gateways at
once may exceed it by what they have in transfer.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from contract.retention import Retention
from contract.settings import Settings
from storage.disk import StoreError, locked_file
from storage.objects import Objects
from storage.spool.names import OWNER, SUFFIX, FileFolder, tag_of_upload
from storage.spool.room import OUTPUT, Room, SpoolRoom
from storage.spool.store import Aside, IncomingFile, IncomingUpload, Spool, checked, directly

_LISTED_FOR = 2.0
"""Seconds for which a list of all objects is believed."""

_SENT = 1024 * 1024
"""Bytes of an upload that are collected before a thread sends them."""

_READ = 4 * 2**20
"""Bytes that are read at a time."""


class BucketSpool(Spool):
    """The files in `objects`, which may take `megabytes` together; `folder` is this machine's."""

    def __init__(self, objects: Objects, folder: Path, megabytes: int, aside: Aside = directly) -> None:
        super().__init__(folder, megabytes, aside, BucketRoom(objects, megabytes, aside))
        self.objects = objects
        folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def at(cls, settings: Settings, aside: Aside) -> BucketSpool:
        """Raises `SettingsError`."""
        objects = Objects.at("SPOOL_URL", settings.spool_url, settings.store_options_file)
        return cls(objects, settings.spool_dir.absolute(), settings.spool_mb, aside)

    def job(self, job_id: str) -> BucketFolder:
        return BucketFolder(FileFolder.of(self.folder, job_id).path, self.objects, self.aside)

    def jobs(self) -> Sequence[FileFolder]:
        """Return the folders of all file predictions, also those of which only this machine has files."""
        names = {entry.key.partition("/")[0] for entry in self.objects.entries("") if "/" in entry.key}
        names |= {folder.path.name for folder in FileFolder.all(self.folder)}
        jobs = [self.folder / name for name in sorted(names) if name.endswith(SUFFIX)]
        return [BucketFolder(job, self.objects, self.aside) for job in jobs]

    def upload(self, name: object) -> Path:
        return _fetched(self.objects, checked(name), self.folder / checked(name))

    def open(self, name: object) -> BinaryIO:
        return _opened(self.objects, checked(name), self.aside)

    def discard(self, names: Iterable[object]) -> None:
        for name in names:
            with suppress(OSError, ValueError):
                (self.folder / checked(name)).unlink(missing_ok=True)
                self.objects.delete([checked(name)])

    def sweep_uploads(self, keep: Collection[object], orphan_for: float = Retention.unused_uploads) -> None:
        super().sweep_uploads(keep, orphan_for)  # the copies
        with suppress(OSError):
            for entry in self.objects.entries(""):
                old = time.time() - entry.modified.timestamp() > orphan_for
                if "/" not in entry.key and entry.key not in keep and old:
                    self.discard([entry.key])

    def free_share(self) -> float | None:
        return max(0.0, 1 - self.used() / self.room.limit)

    def new_file(self, upload: IncomingUpload, job_id: str) -> IncomingFile:
        return FileInBucket(self.objects, upload, job_id)


@dataclass(frozen=True)
class BucketFolder(FileFolder):
    """The files of one job: in the store, and copies on this machine."""

    objects: Objects
    aside: Aside = directly

    def names(self) -> Collection[str]:
        return {entry.key.partition("/")[2] for entry in self.objects.entries(self._prefix)}

    @property
    def tag(self) -> str:
        tags = [name.partition(".")[2] for name in self.names() if name.partition(".")[0] == OWNER]
        return tags[0] if tags else ""

    def fetch(self, path: Path) -> Path:
        return _fetched(self.objects, f"{self._prefix}{path.name}", path)

    def share(self, path: Path) -> None:
        self.objects.write(f"{self._prefix}{path.name}", path)

    def open(self, path: Path) -> BinaryIO:
        return _opened(self.objects, f"{self._prefix}{path.name}", self.aside)

    def changed(self) -> float:
        times = [entry.modified.timestamp() for entry in self.objects.entries(self._prefix)]
        return max([super().changed(), *times])

    def keep_results(self) -> None:
        results = {self.output.name, self.errors.name}
        keys = [f"{self._prefix}{name}" for name in self.names() if name not in results and not name.startswith(OWNER)]
        if keys:
            self.objects.delete(keys)
        super().remove()

    def remove(self) -> None:
        with suppress(StoreError):  # the sweep does it later
            self.objects.delete([f"{self._prefix}{name}" for name in self.names()])
        super().remove()

    @property
    def _prefix(self) -> str:
        return f"{self.path.name}/"


class FileInBucket(IncomingFile):
    """Is sent in parts as it comes, and exists once all of it was sent."""

    def __init__(self, objects: Objects, upload: IncomingUpload, job_id: str) -> None:
        super().__init__(upload, job_id)
        self._objects = objects
        self._key = f"{job_id}{SUFFIX}/input" if job_id else self.name
        self._writer = objects.writer(self._key)
        self._collected = bytearray()
        self._room = cast("BucketRoom", upload.spool.room)

    def write(self, data: bytes) -> int:
        self.size += len(data)
        self._collected += data
        if len(self._collected) >= _SENT:
            self.upload.check_size(self.size)
            self._room.claim_transfer(self, self.upload.tag, self.size)
            self._send()
        return len(data)

    def keep(self) -> str:
        self.upload.check_size(self.size)
        self._send()
        if self.job_id and self.upload.tag:
            owner = f"{self.job_id}{SUFFIX}/{OWNER}.{self.upload.tag}"
            self.upload.spool.aside(lambda: self._objects.write(owner, b""))
        self.upload.spool.aside(self._close)
        self._room.end_transfer(self)
        return self.name

    def remove(self) -> None:
        with suppress(StoreError):  # a rule of the store removes what was sent of it
            self.upload.spool.aside(self._abandon)
        self._room.end_transfer(self)

    def _send(self) -> None:
        data = bytes(self._collected)
        self._collected.clear()
        with self._objects.asked("write", self._key):
            self.upload.spool.aside(lambda: self._writer.write(data))

    def _close(self) -> None:
        with self._objects.asked("write", self._key):
            self._writer.close()

    def _abandon(self) -> None:
        """End what was begun: parts of an object that never exists would stay."""
        if not self._writer.closed():
            self._close()
        self._objects.delete([self._key])


class BucketRoom(SpoolRoom):
    """The room in `objects`."""

    def __init__(self, objects: Objects, megabytes: int, aside: Aside) -> None:
        super().__init__(megabytes)
        self._objects = objects
        self._aside = aside
        self._listed: tuple[float, Counter[str]] = (float("-inf"), Counter())
        self._transfers: dict[object, tuple[str, int]] = {}

    def taken(self) -> int:
        return sum(self._by_tag().values())

    @contextmanager
    def locked(self, tag: str) -> Iterator[Room]:
        taken = self._by_tag()
        yield Room(self.limit, sum(taken.values()), taken[tag] if tag else None)

    def claim(self, job: FileFolder, size: int, beyond: int | None = None) -> None:  # noqa: ARG002
        with self.locked(job.tag) as room:
            room.check(size, OUTPUT)

    def claim_transfer(self, file: object, tag: str, size: int) -> None:
        """Count a file of this process that has so many bytes by now. Raises `ModelgateError` (`spool_full`)."""
        _, before = self._transfers.get(file, ("", 0))
        with self.locked(tag) as room:
            room.check(size - before)
        self._transfers[file] = (tag, size)

    def end_transfer(self, file: object) -> None:
        if file in self._transfers:
            del self._transfers[file]
            self._listed = (float("-inf"), Counter())

    def _by_tag(self) -> Counter[str]:
        """Return the bytes of each owner, with those in transfer here."""
        if time.monotonic() - self._listed[0] > _LISTED_FOR:
            self._listed = (time.monotonic(), self._aside(self._list))
        taken = Counter(self._listed[1])
        for tag, size in list(self._transfers.values()):
            taken[tag] += size
        return taken

    def _list(self) -> Counter[str]:
        owners, sizes = dict[str, str](), Counter[str]()
        for entry in self._objects.entries(""):
            job, _, name = entry.key.partition("/")
            if name.startswith(OWNER):
                owners[job] = name.partition(".")[2]
            sizes[job] += entry.size
        taken = Counter[str]()
        for name, size in sizes.items():
            taken[owners.get(name, tag_of_upload(name))] += size
        return taken


def _fetched(objects: Objects, key: str, path: Path) -> Path:
    """Have a copy of an object at `path`, once for all processes of this machine. Raises OSError."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked_file(path.with_name(f".{path.name}.lock")):
        if not path.exists():
            draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
            try:
                objects.download(key, draft)
                draft.rename(path)
            finally:
                draft.unlink(missing_ok=True)
    return path


def _opened(objects: Objects, key: str, aside: Aside) -> BinaryIO:
    """Open an object, of which only what is read is fetched. Raises OSError."""
    size = aside(lambda: objects.size(key))
    return io.BufferedReader(_Ranges(objects, key, size, aside), _READ)


class _Ranges(io.RawIOBase):
    """Reads an object in ranges."""

    def __init__(self, objects: Objects, key: str, size: int, aside: Aside) -> None:
        self._objects = objects
        self._key = key
        self._size = size
        self._aside = aside
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._position)
        if length <= 0:
            return 0
        data = self._aside(lambda: self._objects.part(self._key, self._position, length))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
