"""The folder of the environments: which generation a name links to, who may change that, and what can be removed.

A generation is a folder that is never renamed, because its programs name it. Each interpreter of it holds a shared lock
on it for as long as it runs; `_HOLDING`, which Python runs at its start, takes it. A generation that no name links to
and that nobody holds is removed.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contract.model.environments import ENVIRONMENT
from launcher.environments.failures import EnvironmentFailedError
from launcher.environments.installers import Say

_GENERATION = re.compile(rf"\.(?:{ENVIRONMENT.pattern})\.[a-z0-9_]{{8}}", re.ASCII)
_HOLDING = "import fcntl, os, sys; fcntl.flock(os.open(sys.prefix, os.O_RDONLY), fcntl.LOCK_SH)\n"


class Generations:
    """The generations in `folder`, for a process that holds its lock (`locked`)."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self.lock = lock

    @contextmanager
    def new(self, name: str) -> Iterator[Path]:
        """Yield the empty folder of a new generation. If the block raises before it is linked, it is removed."""
        generation = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=self.folder))
        try:
            yield generation
        except BaseException:
            self.sweep()
            raise

    def link(self, name: str, generation: Path) -> None:
        """Let the name stand for this generation, and remove those that nobody needs any longer."""
        new = self.folder / ".link"
        new.unlink(missing_ok=True)
        new.symlink_to(generation.name)
        try:
            new.replace(self.folder / name)
        except OSError as error:
            raise EnvironmentFailedError(
                f"{self.folder / name} is a folder, where Modelgate makes a link; move it away"
            ) from error
        self.sweep()

    def unlink(self, name: str) -> bool:
        """Take the name away, whatever it stands for, and remove the generations that nobody needs any longer. Return
        whether processes still need that of the name."""
        link = self.folder / name
        generation = self.folder / (link.readlink().name if link.is_symlink() else name)
        link.unlink()
        self.sweep()
        return generation.exists()

    def sweep(self) -> None:
        """Remove the generations that no name links to, unless an interpreter of theirs runs: what makers have left
        that were killed, and what was made anew or removed since."""
        links = {path for path in self.folder.iterdir() if path.is_symlink()}
        linked = {str(path.readlink()) for path in links}
        for path in {*self.folder.iterdir()} - links:
            if _GENERATION.fullmatch(path.name) and path.name not in linked and not is_used(path):
                shutil.rmtree(path, ignore_errors=True)


def hold(generation: Path) -> None:
    """Have each interpreter of this virtual environment hold its folder."""
    (packages,) = generation.glob("lib/python3*/site-packages")
    (packages / "modelgate_environment.pth").write_text(_HOLDING)


def is_used(generation: Path) -> bool:
    """Whether an interpreter of it runs, as far as its file system can tell."""
    with suppress(OSError):
        descriptor = os.open(generation, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        finally:
            os.close(descriptor)
    return True


@contextmanager
def locked(folder: Path, say: Say) -> Iterator[Generations]:
    """Wait until nobody else makes or removes environments in `folder`; yields its generations. Raises `OSError`."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    folder = folder.resolve()
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process makes or removes environments here; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        generations = Generations(folder, lock)
        generations.sweep()
        yield generations
    finally:
        os.close(lock)
