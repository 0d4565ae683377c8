"""What each process of a worker is doing and which models it holds, in memory that all of them share.

The supervisor reads what a process was doing when it dies or hangs. Scorers read which models the others hold. The
template reads how much each model is used.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

_HEAD = struct.Struct("<dd")  # deadline (0: nothing), seconds allowed
_BEATS = struct.Struct("<Q")
_BEATS_AT = 16
_LAST = 8
"""Bytes of a deadline. It is written last, so a process that dies while it writes has no activity."""
_USUAL_AT = 24
_LATE, _TIMES_USUAL = 1.0, 2.0
"""An activity is late after so many seconds, and so many times what it usually takes."""


@dataclass(frozen=True)
class _Text:
    """A text in each slot: a revision, which is odd while it is written; the length; at most `size` bytes."""

    at: int
    size: int


_TEXT_HEAD = struct.Struct("<II")
_MEMORY = struct.Struct("<QQ")
_MEMORY_AT = 32
_SLOW = _Text(64, 16_000)
_SUBJECTS = _Text(16_384, 114_000)
_HELD = _Text(131_072, 131_000)
_USE = _Text(262_144, 262_000)
_SKIPPED = _Text(524_288, 16_000)
_LEAVING = _Text(540_672, 4_000)
_SLOT = 544_768


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
    """One slot per process: the scorers, an extra one, the shadow scorer, the template. Each process writes its own
    slot and the others read it, without locks.

    The memory is an unnamed file: a started process gets its descriptor, a forked one inherits it. Pages that are
    never written cost nothing.
    """

    def __init__(self, descriptor: int, slots: int) -> None:
        self.descriptor = descriptor
        self.slots = slots
        self._memory = mmap.mmap(descriptor, slots * _SLOT)

    @classmethod
    def create(cls, scorers: int) -> ActivityTable:
        slots = scorers + 3
        with tempfile.TemporaryFile() as file:
            file.truncate(slots * _SLOT)
            return cls(os.dup(file.fileno()), slots)

    @property
    def scorers(self) -> range:
        """The slots of the scorers, without the extra one."""
        return range(self.slots - 3)

    @property
    def extra(self) -> int:
        """The slot of the scorer that there is while all others are late."""
        return self.slots - 3

    @property
    def shadow(self) -> int:
        """The slot of the shadow scorer."""
        return self.slots - 2

    @property
    def template(self) -> int:
        return self.slots - 1

    def close(self) -> None:
        """Give up this process's copy of the memory."""
        self._memory.close()
        os.close(self.descriptor)

    # Activities

    def begin(self, slot: int, subjects: Sequence[str], seconds: float, usual: float = math.inf) -> None:
        """Record that the process of `slot` begins work on `subjects` that may take `seconds`, and usually takes
        `usual`."""
        at = slot * _SLOT
        self.end(slot)
        self._write(slot, _SUBJECTS, "\n".join(subjects))
        struct.pack_into("<d", self._memory, at + _LAST, seconds)
        struct.pack_into("<d", self._memory, at + _USUAL_AT, usual)
        struct.pack_into("<d", self._memory, at, time.monotonic() + seconds)

    def end(self, slot: int) -> None:
        """Record that the process of `slot` is idle."""
        struct.pack_into("<d", self._memory, slot * _SLOT, 0.0)

    def clear(self, slot: int) -> Activity | None:
        """Record that the process of `slot` is dead, and return what it was doing."""
        activity = self.current(slot)
        self.end(slot)
        self.set_held(slot, (), 0)
        self.set_leaving(slot, "")
        return activity

    def current(self, slot: int) -> Activity | None:
        """Return what the process of `slot` is doing; None if it is idle. Exact once the process is dead."""
        deadline, seconds = _HEAD.unpack_from(self._memory, slot * _SLOT)
        if not deadline:
            return None
        return Activity(tuple(self._read(slot, _SUBJECTS).split("\n")), deadline, seconds)

    def begun(self, slot: int) -> int:
        """Return a number that changes with each activity of the process of `slot`."""
        return self._revision(slot, _SUBJECTS)

    def busy_for(self, slot: int) -> float:
        """Return for how many seconds the process of `slot` has been at its activity; 0 if it is idle."""
        deadline, seconds = _HEAD.unpack_from(self._memory, slot * _SLOT)
        return time.monotonic() - (deadline - seconds) if deadline else 0.0

    def is_late(self, slot: int) -> bool:
        """Return whether the process of `slot` has been at its activity for a second, and twice as long as usual."""
        usual: float = struct.unpack_from("<d", self._memory, slot * _SLOT + _USUAL_AT)[0]
        return self.busy_for(slot) > max(_LATE, _TIMES_USUAL * usual)

    def beat(self, slot: int) -> None:
        """Record that the process of `slot` makes progress. Call it at least every few seconds when idle."""
        at = slot * _SLOT + _BEATS_AT
        _BEATS.pack_into(self._memory, at, _BEATS.unpack_from(self._memory, at)[0] + 1)

    def beats(self, slot: int) -> int:
        """Return a number that grows while the process of `slot` makes progress."""
        count: int = _BEATS.unpack_from(self._memory, slot * _SLOT + _BEATS_AT)[0]
        return count

    def set_leaving(self, slot: int, why: str) -> None:
        """Record that the process of `slot` ends by itself, if there is a reason."""
        self._write(slot, _LEAVING, why)

    def leaving(self, slot: int) -> str:
        """Return why the process of `slot` ends by itself, if it does."""
        return self._read(slot, _LEAVING)

    # Models

    def set_slow_models(self, slot: int, models: Collection[str]) -> None:
        """Record the models that the process of `slot` has found slow."""
        self._write(slot, _SLOW, " ".join(sorted(models)))

    def slow_models(self, slot: int) -> set[str]:
        """Return the models that the latest process of `slot` has found slow."""
        return set(self._read(slot, _SLOW).split())

    def set_skipped(self, slot: int, models: Collection[str]) -> None:
        """Record the models of which the process of `slot` must take no jobs."""
        self._write(slot, _SKIPPED, " ".join(sorted(models)))

    def skipped(self, slot: int) -> frozenset[str]:
        """Return the models of which the process of `slot` must take no jobs."""
        return frozenset(self._read(slot, _SKIPPED).split())

    def set_held(self, slot: int, models: Iterable[str], size: int) -> None:
        """Record the models that only the process of `slot` holds, and their bytes in memory."""
        self._write(slot, _HELD, " ".join(models))
        struct.pack_into("<Q", self._memory, slot * _SLOT + _MEMORY_AT, size)

    def held(self, slot: int) -> frozenset[str]:
        """Return the models that the process of `slot` holds and does not share."""
        return frozenset(self._read(slot, _HELD).split())

    def held_revision(self, slot: int) -> int:
        """Return a number that changes with `held` and `skipped`."""
        return self._revision(slot, _HELD) + self._revision(slot, _SKIPPED)

    def held_size(self, slot: int) -> int:
        """Return the bytes in memory of the models in `held`."""
        size: int = _MEMORY.unpack_from(self._memory, slot * _SLOT + _MEMORY_AT)[0]
        return size

    def set_shared(self, slot: int, size: int, *, crowded: bool) -> None:
        """Record, as the template in `slot`, the bytes of memory that the models it shares take or will take;
        `crowded`: not all models fit."""
        _MEMORY.pack_into(self._memory, slot * _SLOT + _MEMORY_AT, size, crowded)

    def shared_size(self, slot: int) -> int:
        size: int = _MEMORY.unpack_from(self._memory, slot * _SLOT + _MEMORY_AT)[0]
        return size

    def crowded(self, slot: int) -> bool:
        return bool(_MEMORY.unpack_from(self._memory, slot * _SLOT + _MEMORY_AT)[1])

    def set_use(self, slot: int, use: Mapping[str, float]) -> None:
        """Record how much the process of `slot` has used each model lately, in jobs."""
        self._write(slot, _USE, " ".join(f"{model}={jobs:.2f}" for model, jobs in use.items()))

    def use(self, slot: int) -> dict[str, float]:
        """Return how much the processes of `slot` have used each model lately, in jobs."""
        parts = (entry.partition("=") for entry in self._read(slot, _USE).split())
        return {model: float(jobs) for model, _, jobs in parts}

    # Texts

    def _write(self, slot: int, field: _Text, text: str) -> None:
        at = slot * _SLOT + field.at
        data = text.encode()
        if len(data) > field.size:
            data = data[: field.size].rpartition(b"\n" if field is _SUBJECTS else b" ")[0]
        odd = self._revision(slot, field) | 1
        _TEXT_HEAD.pack_into(self._memory, at, odd, 0)
        begin = at + _TEXT_HEAD.size
        self._memory[begin : begin + len(data)] = data
        _TEXT_HEAD.pack_into(self._memory, at, (odd + 1) & 0xFFFFFFFF, len(data))

    def _read(self, slot: int, field: _Text) -> str:
        """Return the text; empty while it is being written, or if its writer has died at that."""
        at = slot * _SLOT + field.at
        revision, length = _TEXT_HEAD.unpack_from(self._memory, at)
        begin = at + _TEXT_HEAD.size
        data = self._memory[begin : begin + length]
        return data.decode(errors="replace") if revision == self._revision(slot, field) else ""

    def _revision(self, slot: int, field: _Text) -> int:
        revision: int = _TEXT_HEAD.unpack_from(self._memory, slot * _SLOT + field.at)[0]
        return revision
