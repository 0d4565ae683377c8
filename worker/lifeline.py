"""The connection between a supervisor and a scorer that is not its child: each learns at once that the other died."""

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
    """What a scorer says of itself: its process, and at which generation its template forked it."""

    pid: int
    generation: int


class Lifeline:
    """The scorer's end. Nobody else has it: it closes when, and only when, the scorer is gone."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def wait_for_start(self, generation: int) -> bool:
        """Says hello and waits for the word to begin, after which this process does not outlive its supervisor.

        False: the supervisor is gone, or does not want this scorer.
        """
        self._end.sendall(json.dumps([os.getpid(), generation]).encode())
        if not self._end.recv(1):
            return False
        # A child that the model forks must not keep it open: nobody would learn that the scorer is gone.
        os.register_at_fork(after_in_child=self._end.close)
        # The kernel tells, and not a thread: the model may be in C code that gives no thread a turn. Linux ends a
        # process that does not handle SIGIO, macOS does not.
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
        """The other end is the scorer's only now."""
        self.scorer_end.close()

    def read(self) -> Hello | None:
        """What the scorer says; None: it is gone. To be called when there is something to read."""
        try:
            received = self._ours.recv(256)
        except OSError:
            return None
        return Hello(*json.loads(received)) if received else None

    def send_start(self) -> None:
        """The word to begin."""
        with suppress(OSError):
            self._ours.send(b"!")

    def close(self) -> None:
        self._ours.close()
