"""Processes that run code of others: they fit, load and try models.

They get no secrets in their environment, cannot read the trainer's memory, and leave no process behind.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from runtime.limits import ONE_THREAD

PROJECT = Path(__file__).resolve().parents[1]
"""Where `python -m` finds the code. A process that reads the settings keeps its folder: paths in them are relative."""

RECIPE_PREFIX = "RECIPE_"
"""The prefix of variables that are passed to recipes."""

CLUSTER_PREFIX = "DASK_"
"""The prefix of the variables of Dask, such as those that name certificates. Trainings on a cluster get them."""

_PASSED = frozenset(
    ("HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR", "TZ", "USER")
)
_PASSED_PREFIXES = (
    *("COVERAGE_", "JOBLIB_", "LC_", "LD_", "LOKY_", "MALLOC_", "MKL_", "MPL", "NUMEXPR_", "OMP_", "OPENBLAS_"),
    *("PYTHON", "SCIKIT_LEARN_", "SKLEARN_"),
)
"""The prefixes of variables that Python and the libraries read."""

_REAPER = Path(__file__).with_name("reaper.py")
_KILL_TIMEOUT = 5.0
"""Seconds that a reaper has to kill the remaining processes."""

_PR_SET_DUMPABLE = 4


def environment(*prefixes: str) -> dict[str, str]:
    """Return the variables for a process that runs code of others: those on the lists, and those that begin with one
    of `prefixes`."""
    beginnings = (*_PASSED_PREFIXES, *prefixes)
    kept = {name: value for name, value in os.environ.items() if name in _PASSED or name.startswith(beginnings)}
    return {**kept, **ONE_THREAD}


def hide_memory() -> None:
    """Keep other processes of this user from reading this one's memory and environment, and from tracing it.

    On Linux only. Forked children are hidden, too, until they execute another program or call `show_memory`.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def show_memory() -> None:
    """Undo `hide_memory` in a forked child. A hidden process cannot write its own files in /proc."""
    _prctl(_PR_SET_DUMPABLE, 1)


def _prctl(option: int, value: int) -> None:
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class ContainedProcess:
    """A command and the processes that it starts. They are killed when the command ends, when this process is gone, or
    by `kill`."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], pass_fds: Sequence[int] = (), **popen: Any
    ) -> None:
        """Raises OSError."""
        lifeline, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-IS", str(_REAPER), str(lifeline), *command],
                env=env,
                pass_fds=(lifeline, *pass_fds),
                process_group=0,
                **popen,
            )
        except OSError:
            os.close(self._lifeline)
            raise
        finally:
            os.close(lifeline)

    def poll(self) -> int | None:
        """Return the exit code as subprocess has it, or None while the command runs."""
        return self._process.poll()

    def kill(self) -> int:
        """Kill all of them and return the exit code. Harmless to repeat."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        try:
            return self._process.wait(_KILL_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the reaper was stopped or hangs
            return self._process.wait()
