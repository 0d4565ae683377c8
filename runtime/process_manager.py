"""`python -m runtime.process_manager SERVICE -c FILE`: supervisord, whose own events are lines of the log, too."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import Any

from supervisor import loggers, poller, supervisord

from runtime import logs

log = logging.getLogger("runtime")


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
    """Returns from a poll also at a signal.

    Python resumes a poll that a signal interrupts (PEP 475), so each step of a stop, and each restart of a program,
    would begin up to a second late.
    """

    def initialize(self) -> None:
        super().initialize()  # type: ignore[no-untyped-call]
        self._signals, written = os.pipe()
        os.set_blocking(self._signals, False)
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        self.register_readable(self._signals)  # type: ignore[no-untyped-call]

    def poll(self, timeout: float) -> tuple[list[int], list[int]]:
        readable, writable = super().poll(timeout)  # type: ignore[no-untyped-call]
        if self._signals in readable:
            os.read(self._signals, 4096)
            readable.remove(self._signals)
        return readable, writable


if __name__ == "__main__":
    logs.configure(sys.argv.pop(1))
    loggers.handle_stdout = _handle_stdout
    poller.Poller = _Poller
    supervisord.main()
