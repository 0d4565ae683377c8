"""`python -m mirror.filesystem_check FOLDER`: whether a folder that two machines share keeps what Modelgate relies on.

The command runs on both machines. They meet through files in the folder, and know nothing else of each other.
"""

from __future__ import annotations

import argparse
import fcntl
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from storage.disk import locked_file, sync, write

FAILED = 1
SEEN_WITHIN = 5.0
"""Seconds within which one machine has to see what the other has done."""
ANSWER_WITHIN = 60.0
"""Seconds after which the other side counts as gone."""
REPLACEMENTS, FOLDERS = 300, 20
"""How often a file is replaced, and how many folders are made, while the other side reads them."""

_MEETING = ".filesystem-check"
_SIZE = 65_536
_TICK = 0.01


class NotSeen(Exception):
    """The other side does not answer."""


class Side:
    """This side of a check. What it posts is a file that only the other one reads."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError if `folder` cannot be written."""
        self.folder = folder / _MEETING
        self.folder.mkdir(exist_ok=True)
        self._name, self._other = secrets.token_hex(8), ""

    @property
    def first(self) -> bool:
        """Whether this side acts first. The other one does not."""
        return self._name < self._other

    def meet(self, seconds: float) -> None:
        """Wait for the other side. It has to greet this one: files of a check that was killed do not. Raises
        `NotSeen`."""
        said = time.monotonic()
        end = said + seconds
        (self.folder / f"side-{self._name}").touch()
        while not self._other:
            if time.monotonic() >= said:
                say(f"waiting for the same command on the second machine, for {end - time.monotonic():.0f} s at most")
                said += 10
            if time.monotonic() > end:
                raise NotSeen
            for other in {path.name.partition("-")[2] for path in self.folder.glob("side-*")} - {self._name}:
                (self.folder / f"greet-{self._name}-{other}").touch()
                if (self.folder / f"greet-{other}-{self._name}").exists():
                    self._other = other
            time.sleep(_TICK)

    def post(self, name: str, text: str = "") -> None:
        write(self.folder / f".{name}-{self._name}", f"{text}\n".encode())
        (self.folder / f".{name}-{self._name}").rename(self.folder / f"{name}-{self._name}")

    def posted(self, name: str) -> str | None:
        """Return what the other side has posted, or None."""
        with suppress(OSError, UnicodeDecodeError):
            text = (self.folder / f"{name}-{self._other}").read_text()
            return text[:-1] if text.endswith("\n") else None
        return None

    def wait(self, name: str) -> str:
        """Return what the other side posts. Raises `NotSeen`."""
        end = time.monotonic() + ANSWER_WITHIN
        while (text := self.posted(name)) is None:
            if time.monotonic() > end:
                raise NotSeen
            time.sleep(_TICK)
        return text

    def leave(self) -> None:
        """Remove all files of the check, once the other side does not need them any more."""
        if self._other and not self.first:
            self.post("through")
        elif self._other:
            with suppress(NotSeen):
                self.wait("through")
            shutil.rmtree(self.folder)
        else:
            for path in self.folder.glob(f"*{self._name}*"):
                path.unlink()
            self.folder.rmdir()


# Each returns what is wrong, or nothing. `name` is that of its files, and the same on both sides; one side is `acting`.


def _seen(side: Side, name: str, acting: bool) -> str:
    if not acting:
        side.wait(f"{name}-ask")
        side.post(f"{name}-answer")
        return ""
    began = time.monotonic()
    side.post(f"{name}-ask")
    side.wait(f"{name}-answer")
    return _late(began)


def _replaced(side: Side, name: str, acting: bool) -> str:
    """The new content has the size of the old one: only its time or its inode tell."""
    file = side.folder / f"{name}-file"
    if acting:
        _replace(file, b"a")
        side.post(f"{name}-old")
        side.wait(f"{name}-read")
        _replace(file, b"b")
        side.wait(f"{name}-seen")
        return ""
    side.wait(f"{name}-old")
    stamp, content = _stamp(file), file.read_bytes()
    side.post(f"{name}-read")
    began = time.monotonic()
    while file.read_bytes() == content or _stamp(file) == stamp:
        if _late(began):
            part = "time and inode of the file" if file.read_bytes() != content else "content"
            side.post(f"{name}-seen")
            return f"the {part} did not change here within {SEEN_WITHIN:g} s"
        time.sleep(_TICK)
    side.post(f"{name}-seen")
    return ""


def _files_whole(side: Side, name: str, acting: bool) -> str:
    file = side.folder / f"{name}-file"
    if acting:
        for number in range(REPLACEMENTS):
            _replace(file, bytes([number % 256]))
            if number == 0:
                side.post(f"{name}-begun")
                side.wait(f"{name}-reading")
        side.post(f"{name}-ended")
        return ""
    side.wait(f"{name}-begun")
    side.post(f"{name}-reading")
    reads = damaged = 0
    while side.posted(f"{name}-ended") is None:
        reads += 1
        damaged += not _whole(file)
    return f"{damaged} of {reads} reads found no file, or a part of one" if damaged else ""


def _folders_whole(side: Side, name: str, acting: bool) -> str:
    damaged = 0
    for number in range(FOLDERS):
        folder = side.folder / f"{name}-{number}"
        if acting:
            draft = folder.with_name(f".{folder.name}")
            draft.mkdir()
            for part in "abc":
                write(draft / part, part.encode() * _SIZE)
            draft.rename(folder)
            side.wait(f"{name}-{number}-read")
        else:
            began = time.monotonic()
            while not folder.exists() and time.monotonic() < began + ANSWER_WITHIN:
                time.sleep(_TICK / 10)
            damaged += not all(_whole(folder / part) for part in "abc")
            side.post(f"{name}-{number}-read")
    return f"{damaged} of {FOLDERS} folders lacked files, or had parts of them" if damaged else ""


def _excluded(side: Side, name: str, acting: bool) -> str:
    file = side.folder / f"{name}-lock"
    if acting:
        problem = ""
        try:
            with locked_file(file):
                side.post(f"{name}-locked")
                side.wait(f"{name}-tried")
        except OSError as error:
            problem = f"the file cannot be locked ({error.strerror})"
            side.post(f"{name}-locked")
        side.post(f"{name}-free")
        return problem
    side.wait(f"{name}-locked")
    problem = "" if _locked_out(file) else "both sides had the lock at the same time"
    side.post(f"{name}-tried")
    side.wait(f"{name}-free")
    began = time.monotonic()
    while not problem and _locked_out(file):
        problem = _late(began) and "the lock was not free after the other side had released it"
        time.sleep(_TICK)
    return problem


def _flushed(side: Side, name: str, acting: bool) -> str:
    if acting:
        try:
            write(side.folder / f"{name}-file", b"x" * _SIZE)
            sync(side.folder)
        except OSError as error:
            return f"fsync failed: {error.strerror}"
    return ""


def _same_time(side: Side, name: str, acting: bool) -> str:
    file = side.folder / f"{name}-file"
    if acting:
        write(file, b"x")
        side.post(f"{name}-written")
        return ""
    side.wait(f"{name}-written")
    apart = file.stat().st_mtime - time.time()
    return (
        "" if abs(apart) <= SEEN_WITHIN else f"a file that the other side has just written is {apart:+.0f} s old here"
    )


@dataclass(frozen=True)
class Check:
    """A property, how it is tried, and what follows if it does not hold."""

    run: Callable[[Side, str, bool], str]
    says: str
    otherwise: str


CHECKS = (
    Check(
        _seen,
        f"a new file is seen by the other machine within {SEEN_WITHIN:g} s",
        "versions and aliases are known late; mount the folder with shorter caching",
    ),
    Check(
        _replaced,
        f"a replaced file is seen within {SEEN_WITHIN:g} s, with another time or inode",
        "a machine goes on with old aliases; mount the folder with shorter caching",
    ),
    Check(
        _files_whole,
        "rename replaces a file at once",
        "requests fail while an alias moves; do not share this folder",
    ),
    Check(
        _folders_whole,
        "rename shows a folder whole",
        "a worker may load half a version; do not share this folder",
    ),
    Check(
        _excluded,
        "flock excludes the other machine",
        "two trainers may overwrite each other's aliases; run one trainer, or use MODELS_URL",
    ),
    Check(
        _flushed,
        "fsync works for files and folders",
        "a published version may be lost in a power cut; do not share this folder",
    ),
    Check(
        _same_time,
        f"both machines have the same time, within {SEEN_WITHIN:g} s",
        "files are cleaned up too early or too late; synchronize the clocks",
    ),
)


def check(side: Side) -> bool:
    """Try each property in both directions, and print it. Returns whether all hold. Raises `NotSeen` and OSError."""
    holds = True
    for number, entry in enumerate(CHECKS):
        problems, began = [], time.monotonic()
        for turn in (True, False):
            name = f"{number}{'ab'[turn]}"
            ours = entry.run(side, name, side.first is turn)
            side.post(f"{name}-verdict", ours)
            problems += [ours, side.wait(f"{name}-verdict")]
        problem = next(filter(None, problems), "")
        took = f"tried in {time.monotonic() - began:.1f} s"
        say(
            f"does not hold: {entry.says}: {problem}; {entry.otherwise}" if problem else f"holds: {entry.says} ({took})"
        )
        holds = holds and not problem
    return holds


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mirror.filesystem_check", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wait", type=float, default=300, metavar="SECONDS", help="for the second machine (300)")
    options = parser.parse_args(arguments)
    try:
        side = Side(options.folder)
    except OSError as error:
        say(f"{options.folder} cannot be used ({error.strerror}): name a folder that exists and can be written")
        return FAILED
    try:
        side.meet(options.wait)
        return 0 if check(side) else FAILED
    except NotSeen:
        say(
            f"does not hold: both machines see the same files in {options.folder}: nothing of the other side was seen;"
            " run the command on both at once, and look whether both have mounted the same folder"
        )
    except OSError as error:
        say(f"does not hold: files can be written and read: {error}; do not share this folder")
    finally:
        with suppress(OSError):
            side.leave()
    return FAILED


def _replace(file: Path, byte: bytes) -> None:
    draft = file.with_name(f".{file.name}")
    write(draft, byte * _SIZE)
    draft.rename(file)


def _whole(file: Path) -> bool:
    try:
        content = file.read_bytes()
    except OSError:
        return False
    return len(content) == _SIZE and content == content[:1] * _SIZE


def _stamp(file: Path) -> tuple[int, int, int]:
    """What `contract.model.repository` compares."""
    found = file.stat()
    return found.st_mtime_ns, found.st_ino, found.st_size


def _locked_out(file: Path) -> bool:
    """Whether the other side has the lock. Raises OSError if the file cannot be locked at all."""
    try:
        with locked_file(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
            return False
    except BlockingIOError:
        return True


def _late(began: float) -> str:
    took = time.monotonic() - began
    return f"it took {took:.1f} s" if took > SEEN_WITHIN else ""


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
