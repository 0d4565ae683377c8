"""Forks a process for each task that the trainer sends, and kills all that it leaves behind."""

from __future__ import annotations

import functools
import gc
import json
import os
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any, NoReturn

import numpy as np

from trainer import reaper
from trainer.forks import ForkTask
from trainer.importing import import_main
from trainer.importing.inbox import sample_comparison
from trainer.processes import hide_memory, show_memory
from trainer.publishing import verify

_NICE = 15
"""Niceness of the template and its forks. Scorers have 10: where processors are scarce, predictions go first."""

_TASKS: Mapping[ForkTask, Callable[[IO[str], Mapping[str, Any]], None]] = {
    ForkTask.EXAMINE: import_main.main,
    ForkTask.COMPARE: sample_comparison.main,
    ForkTask.VERIFY: verify.main,
}
"""They get an open file for the answer, and the task's arguments."""


def main() -> None:
    os.nice(_NICE)
    # A worker has no recipes, so a file that needs one must not load here either.
    sys.modules[verify.RECIPES] = None  # type: ignore[assignment]
    hide_memory()
    reaper.adopt_orphans()
    gc.freeze()
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    with suppress(ConnectionError):  # the trainer is gone
        while files := socket.recv_fds(control, 1, 3)[1]:
            child = reaper.start(functools.partial(_run, control, *files))
            for file in files:
                os.close(file)
            code = os.waitstatus_to_exitcode(reaper.wait(child))
            control.sendall(str(code).encode())


def _run(control: socket.socket, stdin: int, answer: int, output: int) -> NoReturn:
    """Run one task in this fork, and exit without the clean-up of the template."""
    code = 1
    try:
        control.close()
        show_memory()
        os.dup2(stdin, 0)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        for descriptor in (stdin, output):
            os.close(descriptor)
        # Forks have the state of the template. Each Python has its own.
        np.random.seed()
        code = _exit_code_of(json.load(sys.stdin), os.fdopen(answer, "w"))
    finally:
        os._exit(code)


def _exit_code_of(wanted: Mapping[str, Any], answer: IO[str]) -> int:
    try:
        with answer:
            _TASKS[ForkTask(wanted["task"])](answer, wanted["arguments"])
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
