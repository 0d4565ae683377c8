"""How many rows of a model may be scored at once, judged by how long that took so far."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_ROWS = 1024
_GROWTH = 4


@dataclass(slots=True)
class _Known:
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
    _known: dict[tuple[str, int], _Known] = field(default_factory=dict)

    def limit(self, model: str, version: int) -> int:
        """The most rows of one `predict`."""
        known = self._known.get((model, version))
        return known.rows if known else 1

    def measured(self, model: str, version: int, rows: int, ms: float) -> None:
        """`predict` took `ms` for `rows`."""
        known = self._known.setdefault((model, version), _Known())
        if rows > 1:
            added = ms / rows if known.single is None else max(0.0, ms - known.single) / (rows - 1)
            known.more = added if known.more is None else known.more + (added - known.more) * rows / (rows + 8)
            known.rows = self._rounded(known.more, max(known.rows, _GROWTH * rows))
        # The first call of all is slow, and so is one that the machine interrupts: a lower figure counts at once.
        if known.single is None or ms < known.single:
            known.single = ms
        elif rows == 1:
            known.single += 0.3 * (ms - known.single)
        if known.more is None:
            known.rows = max(2, self._rounded(known.single, _GROWTH))
        if known.rows != self.rows.get(model):
            self.rows[model] = known.rows
            self.revision += 1
        if (known.single > self.batch_ms) != (model in self.slow):
            self.slow = self.slow ^ {model}
            self.revision += 1

    def _rounded(self, ms_a_row: float, most: int) -> int:
        rows = min(self.batch_ms / max(ms_a_row, 1e-6), MOST_ROWS, most)
        return 1 << (max(1, int(rows)).bit_length() - 1)
