"""Shows the trainer that its child processes make progress, through the socket that is their stdin."""

from __future__ import annotations

import os
import socket
import stat
import sys
from contextlib import suppress


class Heartbeat:
    """The child's end."""

    def __init__(self) -> None:
        """If stdin is no socket, this process was started by hand, and `beat` does nothing."""
        is_socket = stat.S_ISSOCK(os.fstat(sys.stdin.fileno()).st_mode)
        self._socket = socket.socket(fileno=os.dup(sys.stdin.fileno())) if is_socket else None

    def beat(self) -> None:
        """Show progress. Call it in each turn of the main loop."""
        if self._socket:
            with suppress(OSError):  # the parent reads no more, or not fast enough
                self._socket.send(b".", socket.MSG_DONTWAIT)


class Pulse:
    """The parent's end."""

    def __init__(self) -> None:
        self._ours, self.child_end = socket.socketpair()
        self._ours.setblocking(False)
        self._beats = 0

    def beats(self) -> int:
        """Return how often the child has shown progress."""
        with suppress(OSError):
            while received := self._ours.recv(4096):
                self._beats += len(received)
        return self._beats

    def close(self) -> None:
        """Let the child end: its stdin closes."""
        self._ours.close()
