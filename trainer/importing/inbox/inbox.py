"""`inbox/` in the model repository: the trainer publishes each model file in it and makes it `current`.

    inbox/loan.pkl, inbox/loan.csv     imported as `loan` once both are unchanged between two checks
    inbox/loan.py                      the script or module that defines its classes, if it is a plain pickle
    inbox/loan.pkl.sig                 its signature, if imports must be signed
    inbox/done/loan@3.pkl, loan@3.csv  imported as version 3 of `loan`; may be deleted. If that is not current,
                                       loan@3.pkl.reason.txt says why
    inbox/rejected/loan.pkl            could not be published; loan.pkl.reason.txt says why

A file stays in place until its version is published and current, and `.importing` names it meanwhile. After a crash the
next process retries, unless the version exists already; the third crash rejects the file.

Other users may write there. What is moved or written stays in these folders, even if one of them becomes a link.
"""

from __future__ import annotations

import fcntl
import functools
import logging
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from broker.access.audit_log import INBOX as BY_INBOX
from broker.access.audit_log import AuditEntry, AuditLog, Outcome
from broker.link.connection import connect
from contract.errors import Code, ModelgateError
from contract.model.manifest import ModelManifest
from contract.model.promotions import Person
from contract.model.repository import CURRENT, Repository
from contract.settings import Settings
from storage.disk import locked_file, opened_folder
from trainer.forks import Forks
from trainer.importing import Refused
from trainer.importing.files.formats import stem, wrong_suffix
from trainer.importing.files.signatures import SUFFIX
from trainer.importing.inbox.attempts import Attempts, ImportAttempt, temporary_file
from trainer.importing.inbox.imports import import_file, imported_before, model_name
from trainer.importing.inbox.judging import Promotion, Wish, promote_if_passed
from trainer.program import Program
from trainer.publishing import promotion

STUCK_AFTER = 3600.0
"""Seconds without a check after which the process ends: it waits for each import."""

EVERY = 2.0
"""Seconds between two checks."""

INBOX, DONE, REJECTED, REASON = "inbox", "done", "rejected", ".reason.txt"
DEATHS = 3
"""A file is rejected after this many crashes during its import."""

_SAMPLE, _CODE = ".csv", ".py"
_HALF_WRITTEN = (".part", ".tmp", ".partial", ".crdownload", ".filepart", "~")
_MOST_NAME = 200
"""Most bytes of a file name before a prefix or suffix is added; file systems allow 255."""

RequestLoads = Callable[[Sequence[ModelManifest]], None]
"""Asks the workers to load these versions, of models by name."""

StopRequested = Callable[[float], bool]
"""Waits for these seconds, and returns whether to stop."""

_TOGETHER, _LONGEST_WAIT = 20, 10.0
"""Most versions that become current together, and seconds that the first may wait for others: workers replace their
scorers once for all of them."""

_Stamp = tuple[int, int, int]

_Companions = Mapping[str, str]
"""The names of the files beside a model file: rows to try it with, the code of its classes, its signature; by suffix.
"""


@dataclass(frozen=True)
class _Published:
    """A version that is not current yet. `position` is that of its file among those dropped together."""

    attempt: ImportAttempt
    manifest: ModelManifest
    beside: _Companions
    position: str


class Inbox:
    """The folder `inbox/`. Call `import_files()` every `EVERY` seconds.

    `promote` is called with each new version, `request_loads` before with those that are promoted together, `log` with
    each line of the log, `audit` with the entry of each import. Several processes may watch one inbox: a lock lets one
    at a time import.
    """

    def __init__(
        self,
        settings: Settings,
        promote: promotion.Promote,
        log: Callable[[str], None],
        request_loads: RequestLoads = lambda _: None,
        audit: Callable[[AuditEntry], object] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._folder = settings.models_dir / INBOX
        self._promote = promote
        self._log = log
        self._request_loads = request_loads
        self._audit = audit
        self._attempts = Attempts(self._folder)
        self._last_seen: dict[str, _Stamp] = {}
        self._failed: dict[str, _Stamp] = {}
        self._position = ""

    def import_files(self, stop_requested: StopRequested = lambda _: False) -> None:
        """Import all files that are complete; between two of them, end if `stop_requested(0)`. Raises OSError if the
        inbox cannot be read or created."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = locked_file(self._folder / ".lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(BlockingIOError), lock:  # otherwise another process imports
            names = self._complete_files()
            if names and self._import_all(names, stop_requested):
                self._attempts.keep(self._last_seen.keys() - names)

    def _import_all(self, names: Sequence[str], stop_requested: StopRequested) -> bool:
        """Return whether all were imported, and it was not asked to stop before."""
        waiting: list[_Published] = []
        since = time.monotonic()
        with Forks() as forks:
            for number, name in enumerate(names, 1):
                if stop_requested(0):
                    return False
                if not waiting:
                    since = time.monotonic()
                self._position = f"{number} of {len(names)}: " if len(names) > 1 else ""
                with self._failures_reported(name):
                    waiting += self._publish_or_reject(name, forks)
                late = time.monotonic() - since > _LONGEST_WAIT or len(waiting) == _TOGETHER
                # After a crash those that wait must not be counted as attempts again.
                if late or number == len(names) or any(published.attempt.deaths for published in waiting):
                    self._promote_all(waiting, forks)
                    waiting = []
        return True

    @contextmanager
    def _failures_reported(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            self._say(f"{name!r} was removed")
        except Exception as error:
            # Probably a folder without write permission. Log it once, and retry when the file changes.
            self._failed[name] = self._last_seen.get(name, (0, 0, 0))
            why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            self._say(f"{name!r} can neither be imported nor moved away: {why}")

    def _say(self, line: str) -> None:
        self._log(f"inbox: {self._position}{line}")

    def _complete_files(self) -> list[str]:
        """Return the model files that have not changed since the last check; those of interrupted imports come
        first."""
        now = self._stamps()
        same = {name for name, stamp in now.items() if self._last_seen.get(name) == stamp}
        self._last_seen = now
        self._failed = {name: stamp for name, stamp in self._failed.items() if now.get(name) == stamp}
        # A model waits while its sample, code or signature is still being written.
        complete = [
            name
            for name in same - self._failed.keys()
            if not _is_companion(name) and {*self._companions(name).values()} <= same
        ]
        attempts = self._attempts.under_way()
        return sorted(complete, key=lambda name: (name not in attempts, name))

    def _stamps(self) -> dict[str, _Stamp]:
        stamps = {}
        for name in os.listdir(self._folder):
            if name.startswith(".") or name.lower().endswith(_HALF_WRITTEN) or name in (DONE, REJECTED):
                continue
            with suppress(FileNotFoundError):
                stamps[name] = _stamp(self._folder / name)
        return stamps

    def _companions(self, name: str) -> _Companions:
        """Return the files that lie beside a model file."""
        beside = {SUFFIX: f"{name}{SUFFIX}"} if f"{name}{SUFFIX}" in self._last_seen else {}
        for suffix in (_SAMPLE, _CODE):
            wanted = f"{stem(name)}{suffix}".lower()
            if found := next((other for other in self._last_seen if other.lower() == wanted), None):
                beside[suffix] = found
        return beside

    def _publish_or_reject(self, name: str, forks: Forks) -> list[_Published]:
        """Return the version that a file has become, or reject the file. Raises OSError."""
        path, beside, model = self._folder / name, self._companions(name), None
        try:
            model = _model_of(path)
            after = max([0, *Repository(self._settings.models_dir).versions(model)])
            attempt = self._attempts.start(name, _stamp(path), after)
            if attempt.deaths >= DEATHS:
                raise Refused(f"crashed the trainer during {DEATHS} imports; see the trainer's log")
            manifest = self._publish(attempt, model, path, beside, forks)
        except (Refused, ModelgateError) as refused:
            reason = str(refused) if isinstance(refused, ModelgateError) else f"{name!r} {refused}"
            self._reject(name, beside, reason)
            code = refused.failure.code if isinstance(refused, ModelgateError) else Code.NOT_PUBLISHED
            self._audit(AuditEntry("import", BY_INBOX, Outcome.FAILED, model=model, code=code))
            return []
        return [_Published(attempt, manifest, beside, self._position)]

    def _publish(
        self, attempt: ImportAttempt, model: str, path: Path, beside: _Companions, forks: Forks
    ) -> ModelManifest:
        repository = Repository(self._settings.models_dir)
        known = imported_before(repository, model, path, attempt.after) if attempt.deaths else None
        paths = {suffix: self._folder / name for suffix, name in beside.items()}
        sample, code, signature = paths.get(_SAMPLE), paths.get(_CODE), paths.get(SUFFIX)
        return known or import_file(self._settings, model, path, sample, signature, code=code, forks=forks)

    def _promote_all(self, waiting: Sequence[_Published], forks: Forks) -> None:
        if len(waiting) > 1:
            self._request_loads([published.manifest for published in waiting])
        for published in waiting:
            self._position = published.position
            with self._failures_reported(published.attempt.file):
                self._finish(published, forks)

    def _finish(self, published: _Published, forks: Forks) -> None:
        """Make the version current unless the gate refuses it, and move the file away. Raises OSError."""
        attempt, manifest, beside = published.attempt, published.manifest, published.beside
        made = f"version {manifest.version} of {manifest.name!r}"
        for warning in manifest.warnings:
            self._say(f"{attempt.file!r}: {warning}")
        try:
            sample = self._folder / beside[_SAMPLE] if _SAMPLE in beside else None
            promotion = promote_if_passed(self._settings, manifest, sample, Wish(), self._promote, forks)
        except Exception as error:  # such as a file system that is read-only
            promotion = Promotion(False, str(error))
        refused = f"{attempt.file!r} is {made}, but did not become {CURRENT}: {promotion.reason}"
        reason = "" if promotion.promoted else refused
        remarks = "; ".join(filter(None, (promotion.verdict.rstrip("."), promotion.remark)))
        self._say(reason or f"{attempt.file!r} is {made} and serves" + (f" ({remarks})" if remarks else ""))
        alias = CURRENT if promotion.promoted else None
        self._audit(AuditEntry("import", BY_INBOX, model=manifest.name, version=manifest.version, alias=alias))
        if list(_stamp(self._folder / attempt.file)) == list(attempt.stamp):
            text = "\n".join((reason, *manifest.warnings)) if reason else ""
            self._put_away(attempt.file, beside, DONE, text, called=f"{manifest.name}@{manifest.version}")

    def _reject(self, name: str, beside: _Companions, reason: str) -> None:
        self._say(f"rejected: {reason}")
        self._put_away(name, beside, REJECTED, reason)

    def _put_away(self, name: str, beside: _Companions, folder: str, reason: str, called: str = "") -> None:
        """Move a file away with those beside it, and write the reason, if any. `called`: their names without suffixes,
        if these change."""
        stored_name = self._move(name, folder, called + name[len(stem(name) or "") :] if called else name)
        if reason:
            with opened_folder(self._folder / folder) as target:
                os.replace(temporary_file(self._folder, f"{reason}\n"), f"{stored_name}{REASON}", dst_dir_fd=target)
        for suffix, companion in beside.items():
            if suffix == SUFFIX:
                self._move(companion, folder, f"{stored_name}{SUFFIX}")
            # Another model of that name may still wait for its import, with the same sample or code.
            elif not any(companion in self._companions(other).values() for other in os.listdir(self._folder)):
                self._move(companion, folder, called + suffix if called else companion)

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


def watch(inbox: Inbox, stop_requested: StopRequested, log: Callable[[str], None]) -> None:
    """Import files until `stop_requested` returns True."""
    last = ""
    while not stop_requested(EVERY):
        try:
            inbox.import_files(stop_requested)
            last = ""
        except OSError as error:
            if str(error) != last:
                log(f"inbox: cannot be read: {error}")
            last = str(error)


def main() -> None:
    """Watch the inbox until a signal arrives. The next start retries an interrupted import."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    beat = Program().watch(STUCK_AFTER)
    log = logging.getLogger("trainer").info
    settings = Settings.from_environ()
    connection = connect(settings.redis_url)
    promote = functools.partial(promotion.promote, settings, connection, asker=Person("the inbox"))
    request_loads = functools.partial(promotion.request_loads, settings, connection)

    def stop_requested(seconds: float) -> bool:
        beat()
        time.sleep(seconds)
        return False

    audit = AuditLog(connection, settings.retention.audit_days, of_trainer=True).write
    watch(Inbox(settings, promote, log, request_loads, audit), stop_requested, log)


def _model_of(path: Path) -> str:
    """Return the name of the model that the file becomes. Raises `Refused`."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        raise Refused("is a symbolic link; put the file itself into the inbox")
    if not stat.S_ISREG(mode):
        raise Refused("is not a file (but a folder, a pipe or a device); put a file into the inbox")
    if stem(path.name) is None:
        raise Refused(wrong_suffix(path.name))
    return model_name(path.name)


def _is_companion(name: str) -> bool:
    """Return whether it is the sample, the code or the signature of a model's file."""
    return name.lower().endswith((_SAMPLE, _CODE, SUFFIX))


def _stamp(path: Path) -> _Stamp:
    status = path.lstat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _shortened(name: str) -> str:
    """Return a file name, without its beginning if it is too long for a prefix or suffix."""
    raw = os.fsencode(name)
    return name if len(raw) <= _MOST_NAME else os.fsdecode(raw[-_MOST_NAME:].lstrip(b"."))


if __name__ == "__main__":
    main()
