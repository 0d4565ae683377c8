"""A copy of the log in an object store, which outlives the folder. Its paths are those of the folder.

    state.json    the last change that is here; `removes` names the objects that are no part of this log, or not yet

A round sends new files, then `state.json`, then deletes what that removes. Until then `state.json` removes the new
files. So at each moment what it leaves is the log of one moment; only the states of watches and `deletions.json` may be
those of the next round. Only the observer that has last written `state.json` may write it again.
"""

from __future__ import annotations

import dataclasses
import logging
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Self

from contract.settings import Settings
from observer.log.store import STATE, Change, InUse, LogStore
from storage.disk import StoreError
from storage.objects import Conflict, Objects, Tag

log = logging.getLogger("observer")

_FILE = re.compile(
    r"deletions\.json|[a-z]+/model=[a-z0-9_-]+/"
    r"(version=[0-9]+\.json|(version=[0-9]+/)?day=[0-9]{4}-[0-9]{2}-[0-9]{2}/[0-9.-]+\.parquet)"
)
"""The files of a log. What else there is at the URL stays as it is."""

_LARGEST_STATE = 2**26
_UNKNOWN = -1


class LogBucket:
    """The copy of `store` in `objects`. Methods raise OSError (`StoreError`), and `InUse` if it is the copy of another
    folder."""

    def __init__(self, store: LogStore, objects: Objects) -> None:
        self._store, self._objects = store, objects
        self._state: Change | None = None
        """What `state.json` says. None: it has to be read, or there is none."""
        self._tag: Tag | None = None
        self._there: dict[str, int] = {}
        """The objects, each with the time of the file that was sent; 0 for Parquet, which never changes."""

    @classmethod
    def at(cls, settings: Settings, store: LogStore) -> Self:
        """Raises `SettingsError`."""
        return cls(store, Objects.at("PREDICTION_LOG_URL", settings.prediction_log_url, settings.store_options_file))

    def fetch(self) -> bool:
        """Fill a log without a change with what is in the store, and take the copy over. Returns whether there was one.
        Another observer that still writes it is an OSError, too."""
        if self._store.last.number or not (state := self._read()):
            return False
        state = dataclasses.replace(state, folder=uuid.uuid4().hex)
        try:
            self._write(state, state.removes)
        except Conflict:
            raise StoreError(f"{self._objects.url} was written by another observer meanwhile") from None
        moves: dict[str, str] = {}
        with self._store.database():  # if something cannot be fetched, nothing stays
            for key in self._keys():
                if key not in state.removes:
                    name = f"{len(moves)}.fetched"
                    self._objects.download(key, self._store.draft / name)
                    moves[name] = key
            # Redis has counted the rows of the last change.
            self._store.change(dataclasses.replace(state, moves=moves, removes=[], size=0, rows=[]))
        self._state = None
        log.info("the prediction log was fetched from %s: %d files", self._objects.url, len(moves))
        return True

    def copy(self, may_go_on: Callable[[], bool]) -> bool:
        """Make the store as the log is, while that is allowed; the next round does the rest. Returns whether there was
        anything to do."""
        with self._store.lock:
            self._store.settle()
            if not self._store.last.number:
                return False
            state, files = self._store.saved(), self._files()
        try:
            if self._state is None or self._state.folder != state.folder:
                self._begin(state)
            return self._round(state, files, may_go_on)
        except Conflict:  # another observer has taken the copy over, or an answer was lost: the next round asks
            self._state = None
            return True

    def _begin(self, state: Change) -> None:
        """Learn what is in the store."""
        there = self._read()
        if there and there.folder != state.folder:
            raise InUse(f"{self._objects.url} has the log of another folder; start with an empty one to go on with it")
        left_out = there.removes if there else []
        self._there = {key: _UNKNOWN if key in left_out or not _lasts(key) else 0 for key in self._keys()}
        self._state = there

    def _round(self, state: Change, files: Mapping[str, int], may_go_on: Callable[[], bool]) -> bool:
        new = sorted(key for key, time in files.items() if self._there.get(key) != time)  # deletions.json is the first
        gone = sorted(self._there.keys() - files.keys())
        left_out = self._state.removes if self._state else []
        if not (new or gone or left_out):
            return False
        self._write(self._state or state, {*left_out, *filter(_lasts, new)})
        for key in new:
            if not may_go_on():
                return True
            try:
                self._objects.write(key, self._store.folder / key)
            except FileNotFoundError:  # replaced meanwhile: the next round has what is there instead
                return True
            self._there[key] = files[key]
        self._write(state, gone)
        self._objects.delete(gone)
        self._state = dataclasses.replace(state, removes=[])
        for key in gone:
            del self._there[key]
        return True

    def _files(self) -> dict[str, int]:
        """Return the files of the log, as `_there` has them."""
        folder = self._store.folder
        paths = {self._store.relative(path): path for path in (*folder.glob("*.json"), *folder.glob("[a-z]*/**/*.*"))}
        return {
            key: 0 if _lasts(key) else path.stat().st_mtime_ns for key, path in paths.items() if _FILE.fullmatch(key)
        }

    def _keys(self) -> list[str]:
        return [entry.key for entry in self._objects.entries("") if _FILE.fullmatch(entry.key)]

    def _read(self) -> Change | None:
        try:
            text, self._tag = self._objects.read(STATE, _LARGEST_STATE)
        except FileNotFoundError:
            self._tag = None
            return None
        try:
            return Change.from_json(text)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(f"{STATE} of {self._objects.url} is damaged: {error}") from None

    def _write(self, state: Change, removes: Iterable[str]) -> None:
        """Raises `Conflict` if somebody else has written since."""
        state = dataclasses.replace(state, moves={}, removes=sorted(removes))
        text = state.to_json()
        self._tag = self._objects.replace(STATE, text, self._tag) if self._tag else self._objects.create(STATE, text)
        self._state = state


def _lasts(key: str) -> bool:
    """Whether a file never changes under its name."""
    return key.endswith(".parquet")
