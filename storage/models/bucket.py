"""The model repository in an object store: where everything is there, and how it changes.

```
.heads/loan.json                   what there is of the model, with the checksum of each file (`heads.py`)
loan/versions/3/manifest.json …    the files of a version, which never change, but for the signature
.done/<job>                        a signed job that has run
```

A version exists once the head names it. Its files are written before, the manifest last and only if there is none; its
number is taken from the head before that. A head is replaced only if nobody else has replaced it since it was read. So
of writers that race each sees what the others did, and a writer that dies leaves files that no head names.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from contract.model.repository import VERSIONS_DIR, valid_name
from contract.model.version_files import MANIFEST_FILE, SIGNATURE_FILE, VersionFiles
from storage.disk import StoreError
from storage.models.heads import LARGEST, Files, Head
from storage.objects import Conflict, Entry, FileFacts, Objects, Tag

HEADS = ".heads/"

_ATTEMPTS = 50
"""Times that a change is tried when others change the same model."""

_LONGEST_PAUSE = 0.5
"""Seconds between two of them."""

_UNNAMED_FOR = timedelta(days=1)
"""Age of files that no head names and that are deleted: no upload takes as long."""


class ModelBucket:
    """The model repository in an object store. All methods raise `StoreError`."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    def heads(self) -> Iterator[tuple[str, Tag]]:
        """Yield the models, with the tag of each head: a thousand models a request."""
        for entry in self.objects.entries(HEADS):
            model = entry.key.removeprefix(HEADS).removesuffix(".json")
            if valid_name(model):
                yield model, entry.tag

    def head(self, model: str) -> tuple[Head, Tag | None]:
        """Return the head of a model, an empty one without a tag if it has none."""
        try:
            text, tag = self.objects.read(_head_key(model), LARGEST)
        except FileNotFoundError:
            return Head(), None
        try:
            return Head.loads(text), tag
        except ValueError as error:
            raise StoreError(f"{_head_key(model)} of {self.objects.url} cannot be used: {error}") from error

    def entries(self, model: str) -> Iterator[Entry]:
        """Yield the files of all versions of a model, also of those that its head does not name."""
        return self.objects.entries(f"{model}/{VERSIONS_DIR}/")

    def change(self, model: str, edit: Callable[[Head], object]) -> Head:
        """Let `edit` change the head of a model, on what all others have made of it, and return it. What `edit` raises
        changes nothing."""
        mine = uuid.uuid4().hex
        for attempt in range(_ATTEMPTS):
            head, tag = self.head(model)
            if mine in head.writes:  # the answer to it was lost
                return head
            before = head.dumps()
            edit(head)
            if head.dumps() == before:
                return head
            head.writes.append(mine)
            with suppress(Conflict):
                if tag is None:
                    self.objects.create(_head_key(model), head.dumps())
                else:
                    self.objects.replace(_head_key(model), head.dumps(), tag)
                return head
            time.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.01 * 2**attempt)))  # noqa: S311
        raise StoreError(f"{model!r} was not changed: others change it all the time; try again")

    def upload(self, model: str, version: int, source: VersionFiles) -> Files:
        """Write the files of a version whose number this process has taken, and return their facts. Raises `Conflict`
        if there is such a version."""
        paths = sorted(path for path in source.folder.rglob("*") if path.is_file())
        files = {path.relative_to(source.folder).as_posix(): FileFacts.of(path) for path in paths}
        for name in sorted(files, key=lambda name: name == MANIFEST_FILE):  # the manifest is the last
            key = key_of(model, version, name)
            if name == MANIFEST_FILE:
                self._create(key, source.manifest())
            else:
                self.objects.write(key, source.folder / name)
        return files

    def upload_signature(self, model: str, version: int, signature: bytes, path: Path) -> FileFacts:
        """Replace the signature of a version by the one in `path`."""
        self.objects.write(key_of(model, version, SIGNATURE_FILE), signature)
        return FileFacts.of(path)

    def download(self, model: str, version: int, files: Files, folder: Path) -> None:
        """Write the files of a version into an empty folder. Raises FileNotFoundError for one that is missing."""
        for name, facts in files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            self.objects.download(key_of(model, version, name), path, facts)

    def delete_unnamed(self, model: str, head: Head) -> None:
        """Delete files of versions that the head does not name: those that it has given up, and what publishers left
        that died long ago."""
        named = set(head.live.versions).union(*(contents.versions for contents in head.removed.values()))
        old = datetime.now(UTC) - _UNNAMED_FOR
        unnamed = []
        for entry in self.entries(model):
            number = entry.key.split("/")[2]
            if number.isdecimal() and int(number) not in named and entry.modified < old:
                unnamed.append(entry.key)
        self.objects.delete(unnamed)

    def delete_version(self, model: str, version: int, files: Files) -> None:
        """Delete the files of a version that no head names any more."""
        self.objects.delete([key_of(model, version, name) for name in files])

    def _create(self, key: str, data: bytes) -> None:
        """Write an object that must not exist. Raises `Conflict` if it does and is another one."""
        try:
            self.objects.create(key, data)
        except Conflict:
            if self.objects.read(key, LARGEST)[0] != data:  # unless the answer to the first try was lost
                raise


def _head_key(model: str) -> str:
    return f"{HEADS}{model}.json"


def key_of(model: str, version: int, name: str) -> str:
    """Return the key of a file of a version."""
    return f"{model}/{VERSIONS_DIR}/{version}/{name}"
