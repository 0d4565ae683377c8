"""Runs tasks in processes that have imported the libraries and seen no file of a user.

Importing scikit-learn takes a second of a processor. A template (`trainer.template`) does it once, and each task runs
in a fork of it that is killed afterwards, with every process that it has started.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from tempfile import TemporaryFile
from typing import IO, Any, Self

from trainer.processes import PROJECT, ContainedProcess, environment

MOST_ANSWER = 64_000_000
"""Most bytes of an answer that are read."""

_MOST_OUTPUT = 1_000_000


class ForkTask(StrEnum):
    EXAMINE = "examine"
    """A user's file: `trainer.importing.import_main`."""
    COMPARE = "compare"
    """An imported version with another one: `trainer.importing.inbox.sample_comparison`."""
    VERIFY = "verify"
    """A staged version: `trainer.publishing.verify`."""


@dataclass(frozen=True)
class EndedTask:
    """How a task ended: its exit code as subprocess has it, its answer, and the lines that it has printed. Code of a
    user may have written any of them."""

    code: int
    answer: bytes
    lines: list[str]


class Forks:
    """Runs tasks one at a time. Templates start when they are needed and end with `close`."""

    def __init__(self) -> None:
        self._templates: dict[bool, _Template] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self, task: ForkTask, arguments: Mapping[str, Any], seconds: float, *, another_hash_seed: bool = False
    ) -> EndedTask:
        """Run a task with these arguments, which become JSON. The forks of one template iterate over a set of strings
        in the same order; with `another_hash_seed` the order differs.

        Raises `subprocess.TimeoutExpired` after `seconds`, and OSError.
        """
        # Task and answer have no file names, so no other process can write them.
        with TemporaryFile() as stdin, TemporaryFile() as answer, TemporaryFile() as output:
            stdin.write(json.dumps({"task": task, "arguments": arguments}).encode())
            stdin.seek(0)
            code = self._template(another_hash_seed).fork((stdin, answer, output), seconds)
            return EndedTask(code, _content(answer, MOST_ANSWER + 1), _lines(output))

    def _template(self, another_hash_seed: bool) -> _Template:
        template = self._templates.get(another_hash_seed)
        if template is None or not template.alive:
            template = self._templates[another_hash_seed] = _Template()
        return template

    def close(self) -> None:
        """Kill the templates. Harmless to repeat."""
        while self._templates:
            self._templates.popitem()[1].kill()


@contextmanager
def forks_or_own(forks: Forks | None) -> Iterator[Forks]:
    """Yield `forks`, or if there are none, new ones that end with the block."""
    if forks:
        yield forks
    else:
        with Forks() as started:
            yield started


class _Template:
    def __init__(self) -> None:
        """Raises OSError."""
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = ContainedProcess(
                [sys.executable, "-m", "trainer.template", str(theirs.fileno())],
                env=environment(),
                pass_fds=(theirs.fileno(),),
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    @property
    def alive(self) -> bool:
        return self._control.fileno() >= 0 and self._process.poll() is None

    def fork(self, files: Sequence[IO[bytes]], seconds: float) -> int:
        """Run a task with these files as its input, answer and output, and return its exit code; if the template dies,
        that of the template. Raises `subprocess.TimeoutExpired` with the template killed, and OSError."""
        self._control.settimeout(seconds)
        try:
            socket.send_fds(self._control, [b"\n"], [file.fileno() for file in files])
            code = self._control.recv(16)
        except TimeoutError:
            self.kill()
            raise subprocess.TimeoutExpired("trainer.template", seconds) from None
        except ConnectionError:
            code = b""
        return int(code) if code else self.kill()

    def kill(self) -> int:
        """Kill it with all its processes and return its exit code. Harmless to repeat."""
        self._control.close()
        return self._process.kill()


def _content(file: IO[bytes], most: int) -> bytes:
    file.seek(0)
    return file.read(most)


def _lines(output: IO[bytes]) -> list[str]:
    return _content(output, _MOST_OUTPUT).decode(errors="replace").strip().splitlines()
