"""Forks a process for each task that the trainer sends, and kills all that it leaves behind."""

from __future__ import annotations

import functools
import gc
import json
import os
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, NoReturn

import numpy as np

from trainer import reaper
from trainer.forks import Forks, ForkTask, TaskTemplate
from trainer.processes import CLUSTER_PREFIX, RECIPE_PREFIX, hide_memory, show_memory

Task = Callable[[IO[str], Mapping[str, Any]], None]
"""What a fork does. It gets an open file for the answer, and the arguments."""

_NICE = 15
"""Niceness of the template and its forks. Scorers have 10: where processors are scarce, predictions go first."""


def main(tasks: Mapping[ForkTask, Task]) -> None:
    """Fork a process for each task that is sent over the socket whose descriptor is the only argument."""
    os.nice(_NICE)
    hide_memory()
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])), tasks)


def fork_template(tasks: Mapping[ForkTask, Task], closed: Sequence[int]) -> Forks:
    """Return forks of this process as it is now. Their template has these descriptors closed, and no variables for
    recipes and clusters."""
    control, theirs = socket.socketpair()

    def run() -> None:
        control.close()
        for descriptor in closed:
            os.close(descriptor)
        for name in [name for name in os.environ if name.startswith((RECIPE_PREFIX, CLUSTER_PREFIX))]:
            del os.environ[name]
        _serve(theirs, tasks)

    with theirs:
        return Forks(template=TaskTemplate(control, _ForkedTemplate(reaper.start(run))))


class _ForkedTemplate:
    """A child of this process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        return self._wait(os.WNOHANG)

    def kill(self) -> int:
        if self.poll() is None:
            os.kill(self._pid, signal.SIGKILL)
        return self._wait(0) or 0

    def _wait(self, options: int) -> int | None:
        if self._code is None:
            try:
                pid, status = os.waitpid(self._pid, options)
            except ChildProcessError:  # a recipe has waited for all children
                pid, status = self._pid, 0
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code


def _serve(control: socket.socket, tasks: Mapping[ForkTask, Task]) -> None:
    reaper.adopt_orphans()
    control.set_inheritable(False)
    with suppress(ConnectionError):  # the trainer is gone
        while files := socket.recv_fds(control, 1, 3)[1]:
            child = reaper.start(functools.partial(_run, tasks, control, *files))
            for file in files:
                os.close(file)
            code = os.waitstatus_to_exitcode(reaper.wait(child))
            control.sendall(str(code).encode())


def _run(tasks: Mapping[ForkTask, Task], control: socket.socket, stdin: int, answer: int, output: int) -> NoReturn:
    """Run one task in this fork and end it."""
    control.close()
    show_memory()
    os.dup2(stdin, 0)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    for descriptor in (stdin, output):
        os.close(descriptor)
    # Forks have the state of the template. Each Python has its own.
    np.random.seed()
    # The code of users writes into no folder of the server. The reaper removes this one.
    tempfile.tempdir = tempfile.mkdtemp(prefix=reaper.SCRATCH.format(os.getpid()))
    os.chdir(tempfile.tempdir)
    wanted = json.load(sys.stdin)
    code = _exit_code_of(tasks[ForkTask(wanted["task"])], wanted["arguments"], os.fdopen(answer, "w"))
    if wanted["task"] == ForkTask.TRAIN:
        sys.exit(code)  # joblib ends its processes and removes its files at the exit of Python
    os._exit(code)


def _exit_code_of(task: Task, arguments: Mapping[str, Any], answer: IO[str]) -> int:
    try:
        with answer:
            task(answer, arguments)
    except SystemExit as ended:
        if not isinstance(ended.code, str):
            return ended.code or 0
        sys.stderr.write(ended.code)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    return 0
