"""The connection of a supervisor and a scorer, which is not its child: each notices at once that the other died."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Hello:
    """A scorer's first message: its process id, and the generation of its template when it was forked."""

    pid: int
    generation: int


class Lifeline:
    """The scorer's end. No other process holds it, so it closes exactly when the scorer dies."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def wait_for_start(self, generation: int) -> bool:
        """Say hello and wait until the supervisor sends the start. From then on this process dies with its supervisor.

        Returns False if the supervisor is gone or does not want this scorer.
        """
        try:
            self._end.sendall(json.dumps([os.getpid(), generation]).encode())
            if not self._end.recv(1):
                return False
        except ConnectionError:
            return False
        # A child that the model forks must not keep it open, or the supervisor would not notice that the scorer died.
        os.register_at_fork(after_in_child=self._end.close)
        # A signal from the kernel and not a thread: the model may run C code that holds the GIL. Linux ends a process
        # that does not handle SIGIO, macOS does not.
        signal.signal(signal.SIGIO, signal.SIG_DFL if sys.platform == "linux" else lambda *_: os._exit(1))
        fcntl.fcntl(self._end, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self._end, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
        with suppress(BlockingIOError):
            return bool(self._end.recv(1))
        return True

    def close(self) -> None:
        self._end.close()


class ScorerConnection:
    """The supervisor's end."""

    def __init__(self) -> None:
        self._ours, self.scorer_end = socket.socketpair()

    def fileno(self) -> int:
        return self._ours.fileno()

    def close_scorer_end(self) -> None:
        """Close this process's copy of the scorer's end, once it has been sent to the template."""
        self.scorer_end.close()

    def read(self) -> Hello | None:
        """Return the scorer's message; None if the scorer is gone. Call it when `fileno()` is readable."""
        try:
            received = self._ours.recv(256)
        except OSError:
            return None
        return Hello(*json.loads(received)) if received else None

    def send_start(self) -> None:
        """Let the scorer take jobs."""
        with suppress(OSError):
            self._ours.send(b"!")

    def close(self) -> None:
        self._ours.close()
