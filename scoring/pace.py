"""How many rows one call of a model may score: of jobs, from all earlier calls; of a file, from calls that try it.

A new model starts with one row, and a call gets at most four times the rows of the largest one so far: a model that
needs a second per row must not get a thousand rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

MAX_ROWS = 1024
"""The most rows of jobs in a batch."""
_MOST_FILE_ROWS = 4096
_GROWTH = 4
_TRIES = 3
_WAITING = 4
CALL_MS = 15.0
"""The processor time that one call of a model may take for a file, if it gets more than one row."""


@dataclass(slots=True)
class _Timing:
    """`single`: ms for one row; `more`: ms for each further row; `rows`: the resulting limit."""

    single: float | None = None
    more: float | None = None
    rows: int = 1


@dataclass
class Pace:
    """Limits batches so that the rows beyond the first take at most `batch_ms`.

    The time of one row says little about many: a forest takes 3.3 ms for one row and 3.6 for 32. So the two are
    measured apart.
    """

    batch_ms: float
    revision: int = 0
    """Grows whenever `rows` or `slow` changes."""
    slow: set[str] = field(default_factory=set)
    """Models that need longer than `batch_ms` for a single row."""
    rows: dict[str, int] = field(default_factory=dict)
    """The limit of each model, for the version scored last. Limits are powers of two, so they seldom change."""
    _timings: dict[tuple[str, int], _Timing] = field(default_factory=dict)

    def limit(self, model: str, version: int) -> int:
        """Return the most rows of one `predict`."""
        timing = self._timings.get((model, version))
        return timing.rows if timing else 1

    def usual(self, model: str, version: int, rows: int) -> float:
        """Return the seconds that one `predict` of `rows` usually takes; 0 if that is not known."""
        timing = self._timings.get((model, version), _Timing())
        single = timing.single or 0.0
        return (single + (timing.more or single) * (rows - 1)) / 1000

    def record(self, model: str, version: int, rows: int, ms: float) -> None:
        """Record that `predict` took `ms` for `rows`."""
        timing = self._timings.setdefault((model, version), _Timing())
        if rows > 1:
            added = ms / rows if timing.single is None else max(0.0, ms - timing.single) / (rows - 1)
            timing.more = added if timing.more is None else timing.more + (added - timing.more) * rows / (rows + 8)
            timing.rows = self._rounded(timing.more, max(timing.rows, _GROWTH * rows))
        # A first call is slow, and so is an interrupted one: a lower figure counts at once, a higher one slowly.
        if timing.single is None or ms < timing.single:
            timing.single = ms
        elif rows == 1:
            timing.single += 0.3 * (ms - timing.single)
        if timing.more is None:
            timing.rows = max(2, self._rounded(timing.single, _GROWTH))
        if timing.rows != self.rows.get(model):
            self.rows[model] = timing.rows
            self.revision += 1
        if (timing.single > self.batch_ms) != (model in self.slow):
            self.slow = self.slow ^ {model}
            self.revision += 1

    def _rounded(self, ms_a_row: float, most: int) -> int:
        rows = min(self.batch_ms / max(ms_a_row, 1e-6), MAX_ROWS, most)
        return 1 << (max(1, int(rows)).bit_length() - 1)


def find_call_rows(call: Callable[[int], object], available: int) -> Generator[int, None, int]:
    """Return the most rows with which a call takes at most `CALL_MS`. `call` makes one with so many rows, at most
    `available`; yields 0 between calls. A size that is a power of four seldom differs from one run to the next."""
    size = 1
    while size <= min(available, _MOST_FILE_ROWS) and (yield from _is_fast(call, size)):
        size *= _GROWTH
    return max(1, size // _GROWTH)


def _is_fast(call: Callable[[int], object], rows: int) -> Generator[int, None, bool]:
    """Return whether one of some calls takes at most `CALL_MS` of a processor: a first call is slow. The time on the
    clock, which is longer where others use the processors, only limits models that wait."""
    for _ in range(_TRIES):
        began, used = time.perf_counter(), time.thread_time()
        call(rows)
        used, took = time.thread_time() - used, time.perf_counter() - began
        if used * 1000 <= CALL_MS and took * 1000 <= _WAITING * CALL_MS:
            return True
        yield 0
    return False
