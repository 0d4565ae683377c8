"""What each process of a worker is doing, in shared memory: the supervisor reads it when a process dies or hangs."""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

_HEAD = struct.Struct("<ddII")  # deadline (0: nothing), seconds allowed, bytes of subjects, bytes of slow models
_SLOW_AT, _SUBJECTS_AT, _SLOT = 64, 16384, 131072
_LAST = 8
"""Bytes of a deadline. It is written last, so a process that dies while it writes has no activity."""


@dataclass(frozen=True)
class Activity:
    """What a process is doing: scoring the jobs, or loading the version, in `subjects`.

    It may take `seconds`, until `deadline` on the monotonic clock.
    """

    subjects: tuple[str, ...]
    deadline: float
    seconds: float

    @property
    def overdue(self) -> bool:
        return time.monotonic() > self.deadline


class ActivityTable:
    """One slot per process. Each process writes its own slot and the supervisor reads all, without locks.

    The memory is an unnamed file: a started process gets its descriptor, a forked one inherits it. Pages that are
    never written cost nothing.
    """

    def __init__(self, descriptor: int, slots: int) -> None:
        self.descriptor = descriptor
        self.slots = slots
        self._memory = mmap.mmap(descriptor, slots * _SLOT)

    @classmethod
    def create(cls, slots: int) -> ActivityTable:
        with tempfile.TemporaryFile() as file:
            file.truncate(slots * _SLOT)
            return cls(os.dup(file.fileno()), slots)

    def begin(self, slot: int, subjects: Sequence[str], seconds: float) -> None:
        """Record that the process of `slot` begins work on `subjects` that may take `seconds`."""
        at = slot * _SLOT
        text = "\n".join(subjects).encode()[: _SLOT - _SUBJECTS_AT]
        self.end(slot)
        self._memory[at + _SUBJECTS_AT : at + _SUBJECTS_AT + len(text)] = text
        struct.pack_into("<dI", self._memory, at + _LAST, seconds, len(text))
        struct.pack_into("<d", self._memory, at, time.monotonic() + seconds)

    def end(self, slot: int) -> None:
        """Record that the process of `slot` is idle."""
        struct.pack_into("<d", self._memory, slot * _SLOT, 0.0)

    def current(self, slot: int) -> Activity | None:
        """Return what the process of `slot` is doing; None if it is idle. Exact once the process is dead."""
        at = slot * _SLOT
        deadline, seconds, length, _ = _HEAD.unpack_from(self._memory, at)
        if not deadline:
            return None
        text = self._memory[at + _SUBJECTS_AT : at + _SUBJECTS_AT + length].decode(errors="replace")
        return Activity(tuple(text.split("\n")), deadline, seconds)

    def set_slow_models(self, slot: int, models: Collection[str]) -> None:
        """Record the models that the process of `slot` has found slow."""
        at = slot * _SLOT
        text = " ".join(sorted(models)).encode()[: _SUBJECTS_AT - _SLOW_AT]
        self._memory[at + _SLOW_AT : at + _SLOW_AT + len(text)] = text
        struct.pack_into("<I", self._memory, at + _HEAD.size - 4, len(text))

    def slow_models(self, slot: int) -> set[str]:
        """Return the models that the latest process of `slot` has found slow."""
        at = slot * _SLOT
        length = _HEAD.unpack_from(self._memory, at)[3]
        return set(self._memory[at + _SLOW_AT : at + _SLOW_AT + length].decode(errors="replace").split())
