"""Memory shared by the processes of one worker: what each is at, so that the supervisor knows whom a death concerns."""

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
"""Bytes of a deadline: written last, so that a process that dies while it writes has noted nothing."""


@dataclass(frozen=True)
class Activity:
    """What a process is at: ids of jobs, or a model; it may take `seconds`, until `deadline` of the monotonic clock."""

    subjects: tuple[str, ...]
    deadline: float
    seconds: float

    @property
    def overdue(self) -> bool:
        return time.monotonic() > self.deadline


class ActivityTable:
    """One slot a process. Each writes its own; the supervisor reads all. Nothing is locked.

    Pages nobody writes cost nothing. The memory is a file without a name: it is handed on as a descriptor where a
    process is started, and inherited where it is forked.
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
        """The process of `slot` begins something that may take `seconds`."""
        at = slot * _SLOT
        text = "\n".join(subjects).encode()[: _SLOT - _SUBJECTS_AT]
        self.end(slot)
        self._memory[at + _SUBJECTS_AT : at + _SUBJECTS_AT + len(text)] = text
        struct.pack_into("<dI", self._memory, at + _LAST, seconds, len(text))
        struct.pack_into("<d", self._memory, at, time.monotonic() + seconds)

    def end(self, slot: int) -> None:
        struct.pack_into("<d", self._memory, slot * _SLOT, 0.0)

    def current(self, slot: int) -> Activity | None:
        """What the process of `slot` is at; None: nothing. Exact once the process is dead."""
        at = slot * _SLOT
        deadline, seconds, length, _ = _HEAD.unpack_from(self._memory, at)
        if not deadline:
            return None
        text = self._memory[at + _SUBJECTS_AT : at + _SUBJECTS_AT + length].decode(errors="replace")
        return Activity(tuple(text.split("\n")), deadline, seconds)

    def set_slow_models(self, slot: int, models: Collection[str]) -> None:
        """The process of `slot` has found these models slow."""
        at = slot * _SLOT
        text = " ".join(sorted(models)).encode()[: _SUBJECTS_AT - _SLOW_AT]
        self._memory[at + _SLOW_AT : at + _SLOW_AT + len(text)] = text
        struct.pack_into("<I", self._memory, at + _HEAD.size - 4, len(text))

    def slow_models(self, slot: int) -> set[str]:
        """The models that whatever process was last in `slot` has found slow."""
        at = slot * _SLOT
        length = _HEAD.unpack_from(self._memory, at)[3]
        return set(self._memory[at + _SLOW_AT : at + _SLOW_AT + length].decode(errors="replace").split())
