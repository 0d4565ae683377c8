"""Limits that a process sets itself: memory, processor time, and threads of numerical libraries."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from contract.settings import MB

ONE_THREAD: Mapping[str, str] = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment variables for a process that imports numpy: with more threads, processes fight over the cores."""


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """Return the number of threads of this process; 1 on systems without /proc."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


def limit_memory(megabytes: int) -> None:
    """Let this process allocate `megabytes` more than it has now; an allocation beyond raises `MemoryError`.

    0 sets no limit. Does nothing on systems without /proc.
    """
    if not megabytes:
        return
    with suppress(OSError, ValueError):
        status = Path("/proc/self/status").read_text()
        now = int(status.partition("VmData:")[2].split()[0]) * 1024
        limit = now + megabytes * MB
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def prefer_for_oom_kill(score: int) -> None:
    """Make the kernel kill this process rather than others when the machine runs out of memory; at most 1000."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(score))


def take_idle_time_only() -> None:
    """Leave the processor to every other process that wants it."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):  # not Linux, or not allowed
        os.nice(19)
