"""The health of processes, on Unix sockets: `python -m runtime.health SOCKET…` exits with 0 if all are well.

A socket, because a file would outlive the process.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

TIMEOUT = 4.0
"""Seconds that the process has to answer."""

_WELL = "ok"


def serve_health(path: Path, problems: Callable[[], Sequence[str]]) -> None:
    """Answer `ask` from now on, in a thread, because the main loop may wait for Redis. Raises OSError.

    `problems` returns what is wrong, in sentences. It is called in that thread.
    """
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(8)
    threading.Thread(target=_answer, args=(listener, problems), name="health", daemon=True).start()


def _answer(listener: socket.socket, problems: Callable[[], Sequence[str]]) -> None:
    while True:
        caller, _ = listener.accept()
        with caller, suppress(OSError):
            caller.sendall(("; ".join(problems()) or _WELL).encode())


def ask(path: Path) -> str:
    """Return what is wrong with the process, or nothing if it is well."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(str(path))
            answer = connection.recv(65536).decode(errors="replace")
    except TimeoutError:
        return f"it has not answered for {TIMEOUT:g} s"
    except OSError as error:
        return f"it does not run: {error.strerror}"
    return "" if answer == _WELL else answer or "it ended"


if __name__ == "__main__":
    problems = [f"{path.name}: {problem}" for path in map(Path, sys.argv[1:]) if (problem := ask(path))]
    if problems:
        sys.exit("; ".join(problems))
