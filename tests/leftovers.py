"""A plugin of pytest that fails a test which leaves a thread, a process or a socket behind.

Those of a fixture with a wider scope are looked for at the end of its module, or of the run.
"""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

DEADLINE = 30.0
"""Seconds in which threads, processes and sockets that are to end do so on a busy machine, too."""
_SCOPES = ("session", "package", "module", "class", "function")
_MARK = "MODELGATE_TEST"
"""The environment variable by which processes are known whose parents have ended."""


@dataclass
class _Things:
    """The threads of this process, the inodes of its sockets, and the processes of this machine."""

    threads: set[threading.Thread] = field(default_factory=lambda: set(threading.enumerate()))
    sockets: set[str] = field(default_factory=lambda: set(_sockets()))
    pids: set[int] = field(default_factory=lambda: _pids())

    def add_those_since(self, before: _Things) -> None:
        now = _Things()
        self.threads |= now.threads - before.threads
        self.sockets |= now.sockets - before.sockets
        self.pids |= now.pids - before.pids


class Leftovers:
    """Remembers what is there, and finds what is new."""

    def __init__(self, scope: str) -> None:
        self.scope, self.mark, self.known = scope, uuid.uuid4().hex, _Things()

    def wait(self, deadline: float) -> list[str]:
        """Wait until all that is new has gone, for at most `deadline` seconds, and return what has not."""
        end, pause = time.monotonic() + deadline, 0.001
        while left := self._new():
            if time.monotonic() > end:
                return left
            gc.collect()  # closes what nothing refers to any more
            time.sleep(pause)
            pause = min(2 * pause, 0.1)
        return []

    def _new(self) -> list[str]:
        threads = [f"thread {thread.name}" for thread in threading.enumerate() if thread not in self.known.threads]
        sockets = [f"socket {_ends(fd)}" for inode, fd in _sockets().items() if inode not in self.known.sockets]
        return threads + sockets + self._processes()

    def _processes(self) -> list[str]:
        """The new processes that have the mark, or that this process or one of them has started. Others were started
        by the processes of a wider fixture."""
        parents, commands = {}, {}
        for pid in _pids() - self.known.pids:
            with suppress(OSError):  # it has ended
                folder = Path(f"/proc/{pid}")
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                marked = f"{_MARK}={self.mark}".encode() in (folder / "environ").read_bytes()
                # Python starts one for the rest of this process.
                is_tracker = b"multiprocessing.resource_tracker" in (folder / "cmdline").read_bytes()
                if state != "Z" and not is_tracker:
                    parents[pid] = os.getpid() if marked else int(parent)
                    commands[pid] = (folder / "cmdline").read_text(errors="replace").replace("\0", " ")

        def is_own(pid: int) -> bool:
            return pid == os.getpid() or (pid in parents and is_own(parents[pid]))

        return [f"process {pid} {command}" for pid, command in commands.items() if is_own(pid)]


_watched: list[Leftovers] = []
"""Those of the run, of the module and of the test that are in progress."""


@pytest.fixture(scope="session", autouse=True)
def _no_leftovers_of_the_run() -> Iterator[None]:
    with _no_leftovers("session"):
        yield


@pytest.fixture(scope="module", autouse=True)
def _no_leftovers_of_the_module() -> Iterator[None]:
    with _no_leftovers("module"):
        yield


@pytest.fixture(autouse=True)
def _no_leftovers_of_the_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Is set up before the other fixtures of the test, so it is torn down after them. A test that `replaces_parts` of
    what its module has started leaves the new ones to the module."""
    if request.node.get_closest_marker("replaces_parts"):
        yield
        return
    with _no_leftovers("function"):
        yield


@contextmanager
def _no_leftovers(scope: str) -> Iterator[None]:
    leftovers = Leftovers(scope)
    _watched.append(leftovers)
    with _marked(leftovers.mark):
        yield
    _watched.remove(leftovers)
    if left := leftovers.wait(DEADLINE):
        for wider in _watched:  # it is said once
            wider.known.add_those_since(leftovers.known)
        pytest.fail(f"left behind: {'; '.join(left)}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    with belonging_to(fixturedef.scope):
        return (yield)


@contextmanager
def belonging_to(scope: str) -> Iterator[None]:
    """What begins meanwhile belongs to a fixture of this scope, and not to the test that is the first to need it."""
    narrower = [each for each in _watched if _SCOPES.index(each.scope) > _SCOPES.index(scope)]
    owners = _watched[: len(_watched) - len(narrower)]
    if not owners or not narrower:
        yield
        return
    before = _Things()
    try:
        with _marked(owners[-1].mark):
            yield
    finally:
        for leftovers in narrower:
            leftovers.known.add_those_since(before)


@contextmanager
def _marked(mark: str) -> Iterator[None]:
    outer = os.environ.get(_MARK, "")
    os.environ[_MARK] = mark
    try:
        yield
    finally:
        os.environ[_MARK] = outer


def _pids() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def _sockets() -> dict[str, int]:
    """The file descriptors of the sockets of this process, by inode."""
    sockets = {}
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the one of the folder
            sockets[str(Path(f"/proc/self/fd/{fd}").readlink())] = int(fd)
    return {inode: fd for inode, fd in sockets.items() if inode.startswith("socket:")}


def _ends(fd: int) -> str:
    with suppress(OSError), socket.socket(fileno=os.dup(fd)) as connection:
        ours = str(connection.getsockname())
        with suppress(OSError):
            return f"{ours} to {connection.getpeername()}"
        return ours
    return f"{fd}, which has just been closed"
