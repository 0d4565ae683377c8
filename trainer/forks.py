"""Runs tasks in processes that have imported the libraries and seen no file of a user.

Importing scikit-learn takes a second of a processor. A template (`trainer.template`) does it once, and each task runs
in a fork of it that is killed afterwards, with every process that it has started.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from tempfile import TemporaryFile
from typing import IO, Any, Protocol, Self

from contract.model.environments import how_to_make
from runtime.environments import Environments, environment_here
from trainer import processes
from trainer.processes import PROJECT, ContainedProcess

FILES, TRAININGS = "trainer.template", "trainer.template.trainings"
"""The modules of templates: for files and versions, and for trainings."""

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
    ASK = "ask"
    """A version: `trainer.publishing.asking`."""
    TRAIN = "train"
    """A job: `trainer.jobs.training_main`."""


@dataclass(frozen=True)
class EndedTask:
    """How a task ended: its exit code as subprocess has it, its answer, and the lines that it has printed. Code of a
    user may have written any of them."""

    code: int
    answer: bytes
    lines: list[str]


class NoSuchEnvironment(Exception):
    """There is no environment of this name here; the message says which there are, and what to do."""

    def __init__(self, name: str, names: Sequence[str]) -> None:
        here = f"there are {', '.join(names)}" if names else "there is none"
        super().__init__(f"the environment {name!r} is not on the trainer's machine ({here}); {how_to_make(name)}")


class Forks:
    """Runs tasks one at a time. Templates start when they are needed and end with `close`."""

    def __init__(
        self,
        module: str = FILES,
        env: Mapping[str, str] | None = None,
        template: TaskTemplate | None = None,
        interpreter: str = sys.executable,
    ) -> None:
        """`module`, `env` and `interpreter`: those of the templates; by default `trainer.processes.environment` and
        this one. `template`: one that runs already."""
        self._module = module
        self._env = env
        self._templates = {False: template} if template else {}
        self._interpreter = interpreter
        self._elsewhere: dict[str, Forks] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def of(self, environments: Environments, name: str) -> Forks:
        """Return the forks of the environment `name`, which end with these. Raises `NoSuchEnvironment` and OSError."""
        if name == environment_here():
            return self
        if (interpreter := environments.interpreter(name)) is None:
            raise NoSuchEnvironment(name, environments.names())
        if interpreter not in self._elsewhere:
            variables = {**(self._env or processes.environment()), **environments.variables()}
            self._elsewhere[interpreter] = Forks(FILES, variables, interpreter=interpreter)
        return self._elsewhere[interpreter]

    def run(
        self, task: ForkTask, arguments: Mapping[str, Any], seconds: float, *, another_hash_seed: bool = False
    ) -> EndedTask:
        """Run a task with these arguments, which become JSON. The forks of one template iterate over a set of strings
        in the same order; with `another_hash_seed` the order differs.

        Raises `subprocess.TimeoutExpired` after `seconds`, and OSError.
        """
        # The answer has no file name, so no other process can write it.
        with TemporaryFile() as answer, TemporaryFile() as output:
            files = answer.fileno(), output.fileno()
            code = self.start(task, arguments, *files, another_hash_seed=another_hash_seed).wait(seconds)
            return EndedTask(code, _content(answer, MOST_ANSWER + 1), _lines(output))

    def start(
        self, task: ForkTask, arguments: Mapping[str, Any], answer: int, output: int, *, another_hash_seed: bool = False
    ) -> TaskTemplate:
        """Start a task that writes to the descriptors `answer` and `output`, and return the template whose fork it is.
        Raises OSError."""
        with TemporaryFile() as stdin:
            stdin.write(json.dumps({"task": task, "arguments": arguments}).encode())
            stdin.seek(0)
            template = self._template(another_hash_seed)
            template.begin((stdin.fileno(), answer, output))
            return template

    def _template(self, another_hash_seed: bool) -> TaskTemplate:
        template = self._templates.get(another_hash_seed)
        if template is None or not template.alive:
            variables = self._env or processes.environment()
            template = self._templates[another_hash_seed] = _started(self._interpreter, self._module, variables)
        return template

    def close(self) -> None:
        """Kill the templates. Harmless to repeat."""
        while self._templates:
            self._templates.popitem()[1].kill()
        while self._elsewhere:
            self._elsewhere.popitem()[1].close()


class KeptForks:
    """Forks whose templates wait for the next command, which then need not import the libraries again.

    Used by several threads. A command has its forks for itself; those of the last one are kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: Forks | None = None
        self._unused = False

    @contextmanager
    def lend(self) -> Iterator[Forks]:
        """Yield forks that no other command uses meanwhile."""
        with self._lock:
            forks, self._kept = self._kept or Forks(), None
        try:
            yield forks
        finally:
            self._keep(forks)

    def end_unused(self) -> None:
        """End the kept templates if no command has used them since the last call: they hold 150 MB each."""
        with self._lock:
            ended = self._kept if self._unused else None
            self._kept, self._unused = (None if ended else self._kept), True
        if ended:
            ended.close()

    def _keep(self, forks: Forks | None) -> None:
        with self._lock:
            before, self._kept, self._unused = self._kept, forks, False
        if before:
            before.close()

    def close(self) -> None:
        """End the kept templates."""
        self._keep(None)


@contextmanager
def forks_or_own(forks: Forks | None) -> Iterator[Forks]:
    """Yield `forks`, or if there are none, new ones that end with the block."""
    if forks:
        yield forks
    else:
        with Forks() as started:
            yield started


class KillableProcess(Protocol):
    """The process of a template."""

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""

    def kill(self) -> int:
        """Kill it with all its processes and return its exit code. Harmless to repeat."""


class TaskTemplate:
    """A process that forks itself for each task. It gets the tasks through a socket."""

    def __init__(self, control: socket.socket, process: KillableProcess) -> None:
        """`control`: our end of the socket."""
        self._control = control
        self._process = process

    @property
    def alive(self) -> bool:
        return self._control.fileno() >= 0 and self._process.poll() is None

    def begin(self, files: Sequence[int]) -> None:
        """Start a task with these descriptors as its input, answer and output. Raises OSError."""
        with suppress(ConnectionError):  # the template has died, which `poll` and `wait` notice
            socket.send_fds(self._control, [b"\n"], files)

    def poll(self) -> int | None:
        """Return the exit code of the task, once; None while it runs. If the template dies, it is that of the
        template."""
        return self._code(0.0)

    def wait(self, seconds: float) -> int:
        """Return what `poll` does at the end. Raises `subprocess.TimeoutExpired` with the template killed."""
        code = self._code(seconds)
        if code is None:
            self.kill()
            raise subprocess.TimeoutExpired("a fork", seconds)
        return code

    def _code(self, seconds: float) -> int | None:
        self._control.settimeout(seconds)
        try:
            code = self._control.recv(16)
        except (TimeoutError, BlockingIOError):
            return None
        except ConnectionError:
            code = b""
        return int(code) if code else self.kill()

    def kill(self) -> int:
        """Kill it with all its processes and return its exit code. Harmless to repeat."""
        self._control.close()
        return self._process.kill()


def _started(interpreter: str, module: str, env: Mapping[str, str]) -> TaskTemplate:
    """Raises OSError."""
    control, theirs = socket.socketpair()
    with theirs:
        process = ContainedProcess(
            [interpreter, "-m", module, str(theirs.fileno())],
            env=env,
            pass_fds=(theirs.fileno(),),
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    return TaskTemplate(control, process)


def _content(file: IO[bytes], most: int) -> bytes:
    file.seek(0)
    return file.read(most)


def _lines(output: IO[bytes]) -> list[str]:
    return _content(output, _MOST_OUTPUT).decode(errors="replace").strip().splitlines()
