"""How many rows of a model may be scored at once, judged by how long that took so far."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_ROWS = 1024
_GROWTH = 4


@dataclass(slots=True)
class _Timing:
    """`single`: ms for one row; `more`: ms for each row beyond the first; `rows`: what follows of it."""

    single: float | None = None
    more: float | None = None
    rows: int = 1


@dataclass
class Pace:
    """Keeps what rows beyond the first add to a batch below `batch_ms`.

    What one row takes alone says little about many: a forest takes 3.3 ms for one row and 3.6 for 32. So the two are
    measured apart. A model that is not known begins with one row, and a batch is never more than four times
    what has been tried: a model that takes a second a row must not be given a thousand.
    """

    batch_ms: float
    revision: int = 0
    """Changes with `rows` of any model."""
    slow: set[str] = field(default_factory=set)
    """Models of which one row alone takes longer than `batch_ms`."""
    rows: dict[str, int] = field(default_factory=dict)
    """The most rows of a batch, by model, for the version scored last. Powers of two: they seldom change."""
    _timings: dict[tuple[str, int], _Timing] = field(default_factory=dict)

    def limit(self, model: str, version: int) -> int:
        """The most rows of one `predict`."""
        timing = self._timings.get((model, version))
        return timing.rows if timing else 1

    def record(self, model: str, version: int, rows: int, ms: float) -> None:
        """`predict` took `ms` for `rows`."""
        timing = self._timings.setdefault((model, version), _Timing())
        if rows > 1:
            added = ms / rows if timing.single is None else max(0.0, ms - timing.single) / (rows - 1)
            timing.more = added if timing.more is None else timing.more + (added - timing.more) * rows / (rows + 8)
            timing.rows = self._rounded(timing.more, max(timing.rows, _GROWTH * rows))
        # The first call of all is slow, and so is one that the machine interrupts: a lower figure counts at once.
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
