"""What the observer remembers about each version, as files beside the log: `<folder>/model=loan/version=3.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from contract.files import read_regular
from observer.log.store import LogStore

VersionKey = tuple[str, int]
"""The name of a model, and the number of its version."""


@dataclass(frozen=True)
class VersionStates:
    """The files in `folder`, a name in that of the log. Methods raise OSError."""

    store: LogStore
    folder: str

    def versions(self) -> list[VersionKey]:
        """Return the versions of which something is remembered."""
        files = (self.store.folder / self.folder).glob("model=*/version=*.json")
        found = ((file.parent.name.removeprefix("model="), file.stem.removeprefix("version=")) for file in files)
        return sorted((model, int(version)) for model, version in found if version.isdecimal())

    def read(self, version: VersionKey) -> Any:
        """Return what is remembered, or None."""
        try:
            return json.loads(read_regular(self.store.folder / self.path(version)))
        except FileNotFoundError:
            return None

    def write(self, version: VersionKey, state: object) -> None:
        with self.store.lock:
            self.store.draft.mkdir(exist_ok=True)  # somebody may have emptied the folder
            (self.store.draft / "state-of-version.json").write_text(json.dumps(state))
            self.store.replace({"state-of-version.json": self.path(version)})

    def remove(self, version: VersionKey) -> None:
        self.store.replace({}, [self.path(version)])

    def path(self, version: VersionKey) -> str:
        """Return the file of a version in the folder of the log."""
        model, number = version
        return f"{self.folder}/model={model}/version={number}.json"
