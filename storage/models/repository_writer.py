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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
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

STAGING, DONE = ".staging", ".done"
SCHEDULE_FILE = "schedule.json"
"""In the folder of a removed model: its schedule, as Redis had it."""
HISTORY = "_history"
"""A key of aliases.json that cannot be an alias."""

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
    """Reads and writes the model repository `root`. Methods that write raise OSError if it cannot be written."""

    def locked(self, name: str, how: int = fcntl.LOCK_EX) -> AbstractContextManager[IO[str]]:
        """Hold the lock `name`, after waiting for other processes. Yields its file, whose content persists. Raises what
        `locked_file` raises."""
        return locked_file(self._staging() / f"{name}.lock", how)

    def aliases_locked(self, model: str) -> AbstractContextManager[IO[str]]:
        """Hold the lock of a model's aliases. Raises `model_not_found` for an invalid name."""
        if not valid_name(model):
            raise ModelgateError(Code.MODEL_NOT_FOUND, f"{model[:64]!r} cannot be the name of a model")
        # Model names have no dot, so this is not the lock of another model.
        return self.locked(f"{model}.aliases")

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

    def numbers_in_use(self, model: str) -> Iterator[int]:
        """Yield every number of a version that exists, whole or not, was removed, or has an alias."""
        with suppress(FileNotFoundError, NotADirectoryError):
            yield from map(int, filter(str.isdecimal, os.listdir(self.root / model / VERSIONS_DIR)))
        for removal in self.removals(model):
            yield from removal.versions
        yield from self.aliases(model).values()

    @contextmanager
    def staged(self, model: str) -> Iterator[StagedVersion]:
        """Create a staging folder, and remove it afterwards unless it was published. Older ones are of dead
        publishers."""
        for old in (self.root / STAGING).glob(f"{model}-*/"):
            if old.name.rpartition("-")[0] == model:
                shutil.rmtree(old, ignore_errors=True)
        with self._new_folder(model) as folder:
            yield StagedVersion(folder)

    def add(self, staged: StagedVersion, model: str, version: int) -> None:
        """Let readers see a staged version."""
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

    def hide(self, model: str, version: int) -> str:
        """Hide a version from readers. Give the name that this returns to `delete`; if this process dies before,
        `sweep` deletes it."""
        hidden = self._hidden(model)
        _move(self.files(model, version).folder, hidden)
        return hidden.name

    def delete(self, hidden: str) -> None:
        shutil.rmtree(self.root / STAGING / hidden, ignore_errors=True)

    def readable_aliases(self, model: str) -> dict[str, int]:
        """Return the aliases. Raises `version_in_use` if they cannot be read: then no version may be deleted."""
        aliases = self.aliases(model)
        if not aliases and (self.root / model / ALIASES_FILE).exists():
            raise ModelgateError(
                Code.VERSION_IN_USE,
                f"the {ALIASES_FILE} of {model!r} cannot be read, so any version may be in use; move an alias first",
                model=model,
            )
        return aliases

    def history(self, model: str) -> list[int]:
        """Return the versions that were current before `previous`, as `write_aliases` got them."""
        try:
            history = json.loads((self.root / model / ALIASES_FILE).read_bytes())[HISTORY]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return []
        return [version for version in history if type(version) is int] if isinstance(history, list) else []

    def write_aliases(self, model: str, aliases: Mapping[str, int], history: Sequence[int] = ()) -> None:
        self._replace(model, ALIASES_FILE, {**aliases, **({HISTORY: history} if history else {})})

    def write_settings(self, model: str, settings: Mapping[str, Any]) -> None:
        self._replace(model, SETTINGS_FILE, settings)

    def exists(self, model: str) -> bool:
        """Return whether there is anything of this name, even if it has no version."""
        return (self.root / model).exists()

    def remove(self, model: str) -> datetime:
        """Hide a model, and return when."""
        with opened_folder(self.root / REMOVED):
            (self.root / REMOVED / model).mkdir(exist_ok=True)
        now = time.time_ns() // 10**6
        _move(self.root / model, self.root / REMOVED / model / str(now))
        return datetime.fromtimestamp(now / 1000, UTC)

    def restore(self, model: str, removed: RemovedModel) -> None:
        _move(removed.folder, self.root / model)

    def removed_models(self) -> list[str]:
        """Return the models that were removed, restorable or not, sorted."""
        with suppress(FileNotFoundError):
            return sorted(filter(valid_name, os.listdir(self.root / REMOVED)))
        return []

    def delete_removed(self, model: str, removed: RemovedModel) -> None:
        """Delete a removed model for good, unless somebody has restored it meanwhile."""
        hidden = self._hidden(model)
        with self.aliases_locked(model):
            if removed.folder.exists():
                _move(removed.folder, hidden)
        shutil.rmtree(hidden, ignore_errors=True)

    def write_schedule(self, model: str, schedule: bytes) -> None:
        """Put a schedule beside the versions of a model that is about to be removed."""
        write(self.root / model / SCHEDULE_FILE, schedule)

    def schedule(self, model: str) -> bytes | None:
        """Return the schedule that a restored model had, or None."""
        with suppress(FileNotFoundError):
            return read_regular(self.root / model / SCHEDULE_FILE)
        return None

    def delete_schedule(self, model: str) -> None:
        (self.root / model / SCHEDULE_FILE).unlink()

    def _replace(self, model: str, name: str, data: Mapping[str, Any]) -> None:
        new, old = self.root / STAGING / f"{model}.{name}", self.root / model / name
        write(new, (json.dumps(data) + "\n").encode())
        # Readers notice a new file by its modification time, which the system counts in milliseconds.
        at = max(time.time_ns(), old.stat().st_mtime_ns + 1 if old.exists() else 0)
        os.utime(new, ns=(at, at))
        new.replace(old)
        sync(old.parent)

    def _staging(self) -> Path:
        """Make `.staging/` if it is missing. Raises OSError if it is a symbolic link."""
        folder = self.root / STAGING
        folder.mkdir(parents=True, exist_ok=True)
        with opened_folder(folder):
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


class DoneJobs:
    """The ids of jobs that have run, so that a signed job runs only once, even if it is queued again.

    They are the names of empty files in `.done/` of the model repository, which only trainers write.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / DONE

    def __contains__(self, job_id: object) -> bool:
        return (self._folder / str(job_id)).exists()

    def add(self, job_id: str) -> None:
        """Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / job_id).touch()
        sync(self._folder)

    def sweep(self, seconds: float) -> None:
        """Remove the ids of jobs that ran longer than so many seconds ago."""
        with suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                if time.time() - path.stat().st_mtime > seconds:
                    path.unlink(missing_ok=True)


def _move(folder: Path, target: Path) -> None:
    folder.rename(target)
    for changed in {folder.parent, target.parent}:
        sync(changed)
