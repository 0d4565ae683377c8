"""Measures and returns the memory of processes. Without glibc, sizes are unknown, and freed memory goes back when the
allocator chooses."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_VERSION_1 = "memory.limit_in_bytes", "memory.usage_in_bytes"
"""The files of a control group of version 1 with its limit and its use, in bytes."""

_BLOCK = 80
"""Bytes of an average object in Python's own allocator, which only counts its objects."""


class _Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks")
        + ("uordblks", "fordblks", "keepcost")
    ]


_LIBC = ctypes.CDLL(None)
_MALLINFO = getattr(_LIBC, "mallinfo2", None)  # glibc 2.33
_TRIM = getattr(_LIBC, "malloc_trim", None)
if _MALLINFO:
    _MALLINFO.restype = _Mallinfo


def allocated() -> int:
    """Return the bytes that objects of this process take, without those that are free to be used again; 0 if unknown.

    The resident size would not do: a model that is loaded into memory freed by another one adds nothing to it.
    """
    if not _MALLINFO:
        return 0
    info = _MALLINFO()
    return int(info.uordblks + info.hblkhd) + sys.getallocatedblocks() * _BLOCK


def give_back(*, collect: bool = False) -> None:
    """Return freed memory to the system; `collect`: find objects first that are garbage in cycles."""
    if collect:
        gc.collect()
    if _TRIM:
        _TRIM(0)


def allows_another(pids: Iterable[int], cgroup: Path = Path("/sys/fs/cgroup")) -> bool:
    """Return whether machine and container have memory for another process like the largest of these, as far as it is
    known. `cgroup`: the folder with the limits of the container, of either version."""
    left = [sys.maxsize]
    with suppress(OSError, ValueError, IndexError):
        left.append(int(Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0]) * 1024)
    for folder, *names in (cgroup, "memory.max", "memory.current"), (cgroup / "memory", *_VERSION_1):
        with suppress(OSError, ValueError, IndexError):  # the limit may be `max`
            limit, used = (int((folder / name).read_text()) for name in names)
            cached = int((folder / "memory.stat").read_text().partition("inactive_file ")[2].split()[0])
            left.append(limit - used + cached)
    return min(left) > max(map(private_bytes, pids), default=0)


def private_bytes(pid: int) -> int:
    """Return the bytes in memory that a process shares with no other; 0 if unknown."""
    with suppress(OSError, ValueError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))
    return 0
