"""`python reaper.py LIFELINE COMMAND…` runs a command and leaves no process of it behind. It ends as the command ends.

On Linux it is a subreaper: orphaned descendants of the command become its children, in any session or group. It kills
them when the command has ended, or when LIFELINE, a descriptor, closes, and removes their scratch folders and what
joblib has shared between them. Elsewhere it kills only the command's process group.

It runs as a file and with the standard library alone, to start quickly.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

SCRATCH = "modelgate-{}-"
"""How names of folders begin in which the process with this id runs code of others."""
_SHARED = (SCRATCH, "joblib_memmapping_folder_{}_", "sem.loky-{}-")
"""These, and how names of folders and semaphores begin that joblib makes in it."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 1, 4, 36


def main(lifeline: int, *command: str) -> None:
    os.set_inheritable(lifeline, False)
    adopt_orphans()
    _prctl(_PR_SET_DUMPABLE, 0)  # hides the environment of this process, which may hold secrets
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child, status = start(lambda: os.execv(command[0], command)), None  # noqa: S606
    while status is None:
        ready, _, _ = select.select([lifeline, woken], [], [])
        if lifeline in ready:
            break
        os.read(woken, 4096)
        status = _reap(child, os.WNOHANG)
    _exit_like(_kill_remaining(child, status))


def adopt_orphans() -> None:
    """Become the parent of descendants whose parents end."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def start(run: Callable[[], object]) -> int:
    """Run `run`, which does not return, in a fork and return its process id. If it raises SystemExit, the fork ends as
    Python does: threads are joined, and functions for the exit called.

    The fork is in a group of its own: a command that kills its group does not kill this process."""
    this = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == this:
                run()
        except SystemExit:
            raise
        except BaseException:  # noqa: S110 - there is nobody to tell
            pass
        os._exit(127)
    return child


def wait(child: int) -> int:
    """Wait until `child` has ended, kill and remove what it leaves behind, and return its status."""
    status = None
    while status is None:
        status = _reap(child, 0)
    return _kill_remaining(child, status)


def _reap(child: int, options: int) -> int | None:
    """Reap ended children. Returns the status of `child` if it is among them. Raises ChildProcessError if no child is
    left."""
    status = None
    while True:
        pid, child_status = os.waitpid(-1, options)
        if pid == child:
            status = child_status
        if options == 0 or pid == 0 or pid == child:
            return status


def _kill_remaining(child: int, status: int | None) -> int:
    """Kill children until none is left: orphans become children, too. Returns the status of `child`."""
    ended = {child}
    with suppress(ChildProcessError):
        while True:
            with suppress(OSError):
                os.killpg(child, signal.SIGKILL)
            for pid in _children():
                ended.add(pid)
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            status = _reap(child, 0) or status
    _remove_shared(ended)
    return status or 0


def _remove_shared(ended: set[int]) -> None:
    """Remove the scratch folders of these processes, and what joblib has shared between them: killed, they have not
    done it. It may be as large as the data, and in memory."""
    beginnings = tuple(beginning.format(pid) for pid in ended for beginning in _SHARED)
    for folder in {"/dev/shm", os.environ.get("TMPDIR", "/tmp"), os.environ.get("JOBLIB_TEMP_FOLDER", "/tmp")}:  # noqa: S108
        with suppress(OSError):
            for path in [entry.path for entry in os.scandir(folder) if entry.name.startswith(beginnings)]:
                import shutil  # is seldom needed, and slow to import

                shutil.rmtree(path, ignore_errors=True)
                with suppress(OSError):
                    os.unlink(path)  # a semaphore  # noqa: PTH108


def _children() -> list[int]:
    children, this = [], os.getpid()
    with suppress(OSError):
        for entry in os.listdir("/proc"):
            with suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{int(entry)}/stat", "rb") as file:  # noqa: PTH123
                    # The process name before it may hold any character.
                    parent = int(file.read().rpartition(b")")[2].split()[1])
                if parent == this:
                    children.append(int(entry))
    return children


def _exit_like(status: int) -> None:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _prctl(option: int, value: int) -> None:
    with suppress(AttributeError, OSError):  # exists only on Linux
        ctypes.CDLL(None).prctl(option, value)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
