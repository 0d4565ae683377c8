"""`inbox/` in the model repository: the trainer publishes each model file in it and makes it `current`.

    inbox/loan.pkl, inbox/loan.csv     imported as `loan` once both are unchanged between two checks
    inbox/loan.pkl.sig                 its signature, if imports must be signed
    inbox/done/loan@3.pkl, loan@3.csv  imported as version 3 of `loan`; may be deleted
    inbox/rejected/loan.pkl            could not be published; loan.pkl.reason.txt says why

A file stays in place until its version is published, and `.importing` names it meanwhile. After a crash the next
process retries, unless the version exists already; the third crash rejects the file.

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
"""Seconds between two checks."""

INBOX, DONE, REJECTED, REASON = "inbox", "done", "rejected", ".reason.txt"
DEATHS = 3
"""A file is rejected after this many crashes during its import."""

_ATTEMPT_FILE = ".importing"
_SAMPLE = ".csv"
_HALF_WRITTEN = (".part", ".tmp", ".partial", ".crdownload", ".filepart", "~")
_MOST_NAME = 200
"""Most bytes of a file name before a prefix or suffix is added; file systems allow 255."""

_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class _Attempt:
    """The file that is being imported. `deaths` counts the processes that died during its import; `after` is the last
    version of the model before it."""

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
        self._last_seen: dict[str, _Stamp] = {}
        self._failed: dict[str, _Stamp] = {}

    def import_files(self) -> None:
        """Import all files that are complete. Raises OSError if the inbox cannot be read or created."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._locked() as locked:
            if not locked:
                return
            for name in self._complete_files():
                try:
                    self._import_file(name)
                except FileNotFoundError:
                    self._log(f"inbox: {name!r} was removed")
                except Exception as error:
                    # Probably a folder without write permission. Log it once, and retry when the file changes.
                    self._failed[name] = self._last_seen.get(name, (0, 0, 0))
                    why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
                    self._log(f"inbox: {name!r} can neither be imported nor moved away: {why}")
                # Not in a `finally`: after a crash the next process needs this file.
                (self._folder / _ATTEMPT_FILE).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        with open(self._folder / ".lock", "a", opener=no_link) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def _complete_files(self) -> list[str]:
        """Return the model files that have not changed since the last check; a file of an interrupted import comes
        first."""
        now = self._stamps()
        same = {name for name, stamp in now.items() if self._last_seen.get(name) == stamp}
        self._last_seen = now
        self._failed = {name: stamp for name, stamp in self._failed.items() if now.get(name) == stamp}
        # A model waits while its sample or signature is still being written.
        found = [
            name
            for name in same - self._failed.keys()
            if not _is_companion(name) and {*self._companions(name)} <= {None, *same}
        ]
        attempt = self._read_attempt()
        return sorted(found, key=lambda name: (attempt is None or name != attempt.file, name))

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
        return next((other for other in self._last_seen if other.lower() == wanted), None)

    def _signature_of(self, name: str) -> str | None:
        wanted = f"{name}{SUFFIX}"
        return wanted if wanted in self._last_seen else None

    def _companions(self, name: str) -> tuple[str | None, str | None]:
        """Return the names of the sample and of the signature of a model file."""
        return self._sample_of(name), self._signature_of(name)

    def _import_file(self, name: str) -> None:
        """Import or reject one file, and move it away. Raises OSError."""
        path, (sample, signature) = self._folder / name, self._companions(name)
        try:
            model = _model_of(path)
            attempt = self._start(name, model)
            manifest = self._publish(attempt, model, path, sample, signature)
        except (Refused, ModelgateError) as refused:
            reason = str(refused) if isinstance(refused, ModelgateError) else f"{name!r} {refused}"
            self._reject(name, sample, signature, reason)
        else:
            self._finish(attempt, manifest, sample, signature)

    def _start(self, name: str, model: str) -> _Attempt:
        """Record the import of a file before it begins. Raises `Refused` after too many crashes."""
        stamp, known = list(_stamp(self._folder / name)), self._read_attempt()
        if known and (known.file, known.stamp) == (name, stamp):
            attempt = dataclasses.replace(known, deaths=known.deaths + 1)
            if attempt.deaths >= DEATHS:
                raise Refused(f"crashed the trainer during {DEATHS} imports; see the trainer's log")
        else:
            attempt = _Attempt(name, stamp, 0, max([0, *Repository(self._settings.models_dir).versions(model)]))
        self._temporary_file(json.dumps(dataclasses.asdict(attempt))).replace(self._folder / _ATTEMPT_FILE)
        return attempt

    def _read_attempt(self) -> _Attempt | None:
        try:
            return _Attempt(**json.loads((self._folder / _ATTEMPT_FILE).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def _publish(
        self, attempt: _Attempt, model: str, path: Path, sample: str | None, signature: str | None
    ) -> ModelManifest:
        root = self._settings.models_dir
        known = imported_before(root, model, path, attempt.after) if attempt.deaths else None
        rows, signed = (self._folder / name if name else None for name in (sample, signature))
        return known or import_file(self._settings, model, path, rows, signed)

    def _finish(self, attempt: _Attempt, manifest: ModelManifest, sample: str | None, signature: str | None) -> None:
        made = f"version {manifest.version} of {manifest.name!r}"
        for warning in manifest.warnings:
            self._log(f"inbox: {attempt.file!r}: {warning}")
        try:
            remark = self._promote(manifest.name, manifest.version, CURRENT)
            self._log(f"inbox: {attempt.file!r} is {made} and serves" + (f" ({remark})" if remark else ""))
        except Exception as error:
            self._log(f"inbox: {attempt.file!r} is {made}, but did not become {CURRENT}: {error}")
        if list(_stamp(self._folder / attempt.file)) == list(attempt.stamp):
            called = f"{manifest.name}@{manifest.version}"
            place = self._move(attempt.file, DONE, called + attempt.file[len(stem(attempt.file) or "") :])
            if signature:
                self._move(signature, DONE, f"{place}{SUFFIX}")
            if sample:
                self._move_sample(sample, DONE, called + _SAMPLE)

    def _reject(self, name: str, sample: str | None, signature: str | None, reason: str) -> None:
        self._log(f"inbox: rejected: {reason}")
        place = self._move(name, REJECTED, name)
        with opened_folder(self._folder / REJECTED) as target:
            os.replace(self._temporary_file(f"{reason}\n"), f"{place}{REASON}", dst_dir_fd=target)
        if signature:
            self._move(signature, REJECTED, f"{place}{SUFFIX}")
        if sample:
            self._move_sample(sample, REJECTED, sample)

    def _move_sample(self, sample: str, folder: str, wanted: str) -> None:
        """Move a sample away, unless another model of that name still waits for its import."""
        if not any(self._sample_of(name) == sample for name in os.listdir(self._folder)):
            self._move(sample, folder, wanted)

    def _move(self, name: str, folder: str, wanted: str) -> str:
        """Move a file and return its new name: `wanted` with a number if that name is taken. Never overwrites a
        file."""
        with opened_folder(self._folder / folder) as target:
            taken = set(os.listdir(target))
            wanted = _shortened(wanted)
            new, number = wanted, 1
            while new in taken:
                number += 1
                new = f"{number}-{wanted}"
            os.rename(self._folder / name, new, dst_dir_fd=target)
        return new

    def _temporary_file(self, text: str) -> Path:
        """Write a temporary file, which the caller moves to its place, and return its path."""
        part = self._folder / f"{_ATTEMPT_FILE}.part"
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
                log(f"inbox: cannot be read: {error}")
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
    """Return the name of the model that the file becomes. Raises `Refused`."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        raise Refused("is a symbolic link; put the file itself into the inbox")
    if not stat.S_ISREG(mode):
        raise Refused("is not a file (but a folder, a pipe or a device); put a file into the inbox")
    if stem(path.name) is None:
        raise Refused("does not end in .pkl, .pickle, .joblib, .cloudpickle or .skops, so it is not a model file")
    return model_name(path.name)


def _is_companion(name: str) -> bool:
    """Return whether it is the sample or the signature of a model's file."""
    return name.lower().endswith((_SAMPLE, SUFFIX))


def _stamp(path: Path) -> _Stamp:
    found = path.lstat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _shortened(name: str) -> str:
    """Return a file name, without its beginning if it is too long for a prefix or suffix."""
    raw = os.fsencode(name)
    return name if len(raw) <= _MOST_NAME else os.fsdecode(raw[-_MOST_NAME:].lstrip(b"."))


if __name__ == "__main__":
    main()
