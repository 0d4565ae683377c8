"""Records the imports that are under way in `.importing`, so that the next process retries them after a crash."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_FILE = ".importing"


@dataclass(frozen=True)
class ImportAttempt:
    """A file that is being imported. `deaths` counts the processes that died during its import; `after` is the last
    version of the model before it."""

    file: str
    stamp: Sequence[int]
    deaths: int
    after: int


class Attempts:
    """The attempts of one process at a time, which holds the lock of the inbox."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def under_way(self) -> Mapping[str, ImportAttempt]:
        """Return the attempts by file. When a process starts, these are those that a dead one has left."""
        try:
            attempts = [ImportAttempt(**entry) for entry in json.loads((self._folder / _FILE).read_bytes())]
        except (OSError, ValueError, TypeError):
            return {}
        return {attempt.file: attempt for attempt in attempts}

    def start(self, file: str, stamp: Sequence[int], after: int) -> ImportAttempt:
        """Record an import before it begins. If a dead process has left an attempt at this very file, it is that one,
        with one death more. Raises OSError."""
        known = self.under_way()
        attempt = ImportAttempt(file, list(stamp), 0, after)
        if file in known and known[file].stamp == attempt.stamp:
            attempt = dataclasses.replace(known[file], deaths=known[file].deaths + 1)
        self._write({**known, file: attempt}.values())
        return attempt

    def keep(self, files: Collection[str]) -> None:
        """Forget the attempts at other files. Raises OSError."""
        kept = [attempt for attempt in self.under_way().values() if attempt.file in files]
        if kept:
            self._write(kept)
        else:
            (self._folder / _FILE).unlink(missing_ok=True)

    def _write(self, attempts: Collection[ImportAttempt]) -> None:
        entries = [dataclasses.asdict(attempt) for attempt in attempts]
        temporary_file(self._folder, json.dumps(entries)).replace(self._folder / _FILE)


def temporary_file(folder: Path, text: str) -> Path:
    """Write a temporary file, which the caller moves to its place, and return its path."""
    part = folder / f"{_FILE}.part"
    part.unlink(missing_ok=True)
    with part.open("x", encoding="utf-8", errors="backslashreplace") as file:  # "x" follows no link
        file.write(text)
    return part
