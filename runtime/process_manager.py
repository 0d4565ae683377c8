"""`python -m runtime.process_manager SERVICE -c FILE`: supervisord, whose own events are lines of the log, too.

With `LOG_FILE` it keeps that file, its standard output, small. With `UNTIL_EOF` it stops at the end of its standard
input: a pipe ends with the process that holds its other end, however that one dies. At its end it removes the folder
`REMOVED_AT_END`. If it is killed, its programs end with it, on Linux. A program that cannot start ends it, with that
program's last line and the exit code 1; one that has started is started again, however often it ends.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import signal
import sys
from contextlib import suppress
from typing import Any

from supervisor import dispatchers, loggers, options, poller, process, supervisord
from supervisor.states import ProcessStates, SupervisorStates

from runtime import logs

log = logging.getLogger("runtime")

LOG_BYTES = 10 * 2**20
"""Size of LOG_FILE at which its content moves to a second file, which replaces the one before."""


_STARTING, _TRIES = 30.0, 2
"""Seconds after which a program has started, and how often it is tried if it fails before."""


class _ToLog(loggers.Handler):
    """Hands supervisord's records, whose levels are numbered as Python's, to the log."""

    def emit(self, record: Any) -> None:
        log.log(record.level, "%s", record.asdict()["message"].strip())

    def close(self) -> None:
        """It has no stream of its own."""


def _handle_stdout(logger: Any, _format: str) -> None:
    handler: Any = _ToLog()  # type: ignore[no-untyped-call]
    handler.setLevel(logger.level)
    logger.addHandler(handler)


class _Poller(poller.Poller):
    """Returns from a poll also at a signal, and does what else a process manager has to do once in a while.

    Python resumes a poll that a signal interrupts (PEP 475), so each step of a stop, and each restart of a program,
    would begin up to a second late.
    """

    def initialize(self) -> None:
        self._stdin = sys.stdin.fileno() if os.environ.get("UNTIL_EOF") else None
        super().initialize()  # type: ignore[no-untyped-call]
        self._signals, written = os.pipe()
        os.set_blocking(self._signals, False)
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        self.register_readable(self._signals)  # type: ignore[no-untyped-call]
        if self._stdin is not None:
            self.register_readable(self._stdin)  # type: ignore[no-untyped-call]

    def poll(self, timeout: float) -> tuple[list[int], list[int]]:
        readable, writable = super().poll(timeout)  # type: ignore[no-untyped-call]
        if self._signals in readable:
            os.read(self._signals, 4096)
            readable.remove(self._signals)
        if self._stdin is not None and self._stdin in readable and not os.read(self._stdin, 4096):
            self.unregister_readable(self._stdin)  # type: ignore[no-untyped-call]
            os.kill(os.getpid(), signal.SIGTERM)
        if file := os.environ.get("LOG_FILE"):
            _shorten(file)
        return readable, writable


class _Program(process.Subprocess):
    """A program that ends its process manager if it cannot start. A signal is not its own failure."""

    config: Any
    last_line = cannot_start = ""
    _has_started, _failures = False, 0

    def finish(self, pid: int, status: int) -> None:
        super().finish(pid, status)  # type: ignore[no-untyped-call]
        self._has_started |= self.laststop - self.laststart > _STARTING
        if os.waitstatus_to_exitcode(status) > 0 and self.state != ProcessStates.STOPPED and not self._has_started:
            self._failures += 1
            if self._failures == _TRIES:
                _Program.cannot_start = f"{self.config.name} cannot start: {self.last_line}"
                # A signal to this process would wait behind those of its children, while programs are started again.
                self.config.options.mood = SupervisorStates.SHUTDOWN


class _Output(dispatchers.POutputDispatcher):
    """What a program writes, of which it remembers the last line."""

    def _log(self, data: bytes) -> None:
        if lines := data.decode(errors="replace").strip().splitlines():
            self.process.last_line = lines[-1]
        super()._log(data)  # type: ignore[no-untyped-call]


_MANAGER = os.getpid()
_PR_SET_PDEATHSIG = 1


def _begin_program(_options: object) -> None:
    """Runs in the child that becomes a program."""
    os.setpgrp()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != _MANAGER:
        os._exit(1)


def _shorten(file: str) -> None:
    """All programs write through this process, so nothing is written between the two steps."""
    if os.fstat(sys.stdout.fileno()).st_size > LOG_BYTES:
        shutil.copyfile(file, f"{file}.1")
        os.ftruncate(sys.stdout.fileno(), 0)


if __name__ == "__main__":
    logs.configure(sys.argv.pop(1))
    loggers.handle_stdout = _handle_stdout
    poller.Poller = _Poller
    process.Subprocess, dispatchers.POutputDispatcher = _Program, _Output  # type: ignore[misc]
    options.ServerOptions.setpgrp = _begin_program  # type: ignore[method-assign]
    try:
        supervisord.main()
        if _Program.cannot_start:
            log.error("%s", _Program.cannot_start)
            sys.exit(1)
    finally:
        if folder := os.environ.get("REMOVED_AT_END"):
            shutil.rmtree(folder, ignore_errors=True)
