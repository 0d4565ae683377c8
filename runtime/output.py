"""What foreign code prints: each line of a pipe becomes an event of the log."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

LONGEST_LINE = 4096
"""Bytes without a line end after which a line ends."""


class PrintedLines:
    """A pipe for the standard output of other processes, whose lines it hands on."""

    def __init__(self, log: Callable[[str], object]) -> None:
        """`log` gets each line, without its end; empty lines are dropped."""
        self._log = log
        self._partial = b""
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)

    def fileno(self) -> int:
        """Return the descriptor that is readable when something was printed."""
        return self._read_end

    def read(self) -> None:
        """Log what has been printed; at most 64 KB a call, since a program may print without end."""
        with suppress(BlockingIOError):
            *lines, self._partial = (self._partial + os.read(self._read_end, 65_536)).split(b"\n")
            if len(self._partial) > LONGEST_LINE:
                lines, self._partial = [*lines, self._partial], b""
            for line in lines:
                if text := line.decode(errors="replace").rstrip():
                    self._log(text)

    def close(self) -> None:
        """Log the rest, without its line end, and close the pipe."""
        self.read()
        if self._partial:
            self._log(self._partial.decode(errors="replace"))
        os.close(self._read_end)
        os.close(self.write_end)
