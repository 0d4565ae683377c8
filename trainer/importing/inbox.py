"""`inbox/` in the model repository: whatever model file is dropped there is published and made `current`.

    inbox/loan.pkl, inbox/loan.csv     waits until it has not changed between two looks, and is then imported as `loan`
    inbox/loan.pkl.sig                 its signature, where imports have to be signed
    inbox/done/loan@3.pkl, loan@3.csv  what has become version 3 of `loan`; nobody needs it any more
    inbox/rejected/loan.pkl            what could not be published, and beside it loan.pkl.reason.txt

A file that is being imported stays where it is until its version is there, and `.importing` says that it is its turn:
after a crash the next process retries, and finds the version if it is there; the third crash rejects the file.

Other users may write there. What is moved or written stays in these folders, even if one of them becomes a link.
"""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import json
import logging
import os
import select
import signal
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from broker.connection import connect
from contract.errors import ModelgateError
from contract.manifest import ModelManifest
from contract.repository import CURRENT, Repository
from contract.settings import Settings
from runtime import logs
from trainer.importing import Refused
from trainer.importing.imports import import_file, imported_before, model_name, stem
from trainer.importing.signatures import SUFFIX
from trainer.processes import hide_memory
from trainer.publishing import promotion
from trainer.publishing.disk import no_link, opened_folder

EVERY = 2.0
"""Seconds between two looks."""

INBOX, DONE, REJECTED, REASON = "inbox", "done", "rejected", ".reason.txt"
DEATHS = 3
"""That often a file is tried when whoever tries it is killed."""

_TURN = ".importing"
_SAMPLE = ".csv"
_HALF_WRITTEN = (".part", ".tmp", ".partial", ".crdownload", ".filepart", "~")
_MOST_NAME = 200
"""Bytes of a name that can still be added to; a file system takes 255."""

_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class _Turn:
    """The file that is being imported; `deaths` counts those who were killed at it, `after` is the model's last version
    before it."""

    file: str
    stamp: Sequence[int]
    deaths: int
    after: int


class Inbox:
    """The folder `inbox/`. Call `import_files()` every `EVERY` seconds.

    `promote` is called with each new version, `log` with each line of the log. Several processes may watch one inbox: a
    lock lets one at a time import.
    """

    def __init__(self, settings: Settings, promote: promotion.Promote, log: Callable[[str], None]) -> None:
        self._settings = settings
        self._folder = settings.models_dir / INBOX
        self._promote = promote
        self._log = log
        self._before: dict[str, _Stamp] = {}
        self._stuck: dict[str, _Stamp] = {}

    def import_files(self) -> None:
        """Imports all files that are whole. Raises OSError when the inbox cannot be read or made."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._alone() as alone:
            if not alone:
                return
            for name in self._whole():
                try:
                    self._take(name)
                except FileNotFoundError:
                    self._log(f"inbox: {name!r} has been taken away")
                except Exception as error:
                    # A folder that cannot be written, most likely: said once, and tried again when the file changes.
                    self._stuck[name] = self._before.get(name, (0, 0, 0))
                    why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
                    self._log(f"inbox: {name!r} can be neither imported nor moved away: {why}")
                # Not where this process is told to stop: the next one has to know.
                (self._folder / _TURN).unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        with open(self._folder / ".lock", "a", opener=no_link) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def _whole(self) -> list[str]:
        """Return the models that have not changed since the last look, without samples and signatures; files that were
        begun come first."""
        now = self._stamps()
        same = {name for name, stamp in now.items() if self._before.get(name) == stamp}
        self._before = now
        self._stuck = {name: stamp for name, stamp in self._stuck.items() if now.get(name) == stamp}
        # A model whose sample or signature is still being written waits for it.
        found = [
            name
            for name in same - self._stuck.keys()
            if not _lies_beside(name) and {*self._beside(name)} <= {None, *same}
        ]
        turn = self._turn()
        return sorted(found, key=lambda name: (turn is None or name != turn.file, name))

    def _stamps(self) -> dict[str, _Stamp]:
        stamps = {}
        for name in os.listdir(self._folder):
            if name.startswith(".") or name.lower().endswith(_HALF_WRITTEN) or name in (DONE, REJECTED):
                continue
            with suppress(FileNotFoundError):
                stamps[name] = _stamp(self._folder / name)
        return stamps

    def _sample_of(self, name: str) -> str | None:
        wanted = f"{stem(name)}{_SAMPLE}".lower()
        return next((other for other in self._before if other.lower() == wanted), None)

    def _signature_of(self, name: str) -> str | None:
        wanted = f"{name}{SUFFIX}"
        return wanted if wanted in self._before else None

    def _beside(self, name: str) -> tuple[str | None, str | None]:
        """The sample and the signature of a model's file."""
        return self._sample_of(name), self._signature_of(name)

    def _take(self, name: str) -> None:
        """Imports one file, or says why not, and moves it away. Raises OSError."""
        path, (sample, signature) = self._folder / name, self._beside(name)
        try:
            model = _model_of(path)
            turn = self._begin(name, model)
            manifest = self._imported(turn, model, path, sample, signature)
        except (Refused, ModelgateError) as refused:
            reason = str(refused) if isinstance(refused, ModelgateError) else f"{name!r} {refused}"
            self._reject(name, sample, signature, reason)
        else:
            self._finish(turn, manifest, sample, signature)

    def _begin(self, name: str, model: str) -> _Turn:
        """Writes down whose turn it is. Raises `Refused` when too many have died of it."""
        stamp, known = list(_stamp(self._folder / name)), self._turn()
        if known and (known.file, known.stamp) == (name, stamp):
            turn = dataclasses.replace(known, deaths=known.deaths + 1)
            if turn.deaths >= DEATHS:
                raise Refused(f"was being imported {DEATHS} times when the trainer was killed; see the trainer's log")
        else:
            turn = _Turn(name, stamp, 0, max([0, *Repository(self._settings.models_dir).versions(model)]))
        self._written(json.dumps(dataclasses.asdict(turn))).replace(self._folder / _TURN)
        return turn

    def _turn(self) -> _Turn | None:
        try:
            return _Turn(**json.loads((self._folder / _TURN).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def _imported(
        self, turn: _Turn, model: str, path: Path, sample: str | None, signature: str | None
    ) -> ModelManifest:
        root = self._settings.models_dir
        known = imported_before(root, model, path, turn.after) if turn.deaths else None
        rows, signed = (self._folder / name if name else None for name in (sample, signature))
        return known or import_file(self._settings, model, path, rows, signed)

    def _finish(self, turn: _Turn, manifest: ModelManifest, sample: str | None, signature: str | None) -> None:
        made = f"version {manifest.version} of {manifest.name!r}"
        for warning in manifest.warnings:
            self._log(f"inbox: {turn.file!r}: {warning}")
        try:
            remark = self._promote(manifest.name, manifest.version, CURRENT)
            self._log(f"inbox: {turn.file!r} is {made} and serves" + (f" ({remark})" if remark else ""))
        except Exception as error:
            self._log(f"inbox: {turn.file!r} is {made}, but it is not made {CURRENT}: {error}")
        if list(_stamp(self._folder / turn.file)) == list(turn.stamp):
            called = f"{manifest.name}@{manifest.version}"
            place = self._move(turn.file, DONE, called + turn.file[len(stem(turn.file) or "") :])
            if signature:
                self._move(signature, DONE, f"{place}{SUFFIX}")
            if sample:
                self._move_sample(sample, DONE, called + _SAMPLE)

    def _reject(self, name: str, sample: str | None, signature: str | None, reason: str) -> None:
        self._log(f"inbox: rejected: {reason}")
        place = self._move(name, REJECTED, name)
        with opened_folder(self._folder / REJECTED) as target:
            os.replace(self._written(f"{reason}\n"), f"{place}{REASON}", dst_dir_fd=target)
        if signature:
            self._move(signature, REJECTED, f"{place}{SUFFIX}")
        if sample:
            self._move_sample(sample, REJECTED, sample)

    def _move_sample(self, sample: str, folder: str, wanted: str) -> None:
        """Unless another model waits that is to be tried with it, too: it goes with the last one."""
        if not any(self._sample_of(name) == sample for name in os.listdir(self._folder)):
            self._move(sample, folder, wanted)

    def _move(self, name: str, folder: str, wanted: str) -> str:
        """Its new name, which is another one than `wanted` where that is taken: nothing is ever overwritten."""
        with opened_folder(self._folder / folder) as target:
            taken = set(os.listdir(target))
            wanted = _shortened(wanted)
            new, number = wanted, 1
            while new in taken:
                number += 1
                new = f"{number}-{wanted}"
            os.rename(self._folder / name, new, dst_dir_fd=target)
        return new

    def _written(self, text: str) -> Path:
        """Write a file that is to be moved to its place, and return its path."""
        part = self._folder / f"{_TURN}.part"
        part.unlink(missing_ok=True)
        with part.open("x", encoding="utf-8", errors="backslashreplace") as file:  # "x" follows no link
            file.write(text)
        return part


def watch(inbox: Inbox, stop_requested: Callable[[float], bool], log: Callable[[str], None]) -> None:
    """Import files until `stop_requested`, which waits for the given seconds, returns True."""
    last = ""
    while not stop_requested(EVERY):
        try:
            inbox.import_files()
            last = ""
        except OSError as error:
            if str(error) != last:
                log(f"inbox: it cannot be read: {error}")
            last = str(error)


def main() -> None:
    """Watch the inbox until stdin closes or a signal arrives. The next start retries an interrupted import."""
    hide_memory()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    logs.configure("trainer", sys.stdout)
    log = logging.getLogger("trainer").info
    settings = Settings.from_environ()
    promote = functools.partial(
        promotion.promote, settings, connect(settings.redis_url) if settings.redis_url else None
    )
    watch(
        Inbox(settings, promote, log),
        lambda seconds: bool(select.select([sys.stdin], [], [], seconds)[0]),
        log,
    )


def _model_of(path: Path) -> str:
    """The name of the model that the file becomes. Raises `Refused`."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        raise Refused("is a symbolic link; put the file itself into the inbox")
    if not stat.S_ISREG(mode):
        raise Refused("is no file (a folder, a pipe or a device); put a file into the inbox")
    if stem(path.name) is None:
        raise Refused("does not end in .pkl, .pickle, .joblib, .cloudpickle or .skops, so it is taken for no model")
    return model_name(path.name)


def _lies_beside(name: str) -> bool:
    """Return whether it is the sample or the signature of a model's file."""
    return name.lower().endswith((_SAMPLE, SUFFIX))


def _stamp(path: Path) -> _Stamp:
    found = path.lstat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _shortened(name: str) -> str:
    """The same name, or the end of one to which nothing could be added."""
    raw = os.fsencode(name)
    return name if len(raw) <= _MOST_NAME else os.fsdecode(raw[-_MOST_NAME:].lstrip(b"."))


if __name__ == "__main__":
    main()
