"""A model repository in an object store, and a folder of this machine that mirrors it.

Readers read the folder, as they do without a store. Each change goes to the store first, then into the folder.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from contract.errors import Code, ModelgateError
from contract.model.repository import ALIASES_FILE, REMOVED, SETTINGS_FILE, VERSIONS_DIR, RemovedModel, valid_name
from contract.model.version_files import MANIFEST_FILE, SIGNATURE_FILE
from storage.disk import StoreError, opened_folder, sync
from storage.models.bucket import ModelBucket
from storage.models.heads import Contents, Files, Head
from storage.models.mirror_notes import MirrorNotes
from storage.models.repository_writer import RepositoryWriter, StagedVersion, move
from storage.models.states import Edit, ModelState, NumberTaken, model_exists, restorable, unknown
from storage.objects import FileFacts, Tag

_STILL_ASKED_FOR = timedelta(days=1)
"""How long after its removal a version is still fetched for a job that was accepted before."""


class MirroredRepository(RepositoryWriter):
    """Reads the folder `root`; writes `bucket`, and then the folder.

    Processes of this machine may share the folder: each locks a model while it brings it up to date. Versions that the
    store has never known stay as they are.
    """

    def __init__(self, root: Path, bucket: ModelBucket, announce: Callable[[str], object] = lambda _: None) -> None:
        """`announce` is called with each model that this has changed in the store."""
        super().__init__(root)
        self.bucket = bucket
        self._announce = announce
        self.notes = MirrorNotes(root)

    def changed(self) -> Iterator[str]:
        """Yield the models whose head is another one than that in the folder. Raises `StoreError`."""
        for model, tag in self.bucket.heads():
            noted = self.notes.head(model)
            if noted is None or Tag(*noted[0]) != tag:
                yield model

    def refresh(self, model: str) -> list[str]:
        """Make the model in the folder as it is in the store. Returns what could not be done, in sentences: then its
        aliases stay as they were. Raises `StoreError` and OSError."""
        if not valid_name(model):
            raise unknown(model)
        with self._aliases_locked(model):
            head, tag = self.bucket.head(model)
            problems = self._apply(model, head) if tag else []
            if tag and not problems:
                self.notes.set_head(model, tag, head.last)
        return problems

    def next_number(self, model: str, lock: IO[str]) -> int:
        return max(self.bucket.head(model)[0].last + 1, super().next_number(model, lock))

    def add(self, staged: StagedVersion, model: str, version: int, lock: IO[str]) -> None:
        """Let readers of all machines see a staged version. Raises `NumberTaken`, too."""

        def take(head: Head) -> None:
            self._check_known(model, head)
            if head.last >= version:
                raise NumberTaken(f"{model}@{version}")
            head.last = version

        def name(head: Head) -> None:
            head.live.versions[version] = files

        self.bucket.change(model, take)
        files = self.bucket.upload(model, version, staged)
        self._change(model, name)
        with self._aliases_locked(model):
            if not self.has_version(model, version):
                super().add(staged, model, version, lock)
        self.refresh(model)

    def sign(self, model: str, version: int, signature: bytes) -> None:
        super().sign(model, version, signature)
        path = self.files(model, version).folder / SIGNATURE_FILE
        facts = self.bucket.upload_signature(model, version, signature, path)

        def name(head: Head) -> None:
            if version in head.live.versions:
                head.live.versions[version][SIGNATURE_FILE] = facts

        self._change(model, name)

    def change(self, model: str, edit: Edit) -> ModelState:
        """As in a folder. `edit` runs again if another machine changes the model meanwhile."""
        if not valid_name(model):
            raise ModelgateError(Code.MODEL_NOT_FOUND, f"{model[:64]!r} cannot be the name of a model")
        deleted: dict[int, Files] = {}

        def change(head: Head) -> None:
            self._check_known(model, head)
            state = head.live.state()
            edit(state)
            deleted.clear()
            deleted.update({v: files for v, files in head.live.versions.items() if v not in state.versions})
            head.live.become(state)

        head = self._change(model, change)
        self.refresh(model)
        for version, files in deleted.items():
            self.bucket.delete_version(model, version, files)
        return head.live.state()

    def remove(self, model: str) -> datetime:
        if not valid_name(model):
            raise unknown(model)
        now = time.time_ns() // 10**6

        def remove(head: Head) -> None:
            self._check_known(model, head)
            if not head.live.versions:
                raise unknown(model)
            head.removed[now], head.live, head.was_removed = head.live, Contents(), True

        self._change(model, remove)
        self.refresh(model)
        return datetime.fromtimestamp(now / 1000, UTC)

    def restore(self, model: str, version: int | None = None) -> None:
        if not valid_name(model):
            raise unknown(model)

        def restore(head: Head) -> None:
            removals = [self._removal(model, at, contents) for at, contents in sorted(head.removed.items())[::-1]]
            chosen = restorable(model, removals, version)
            if head.live.versions:
                raise model_exists(model, sorted(head.live.versions), chosen)
            head.live = head.removed.pop(int(chosen.folder.name))

        self._change(model, restore)
        self.refresh(model)

    def _delete_removed(self, model: str, removed: RemovedModel) -> None:
        gone: dict[int, Files] = {}

        def forget(head: Head) -> None:
            contents = head.removed.pop(int(removed.folder.name), Contents())
            gone.clear()
            gone.update(contents.versions)

        head = self._change(model, forget)
        self.refresh(model)
        for version, files in gone.items():
            self.bucket.delete_version(model, version, files)
        self.bucket.delete_unnamed(model, head)

    def _change(self, model: str, edit: Callable[[Head], object]) -> Head:
        """Change the head of a model, and have the other mirrors look at it."""
        head = self.bucket.change(model, edit)
        self._announce(model)
        return head

    def _apply(self, model: str, head: Head) -> list[str]:
        """Make the folder as the head says, under the lock of the aliases: versions first, then what names them, then
        what nothing names any more goes. Returns what could not be done."""
        problems = []
        for version, files in head.live.versions.items():
            try:
                self._place(model, version, files, self.files(model, version).folder)
            except (StoreError, FileNotFoundError) as error:
                problems.append(f"{model}@{version} cannot be fetched: {error}")
        if not problems:
            self._name(model, head.live)
            self._place_removed(model, head)
            self._delete_others(model, head)
        return problems

    def _place(self, model: str, version: int, files: Files, target: Path) -> None:
        """Have a version at `target`: it is there, or in a folder of the model that was removed, or it is fetched."""
        if holds(target, files):
            return
        with self._new_folder(f"{model}.aliases") as fetched:  # its lock is held: `sweep` leaves it alone
            folder = next((folder for folder in self._folders(model, version) if holds(folder, files)), fetched)
            if folder is fetched:
                self.bucket.download(model, version, files, fetched)
                sync(fetched)
            if target.exists():
                shutil.rmtree(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            move(folder, target)

    def _folders(self, model: str, version: int) -> Iterator[Path]:
        """Yield where a version may be."""
        for folder in (self.root / model, *(removed.folder for removed in self.removals(model))):
            yield folder / VERSIONS_DIR / str(version)

    def _name(self, model: str, contents: Contents) -> None:
        if contents.versions:
            self._write_state(model, self.state(model), contents.state())
            return
        for name in (ALIASES_FILE, SETTINGS_FILE):
            (self.root / model / name).unlink(missing_ok=True)

    def _place_removed(self, model: str, head: Head) -> None:
        """Put what was removed where readers of accepted jobs look for it. What was removed long ago is not fetched."""
        if not head.was_removed:
            return
        with opened_folder(self.root / REMOVED):
            (self.root / REMOVED / model).mkdir(exist_ok=True)
        for at, contents in head.removed.items():
            folder = self.root / REMOVED / model / str(at)
            folder.mkdir(exist_ok=True)
            recent = datetime.now(UTC) - datetime.fromtimestamp(at / 1000, UTC) < _STILL_ASKED_FOR
            for version, files in contents.versions.items():
                if recent or any(holds(known, files) for known in self._folders(model, version)):
                    with suppress(StoreError, FileNotFoundError):  # nobody may ask for it
                        self._place(model, version, files, folder / VERSIONS_DIR / str(version))

    def _delete_others(self, model: str, head: Head) -> None:
        known = [version for version in self.versions(model) if version <= head.last]
        hidden = [self._hide(model, version) for version in known if version not in head.live.versions]
        for removed in self.removals(model):
            if int(removed.folder.name) not in head.removed:
                hidden.append(self._hidden(f"{model}.aliases"))
                move(removed.folder, hidden[-1])
        if not self.versions(model) and (self.root / model).exists():
            hidden.append(self._hidden(f"{model}.aliases"))
            move(self.root / model, hidden[-1])
        for folder in hidden:
            shutil.rmtree(folder, ignore_errors=True)

    def _check_known(self, model: str, head: Head) -> None:
        """Raise `not_published` if the folder has versions that the store has never known."""
        unknown_here = [version for version in self.versions(model) if version > head.last]
        if unknown_here:
            raise ModelgateError(
                Code.NOT_PUBLISHED,
                f"MODELS_DIR has versions of {model!r} that {self.bucket.objects.url} lacks ({unknown_here}); put them"
                " there first: modelgate repository push",
                model=model,
            )

    def _removal(self, model: str, at: int, contents: Contents) -> RemovedModel:
        folder = self.root / REMOVED / model / str(at)
        return RemovedModel(folder, datetime.fromtimestamp(at / 1000, UTC), sorted(contents.versions))


def holds(folder: Path, files: Files) -> bool:
    """Whether a folder has a version with these files: the same manifest, which has the checksum of the artifact, and
    the same signature."""
    known = (MANIFEST_FILE, SIGNATURE_FILE)
    try:
        return all(FileFacts.of(folder / name) == files[name] for name in known if name in files)
    except OSError:
        return False
