"""Writes the model repository: the only module that does, and that knows where what readers do not see is in it.

Each change is durable, and readers see all of it or nothing. `.staging/` holds what they do not see: incomplete
folders, and locks. Other users may write there, too. Their symbolic links are not followed: one could lead to any file
of the trainer's.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from contract.errors import Code, ModelgateError
from contract.files import read_regular
from contract.model.repository import (
    ALIASES_FILE,
    REMOVED,
    SETTINGS_FILE,
    VERSIONS_DIR,
    RemovedModel,
    Repository,
    valid_name,
)
from contract.model.version_files import MANIFEST_FILE, REPORT_DIR, SIGNATURE_FILE, VersionFiles
from storage.disk import locked_file, opened_folder, sync, write
from storage.models.states import Edit, ModelState, model_exists, restorable, unknown

STAGING = ".staging"
SCHEDULE_FILE = "schedule.json"
"""In the folder of a removed model: its schedule, as Redis had it."""
HISTORY = "_history"
"""A key of aliases.json that cannot be an alias."""

_RESERVE, _RESERVED = ".reserve", 65_536
"""A file in the staging area, and its bytes: on a full disk, a change of aliases or settings takes their place."""

_IMPORTS = "inbox"
"""The prefix of import folders in the staging area. No model has this name."""


class StagedVersion(VersionFiles):
    """A version that is being written."""

    def write(self, manifest: bytes, artifact: str, data: bytes, signature: bytes | None) -> None:
        """`artifact` is the name of the file that holds `data`."""
        write(self.folder / artifact, data)
        write(self.folder / MANIFEST_FILE, manifest)
        if signature:
            write(self.folder / SIGNATURE_FILE, signature)
        sync(self.folder)

    def write_report(self, files: Mapping[str, bytes]) -> None:
        """Write all files of the report, or none."""
        if not files:
            return
        report = self.folder / REPORT_DIR
        try:
            report.mkdir()
            for name, data in files.items():
                write(report / name, data)
            for folder in (report, self.folder):
                sync(folder)
        except OSError:
            shutil.rmtree(report, ignore_errors=True)
            raise


class RepositoryWriter(Repository):
    """Reads and writes the model repository `root`. Methods that write raise OSError if it cannot be written. Those
    that change a model raise `ModelgateError`, too, whose codes the gateway maps to statuses."""

    def locked(self, name: str, how: int = fcntl.LOCK_EX) -> AbstractContextManager[IO[str]]:
        """Hold the lock `name`, after waiting for other processes. Yields its file, whose content persists. Raises what
        `locked_file` raises."""
        return locked_file(self._staging() / f"{name}.lock", how)

    def refresh(self, model: str) -> list[str]:  # noqa: ARG002
        """Make sure that this reads what others have last written of a model. Returns what could not be done."""
        return []

    def check_writable(self) -> None:
        """Create what is missing. Raises OSError if it cannot be written."""
        for folder in (self._staging(), self.root):
            tempfile.TemporaryFile(dir=folder).close()

    def sweep(self) -> None:
        """Remove the staging folders of publishers that died. Folders in use stay."""
        for folder in self._staging().iterdir():
            if folder.is_dir():
                name = folder.name.rpartition("-")[0]
                with suppress(BlockingIOError), self.locked(name, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def import_folder(self) -> Iterator[Path]:
        """Create a folder in the staging area and remove it afterwards. `sweep` leaves it alone while it is in use."""
        with self.locked(_IMPORTS, fcntl.LOCK_SH), self._new_folder(_IMPORTS, 0o700) as folder:
            yield folder

    def models_in_any_state(self) -> list[str]:
        """Return the models, also those without a `current` version, sorted."""
        return sorted(filter(valid_name, os.listdir(self.root)))

    def next_number(self, model: str, lock: IO[str]) -> int:
        """Return one more than every number that was used before, exists, was removed, or has an alias. `lock`: the
        file of the model's lock, which the caller holds."""
        lock.seek(0)
        recorded = [int(line) for line in lock.read().split() if line.isdecimal()]
        return max([0, *recorded, *self._numbers_in_use(model)]) + 1

    @contextmanager
    def staged(self, model: str) -> Iterator[StagedVersion]:
        """Create a staging folder, and remove it afterwards unless it was published. Older ones are of dead
        publishers."""
        for old in (self.root / STAGING).glob(f"{model}-*/"):
            if old.name.rpartition("-")[0] == model:
                shutil.rmtree(old, ignore_errors=True)
        with self._new_folder(model) as folder:
            yield StagedVersion(folder)

    def add(self, staged: StagedVersion, model: str, version: int, lock: IO[str]) -> None:
        """Let readers see a staged version. `lock`: as for `next_number`, which has returned `version`."""
        _record_number(lock, version)
        versions = self.root / model / VERSIONS_DIR
        versions.mkdir(parents=True, exist_ok=True)
        staged.folder.rename(versions / str(version))
        for changed in (versions, versions.parent, versions.parent.parent):
            sync(changed)

    def sign(self, model: str, version: int, signature: bytes) -> None:
        """Readers see the old signature or the new one, even after a power failure."""
        new = self.root / STAGING / f"{model}.{SIGNATURE_FILE}"
        write(new, signature)
        new.replace(self.files(model, version).folder / SIGNATURE_FILE)

    def state(self, model: str) -> ModelState:
        """Return the state of a model; an empty one if it is unknown."""
        names = self._data(model, ALIASES_FILE)
        history = names.get(HISTORY)
        return ModelState(
            {alias: version for alias, version in names.items() if type(version) is int},
            [version for version in history if type(version) is int] if isinstance(history, list) else [],
            self.versions(model),
            self._data(model, SETTINGS_FILE),
            self._schedule(model),
        )

    def change(self, model: str, edit: Edit) -> ModelState:
        """Let `edit` change the state of a model, and return it; nothing changes if `edit` raises. Others see aliases
        and settings as they were, or as they are then. The files of deleted versions go last.

        Raises `model_not_found` for an invalid name, and `version_in_use` if versions are to be deleted though the
        aliases cannot be read.
        """
        with self._aliases_locked(model):
            before = self.state(model)
            after = deepcopy(before)
            edit(after)
            deleted = [version for version in before.versions if version not in after.versions]
            if deleted:
                self._check_readable(model, before.aliases)
            hidden = [self._hide(model, version) for version in deleted]
            self._write_state(model, before, after)
        for folder in hidden:
            shutil.rmtree(folder, ignore_errors=True)
        return after

    def remove(self, model: str) -> datetime:
        """Hide a model with all its versions, and return when. Its numbers are not used again. Raises
        `model_not_found`."""
        with self._all_locked(model) as lock:
            if not self.versions(model):
                raise unknown(model)
            _record_number(lock, self.next_number(model, lock) - 1)
            with opened_folder(self.root / REMOVED):
                (self.root / REMOVED / model).mkdir(exist_ok=True)
            now = time.time_ns() // 10**6
            move(self.root / model, self.root / REMOVED / model / str(now))
        return datetime.fromtimestamp(now / 1000, UTC)

    def restore(self, model: str, version: int | None = None) -> None:
        """Bring back the model that was removed last, or the one that was removed with `version`.

        Raises `model_exists` if a model has this name, and `model_not_found` if there is nothing to restore.
        """
        with self._all_locked(model):
            removed = restorable(model, self.removals(model), version)
            if (self.root / model).exists():
                raise model_exists(model, self.versions(model), removed)
            move(removed.folder, self.root / model)

    def forget(self, days: int) -> list[str]:
        """Delete for good what was removed more than `days` days ago, and return the names."""
        oldest, forgotten = datetime.now(UTC) - timedelta(days=days), []
        for model in self._removed_models():
            for removed in self.removals(model):
                if removed.removed_at < oldest:
                    self._delete_removed(model, removed)
                    forgotten.append(model)
        return forgotten

    def _removed_models(self) -> list[str]:
        """Return the models that were removed, restorable or not, sorted."""
        with suppress(FileNotFoundError):
            return sorted(filter(valid_name, os.listdir(self.root / REMOVED)))
        return []

    def _delete_removed(self, model: str, removed: RemovedModel) -> None:
        """Delete a removed model for good, unless somebody has restored it meanwhile."""
        hidden = self._hidden(model)
        with self._aliases_locked(model):
            if removed.folder.exists():
                move(removed.folder, hidden)
        shutil.rmtree(hidden, ignore_errors=True)

    def _aliases_locked(self, model: str) -> AbstractContextManager[IO[str]]:
        """Hold the lock of a model's aliases. It is separate from that of publishing, so an alias can move while a
        version is being published. Raises `model_not_found` for an invalid name."""
        if not valid_name(model):
            raise ModelgateError(Code.MODEL_NOT_FOUND, f"{model[:64]!r} cannot be the name of a model")
        # Model names have no dot, so this is not the lock of another model.
        return self.locked(f"{model}.aliases")

    @contextmanager
    def _all_locked(self, model: str) -> Iterator[IO[str]]:
        """Hold the lock of publishing, whose file this yields, and that of the aliases, in this order. Raises
        `model_not_found` for an invalid name."""
        if not valid_name(model):
            raise unknown(model)
        with self.locked(model) as lock, self._aliases_locked(model):
            yield lock

    def _numbers_in_use(self, model: str) -> Iterator[int]:
        """Yield every number of a version that exists, whole or not, was removed, or has an alias."""
        with suppress(FileNotFoundError, NotADirectoryError):
            yield from map(int, filter(str.isdecimal, os.listdir(self.root / model / VERSIONS_DIR)))
        for removal in self.removals(model):
            yield from removal.versions
        yield from self.aliases(model).values()

    def _hide(self, model: str, version: int) -> Path:
        """Hide a version from readers, and return its folder. If this process dies before it has removed that, `sweep`
        does."""
        hidden = self._hidden(model)
        move(self.files(model, version).folder, hidden)
        return hidden

    def _check_readable(self, model: str, aliases: Mapping[str, int]) -> None:
        """Raise `version_in_use` if the aliases cannot be read: then no version may be deleted."""
        if not aliases and (self.root / model / ALIASES_FILE).exists():
            raise ModelgateError(
                Code.VERSION_IN_USE,
                f"the {ALIASES_FILE} of {model!r} cannot be read, so any version may be in use; move an alias first",
                model=model,
            )

    def _write_state(self, model: str, before: ModelState, after: ModelState) -> None:
        settings_change = after.settings != before.settings
        if settings_change:
            self._replace(model, SETTINGS_FILE, after.settings)
        # Readers look at the settings again when the aliases have changed.
        if settings_change or (after.aliases, after.history) != (before.aliases, before.history):
            self._replace(model, ALIASES_FILE, {**after.aliases, **({HISTORY: after.history} if after.history else {})})
        if after.schedule is None and before.schedule is not None:
            (self.root / model / SCHEDULE_FILE).unlink()
        elif after.schedule is not None and after.schedule != before.schedule:
            write(self.root / model / SCHEDULE_FILE, after.schedule)

    def _data(self, model: str, name: str) -> dict[str, Any]:
        """Return the JSON object in a file of the model; an empty one if it is missing, or holds something else."""
        with suppress(FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
            data = json.loads(read_regular(self.root / model / name))
            return data if isinstance(data, dict) else {}
        return {}

    def _schedule(self, model: str) -> bytes | None:
        with suppress(FileNotFoundError, NotADirectoryError):
            return read_regular(self.root / model / SCHEDULE_FILE)
        return None

    def _replace(self, model: str, name: str, data: Mapping[str, Any]) -> None:
        new, old = self.root / STAGING / f"{model}.{name}", self.root / model / name
        text = (json.dumps(data) + "\n").encode()
        try:
            write(new, text)
        except OSError:
            (self.root / STAGING / _RESERVE).unlink(missing_ok=True)
            write(new, text)
        # Readers notice a new file by its modification time, which the system counts in milliseconds.
        at = max(time.time_ns(), old.stat().st_mtime_ns + 1 if old.exists() else 0)
        os.utime(new, ns=(at, at))
        new.replace(old)
        sync(old.parent)

    def _staging(self) -> Path:
        """Make `.staging/` and its reserve if they are missing. Raises OSError if it is a symbolic link."""
        folder = self.root / STAGING
        folder.mkdir(parents=True, exist_ok=True)
        with opened_folder(folder), suppress(OSError):  # the disk may be full already
            reserve = folder / _RESERVE
            if not reserve.exists() or reserve.stat().st_size < _RESERVED:
                write(reserve, os.urandom(_RESERVED))  # a file system may store zeros in no block
        return folder

    def _hidden(self, name: str) -> Path:
        """Return a new path in the staging area. `sweep` removes it unless somebody holds the lock `name`."""
        return self.root / STAGING / f"{name}-{secrets.token_hex(4)}"

    @contextmanager
    def _new_folder(self, name: str, mode: int = 0o777) -> Iterator[Path]:
        """Make a folder in the staging area, and remove it afterwards unless it was moved."""
        # Not mkdtemp: its folders are readable only by their owner.
        folder = self._hidden(name)
        folder.mkdir(mode)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _record_number(lock: IO[str], version: int) -> None:
    lock.write(f"{version}\n")  # at the end: a publisher that dies here takes no earlier number with it
    lock.flush()
    os.fsync(lock.fileno())


def move(folder: Path, target: Path) -> None:
    """Rename a folder, durably."""
    folder.rename(target)
    for changed in {folder.parent, target.parent}:
        sync(changed)
