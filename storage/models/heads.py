"""The head of a model: the object that says what there is of the model, and that each change replaces as a whole."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contract.model.version_files import MANIFEST_FILE, REPORT_DIR, SIGNATURE_FILE
from storage.models.states import ModelState
from storage.objects import FileFacts

LARGEST = 8 * 2**20
"""Bytes of a head at most. A version of a model takes about one thousand."""

WRITES_KEPT = 32
"""Most writes that a head remembers, so that a writer whose answer was lost knows its own."""

_FORMAT = 1
_FILE = re.compile(
    rf"{re.escape(MANIFEST_FILE)}|{re.escape(SIGNATURE_FILE)}|model\.[a-z]{{1,16}}|{REPORT_DIR}/[\w-][\w.-]{{0,99}}",
    re.ASCII,
)

Files = dict[str, FileFacts]
"""The files of a version, by their paths in its folder."""


@dataclass
class Contents:
    """A model as it is, or as it was when it was removed. See `ModelState`."""

    aliases: dict[str, int] = field(default_factory=dict)
    history: list[int] = field(default_factory=list)
    versions: dict[int, Files] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    schedule: str | None = None

    def state(self) -> ModelState:
        """Return a copy that may be changed."""
        schedule = None if self.schedule is None else self.schedule.encode()
        return ModelState({**self.aliases}, [*self.history], sorted(self.versions), {**self.settings}, schedule)

    def become(self, state: ModelState) -> None:
        """Take over what was changed in `state`; versions that it lacks go."""
        self.aliases, self.history, self.settings = state.aliases, state.history, state.settings
        self.versions = {version: files for version, files in self.versions.items() if version in state.versions}
        self.schedule = None if state.schedule is None else state.schedule.decode()


@dataclass
class Head:
    """`last`: the last number that a version was given; deleting never frees one. `removed`: by the milliseconds since
    1970 at which the model was removed; `was_removed`: also if nothing of it is left. `writes`: ids of the last writes.
    """

    last: int = 0
    live: Contents = field(default_factory=Contents)
    removed: dict[int, Contents] = field(default_factory=dict)
    was_removed: bool = False
    writes: list[str] = field(default_factory=list)

    def dumps(self) -> bytes:
        data = {
            "format": _FORMAT,
            "last": self.last,
            "live": _to_json(self.live),
            "removed": {str(at): _to_json(contents) for at, contents in self.removed.items()},
            "was_removed": self.was_removed,
            "writes": self.writes[-WRITES_KEPT:],
        }
        return json.dumps(data, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def loads(cls, text: bytes) -> Head:
        """Raises `ValueError` unless `text` is a head, whose names lead nowhere else."""
        try:
            data = json.loads(text)
            if data["format"] != _FORMAT:
                raise ValueError(f"its format is {data['format']!r:.40}; this release reads {_FORMAT}")
            removed = {_number(at): _contents(contents) for at, contents in data["removed"].items()}
            writes = [str(write) for write in data["writes"]]
            return cls(_count(data["last"]), _contents(data["live"]), removed, bool(data["was_removed"]), writes)
        except (LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"it is no head of a model ({error!r:.80})") from error


def _to_json(contents: Contents) -> dict[str, Any]:
    versions = {
        str(version): {path: [facts.size, facts.sha256] for path, facts in files.items()}
        for version, files in contents.versions.items()
    }
    return {**vars(contents), "versions": versions}


def _contents(data: Mapping[str, Any]) -> Contents:
    aliases, settings, schedule = data["aliases"], data["settings"], data["schedule"]
    if not isinstance(settings, dict) or not isinstance(schedule, str | None):
        raise ValueError("its settings or its schedule are of another type")
    return Contents(
        {alias: _count(version) for alias, version in aliases.items()},
        [_count(version) for version in data["history"]],
        {_number(version): _files(files) for version, files in data["versions"].items()},
        settings,
        schedule,
    )


def _files(data: Mapping[str, Any]) -> Files:
    for path, (size, digest) in data.items():
        if not _FILE.fullmatch(path) or type(size) is not int or not re.fullmatch("[0-9a-f]{64}", digest):
            raise ValueError(f"it names a file {path!r:.80}, which no version has")
    if MANIFEST_FILE not in data:
        raise ValueError("it has a version without a manifest")
    return {path: FileFacts(size, digest) for path, (size, digest) in data.items()}


def _number(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,15}", text):
        raise ValueError(f"{text!r:.40} is no number")
    return int(text)


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r:.40} is no number")
    return value
