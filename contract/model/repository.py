"""Reads the model repository: the only module that knows where what readers see is in it.

`storage/models/repository_writer.py` writes it.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from contract.errors import Code, ModelgateError, version_error
from contract.files import read_regular
from contract.model.about import AboutEdit, history_of
from contract.model.manifest import ModelManifest, P, VersionSummary
from contract.model.model_settings import ModelSettings
from contract.model.version_files import VersionFiles

T = TypeVar("T")

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
RESERVED = frozenset({"inbox"})
CURRENT, PREVIOUS = "current", "previous"
ALIASES_FILE, VERSIONS_DIR = "aliases.json", "versions"
REMOVED = ".removed"
"""The folder of removed models: `.removed/loan/<milliseconds since 1970>/` is what was `loan/`. It stays, empty, once
nothing is left to restore."""
SETTINGS_FILE = "settings.json"
"""Beside aliases.json (`contract.model.model_settings`); absent while nobody has changed a setting."""

_REMOVAL = re.compile(r"[1-9][0-9]{12}")
_MAX_MANIFESTS, _MAX_SUMMARIES = 2_000, 10_000
"""Most manifests and summaries that one `Repository` caches. Those of a small model take 15 KB and 2 KB."""


@dataclass(frozen=True)
class RemovedModel:
    """A model as it was when it was removed."""

    folder: Path
    removed_at: datetime
    versions: list[int]


class NotInRepository(LookupError):
    """The model, version or alias does not exist; the message lists those that do."""


def valid_name(name: str) -> bool:
    """Whether `name` is a valid name of a model."""
    return NAME.fullmatch(name) is not None and name not in RESERVED


def valid_alias(alias: str) -> bool:
    """Whether `alias` is a valid alias. A number is not one, because `loan@2` is version 2."""
    return NAME.fullmatch(alias) is not None and not alias.isdigit()


def alias_in(reference: str) -> str | None:
    """Return the alias that `loan` or `loan@canary` asks for; None for `loan@3`."""
    _, at, wanted = reference.partition("@")
    if not at:
        return CURRENT
    return None if wanted.isdigit() else wanted


class Repository:
    """Reads `root`. Versions never change, so it caches manifests. It reads aliases again when their file changes.

    While `root` cannot be read (its file system is away, no file descriptor is free), it returns what it read before.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._manifests: dict[tuple[str, int], ModelManifest] = {}
        self._summaries: dict[tuple[str, int], VersionSummary] = {}
        self._flaws: dict[tuple[str, int], str] = {}
        self._aliases: dict[str, tuple[tuple[int, int, int], dict[str, int]]] = {}
        self._settings: dict[str, ModelSettings] = {}

    def names(self) -> list[str]:
        """Return the models that have a `current` version, sorted."""
        return [name for name in self._model_folders() if CURRENT in self.aliases(name)]

    def all_names(self) -> list[str]:
        """Return the models, also those without a `current` version, sorted."""
        return [name for name in self._model_folders() if CURRENT in self.aliases(name) or self.versions(name)]

    def _model_folders(self) -> list[str]:
        try:
            with os.scandir(self.root) as entries:
                return sorted(entry.name for entry in entries if valid_name(entry.name) and entry.is_dir())
        except FileNotFoundError:
            return []
        except OSError:
            return sorted(self._aliases)

    def files(self, name: str, version: int) -> VersionFiles:
        return VersionFiles(self.root / name / VERSIONS_DIR / str(version))

    def all_files(self) -> list[Path]:
        """Return the files of all models, of removed ones too, with the aliases before the versions: in a copy that is
        made in this order while models are published, no alias names a version that is missing."""
        aliases = [*self.root.glob(f"*/{ALIASES_FILE}"), *self.root.glob(f"{REMOVED}/*/*/{ALIASES_FILE}")]
        others = [path for file in aliases for path in file.parent.rglob("*") if path.is_file() and path != file]
        return [*aliases, *others]

    def versions(self, name: str) -> list[int]:
        """Return the published versions of a model, ascending; empty for an unknown model."""
        return _versions_in(self.root / name) if valid_name(name) else []

    def newest(self, name: str) -> int:
        """Return the newest published version of a model; 0 for an unknown model."""
        return next(_newest_first(self.root / name), 0) if valid_name(name) else 0

    def removals(self, name: str) -> list[RemovedModel]:
        """Return what can be restored of a model, the last removal first. Each has other versions."""
        try:
            entries = os.listdir(self.root / REMOVED / name) if valid_name(name) else []
        except OSError:
            return []
        folders = [(int(entry), self.root / REMOVED / name / entry) for entry in entries if _REMOVAL.fullmatch(entry)]
        return [
            RemovedModel(folder, datetime.fromtimestamp(at / 1000, UTC), _versions_in(folder))
            for at, folder in sorted(folders, reverse=True)
        ]

    def was_removed(self, name: str) -> bool:
        """Whether the model was removed, and neither restored nor published again. So it stays once its removal is
        older than `KEEP_DAYS`."""
        return valid_name(name) and not self.versions(name) and (self.root / REMOVED / name).is_dir()

    def count_versions(self, name: str) -> int:
        """Return about how many versions a model has: one that is being deleted counts."""
        try:
            return sum(map(_is_version, os.listdir(self.root / name / VERSIONS_DIR)))
        except OSError:
            return 0

    def aliases(self, name: str) -> dict[str, int]:
        """Return the version of each alias; empty if there are none, or the file cannot be parsed."""
        if not valid_name(name):
            return {}
        path = f"{self.root}/{name}/{ALIASES_FILE}"  # runs with every request, and a Path costs more than stat
        try:
            stat = os.stat(path)  # noqa: PTH116
            stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            known = self._aliases.get(name)
            if known and known[0] == stamp:
                return known[1]
            self._settings.pop(name, None)
            data = json.loads(read_regular(path))
        except (FileNotFoundError, ValueError, RecursionError):
            self._settings.pop(name, None)
            return {}
        except OSError:
            return self._aliases[name][1] if name in self._aliases else {}
        aliases = {k: v for k, v in data.items() if type(v) is int} if isinstance(data, dict) else {}
        self._aliases[name] = (stamp, aliases)
        return aliases

    def settings(self, name: str) -> ModelSettings:
        """Return the settings of a model, as they were at the last call of `aliases` or `resolve` for it: each change
        of settings writes the aliases anew, so a request looks at one file."""
        known = self._settings.get(name)
        if known is None:
            try:
                known = ModelSettings.from_json(_read_settings(self._folder(name)))
            except OSError:
                return ModelSettings()
            self._settings[name] = known
        return known

    def about_history(self, name: str) -> Sequence[AboutEdit]:
        """Return how people edited what they say of a model, the newest edit first. It is not cached, because texts of
        many models would fill the memory. Raises OSError."""
        return history_of(_read_settings(self._folder(name)))

    def in_use(self, name: str) -> list[int]:
        """Return the versions that aliases name, and the candidate of the experiment that runs."""
        named, experiment = list(self.aliases(name).values()), self.settings(name).experiment
        return [*named, experiment.candidate] if experiment else named

    def resolve(self, reference: str) -> tuple[str, int]:
        """Return the name and the version of `loan`, `loan@3` or `loan@canary`. Raises `NotInRepository`."""
        name, at, wanted = reference.partition("@")
        aliases = self.aliases(name)
        if not at and CURRENT in aliases:
            return name, aliases[CURRENT]
        if wanted in aliases:
            return name, aliases[wanted]
        if _is_version(wanted) and self.has_version(name, int(wanted)):
            return name, int(wanted)
        if not aliases and not self.versions(name):
            raise NotInRepository(f"there is no model {name!r}")
        if not at:
            raise NotInRepository(f"the model {name!r} has no current version")
        raise NotInRepository(
            f"the model {name!r} has no version or alias {wanted!r}; it has "
            + ", ".join([*map(str, self.versions(name)), *sorted(aliases)])
        )

    def has_version(self, name: str, version: int) -> bool:
        return valid_name(name) and self.files(name, version).exist()

    def manifest(self, name: str, version: int) -> ModelManifest:
        """Return the manifest from the cache, or read it. The cache keeps versions that have been deleted."""
        return _kept(self._manifests, _MAX_MANIFESTS, (name, version), self.read_manifest)

    def summary(self, name: str, version: int) -> VersionSummary:
        """Return the summary of a version as `manifest` returns its manifest."""
        return _kept(self._summaries, _MAX_SUMMARIES, (name, version), partial(self._read, part=VersionSummary))

    def flaw(self, name: str, version: int) -> str:
        """Return the verdict of a version's report if it is a bad one, else ''. It is read once."""
        return _kept(self._flaws, _MAX_SUMMARIES, (name, version), self._read_flaw)

    def _read_flaw(self, name: str, version: int) -> str:
        facts = self.files(name, version).report_facts() or {}
        return str(facts["verdict"]) if facts.get("level") == "bad" else ""

    def read_ahead(self) -> None:
        """Read the summaries and flaws of all current versions, so that the first list of a thousand models takes no
        second."""
        for name in self._model_folders():
            version = self.aliases(name).get(CURRENT)
            with suppress(ModelgateError):
                if version is not None:
                    self.summary(name, version)
                    self.flaw(name, version)
            time.sleep(0)  # requests go on meanwhile

    def read_manifest(self, name: str, version: int) -> ModelManifest:
        """Read the manifest. Raises `ModelgateError`: `model_not_found`, or `manifest_invalid` with the cause."""
        return self._read(name, version, ModelManifest)

    def _read(self, name: str, version: int, part: type[P]) -> P:
        try:
            text = self.files(name, version).manifest()
        except OSError as error:
            raise not_in_repository(name, version) from error
        try:
            manifest = part.loads(text)
        except ModelgateError as error:
            raise version_error(error.failure.code, name, version, f"cannot be used: {error}") from error
        if (manifest.name, manifest.version) != (name, version):
            what = f"cannot be used: its manifest is of {manifest.name!r} version {manifest.version}"
            raise version_error(Code.MANIFEST_INVALID, name, version, what)
        return manifest

    def _folder(self, name: str) -> Path:
        return self.root / name


class RepositoryWithRemoved(Repository):
    """The model repository with the versions of removed models: jobs that were accepted may still name them, and no
    other version ever has the same number."""

    def files(self, name: str, version: int) -> VersionFiles:
        files = super().files(name, version)
        if files.folder.exists():
            return files
        kept = (removed.folder for removed in self.removals(name) if version in removed.versions)
        return next((VersionFiles(model / VERSIONS_DIR / str(version)) for model in kept), files)

    def _folder(self, name: str) -> Path:
        folder = super()._folder(name)
        removals = [] if folder.exists() else self.removals(name)
        return removals[0].folder if removals else folder


def _kept(cache: dict[tuple[str, int], T], most: int, key: tuple[str, int], read: Callable[[str, int], T]) -> T:
    """Return what the cache has, or read it: then what was read first gives way if the cache has `most`."""
    value = cache.get(key)
    if value is None:
        if len(cache) >= most:
            cache.pop(next(iter(cache)), None)  # another thread may have been faster
        value = cache[key] = read(*key)
    return value


def _read_settings(folder: Path) -> Mapping[str, Any]:
    try:
        settings = json.loads(read_regular(folder / SETTINGS_FILE))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}


def not_in_repository(name: str, version: int) -> ModelgateError:
    """Return the error for a version that does not exist, or no longer does (`model_not_found`)."""
    return version_error(Code.MODEL_NOT_FOUND, name, version, "is not in the model repository")


def _versions_in(folder: Path) -> list[int]:
    """Return the published versions in the folder of a model, ascending."""
    return [*_newest_first(folder)][::-1]


def _newest_first(folder: Path) -> Iterator[int]:
    try:
        numbers = [int(entry) for entry in os.listdir(folder / VERSIONS_DIR) if _is_version(entry)]
    except OSError:
        return
    for number in sorted(numbers, reverse=True):
        if VersionFiles(folder / VERSIONS_DIR / str(number)).exist():
            yield number


def _is_version(text: str) -> bool:
    return text.isascii() and text.isdigit() and not text.startswith("0") and len(text) < 10
