"""`python -m launcher.locked FILE COMMAND…`: becomes the command once no other process has locked the file.

The lock ends with the last process of the command, however that ends: no two of them ever write the same data.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path


def holder(file: Path) -> str:
    """Return the id of the process that has locked the file, or ''."""
    try:
        lock = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return ""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(lock, 32).decode() or "unknown"  # it has not written it yet
    else:
        return ""
    finally:
        os.close(lock)


if __name__ == "__main__":
    file, *command = sys.argv[1:]
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    os.set_inheritable(lock, True)
    os.execvp(command[0], command)
