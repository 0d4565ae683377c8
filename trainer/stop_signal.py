"""Waiting for the trainer's stop signal."""

from __future__ import annotations

import os
import select
import signal
from typing import Protocol


class StopSignal(Protocol):
    """Something that reports a requested stop."""

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` and return whether a stop was requested."""


class TerminationSignals:
    """A `StopSignal` for SIGTERM and SIGINT, which it records whenever they arrive.

    The handlers never raise: an exception could interrupt an import, or hide a child that has just been started.
    """

    def __init__(self) -> None:
        self._read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` and return whether a signal has arrived, now or earlier."""
        ready, _, _ = select.select([self._read], [], [], seconds)
        return bool(ready)
