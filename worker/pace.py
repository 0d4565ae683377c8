"""How many rows of a model one `predict` may score, from measurements of earlier calls."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_ROWS = 1024
_GROWTH = 4


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
    measured apart. An unknown model starts with one row, and a batch is at most four times as large as the largest so
    far: a model that needs a second per row must not get a thousand rows.
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
