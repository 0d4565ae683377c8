"""Processes of a server under test: start, wait until it serves, memory, stop; and a Redis for those that need one."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from launcher.redis_server import executable
from runtime.limits import ONE_THREAD

PROJECT = Path(__file__).resolve().parents[1]
WORK = PROJECT / ".bench"
"""The folder for all files of a run but its result."""

START_DEADLINE = 90.0
STOP_DEADLINE = 6.0


class DidNotStart(Exception):
    """A server under test does not serve; the message says why, with the end of its log."""


class WrongAnswer(Exception):
    """A server under test gives another answer than the model."""


def use_two_cores() -> int:
    """Bind this process and its children to two cores. Return how many there really are."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cores)
    return len(cores)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], bool], seconds: float, every: float = 0.05) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(every)
    return False


class Process:
    """A process and its children, with a log."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path, cwd: Path = PROJECT) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                cwd=cwd,
                env={
                    **os.environ,
                    **ONE_THREAD,
                    "LOKY_MAX_CPU_COUNT": "1",
                    "PYTHONPATH": str(cwd / "kernels" / "src"),  # those of another checkout, if it is one
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def tree(self) -> list[int]:
        return [self._process.pid, *descendants(self._process.pid)]

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " | ".join(line.strip() for line in lines[-3:])[-400:]

    def stop(self) -> None:
        """Send SIGTERM to the first process, which stops the others. Kill those that remain."""
        tree = {pid: _started(pid) for pid in self.tree()}
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_DEADLINE)
        until(lambda: all(_started(pid) != start for pid, start in tree.items()), 2)
        for pid, start in tree.items():
            if start is not None and _started(pid) == start:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._process.wait(STOP_DEADLINE)


def descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                # The name of a program may hold blanks and brackets; what follows the last bracket is regular.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    below_it, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        below_it += below
        waiting += below
    return below_it


def command_line(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def pss_mb(pids: Sequence[int]) -> float:
    """Return the proportional set size in MB: memory that two processes share counts half in each."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total * 1024 / 1e6


def _started(pid: int) -> str | None:
    """Return when the process began, which tells it from a later one with its id. None: it has ended or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


@contextmanager
def redis_server(fsync: str = "everysec") -> Iterator[str]:
    """A Redis as `make up` has it: a socket, an append-only file on the disk of the project; gives its URL."""
    data = WORK / "redis"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as short:
        path = f"{short}/redis.sock"
        options = {"port": "0", "unixsocket": path, "dir": str(data), "save": "", "appendonly": "yes"}
        options["appendfsync"] = fsync
        command = [executable(), *(part for name, value in options.items() for part in (f"--{name}", value))]
        process = Process(command, {}, WORK / "logs" / "redis.log")
        try:
            if not until(lambda: answers(f"unix://{path}"), START_DEADLINE):
                raise DidNotStart(f"Redis: {process.last_words()}")
            yield f"unix://{path}"
        finally:
            process.stop()


def answers(url: str) -> bool:
    try:
        with Redis.from_url(url) as connection:
            return bool(connection.ping())
    except RedisError:
        return False
