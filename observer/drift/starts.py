"""The processes of one stream: where each began, and the rows since then."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from observer.drift.bins import Counts
from observer.drift.evidence import BLOCK, surviving


@dataclass(frozen=True)
class Start:
    """Where a process began: the number of its block, the rows before it, and the time of its first rows."""

    block: int
    row: int
    at: datetime


@dataclass
class Processes:
    """The living processes from the oldest to the youngest, which is the only one in the open block.

    `spans` has the rows in each bin from one start to the next, and from the last until now; its shape is
    (processes, bins of all columns). Spans take fewer digits than the rows since each start.
    """

    starts: list[Start]
    spans: Counts
    rows: int = 0
    _blocks: Counts = field(init=False)

    def __post_init__(self) -> None:
        self._blocks = np.array([start.block for start in self.starts], np.int64)

    @property
    def blocks(self) -> Counts:
        """The numbers of the blocks that the processes began with."""
        return self._blocks

    @property
    def open_rows(self) -> int:
        """The rows of the open block."""
        return self.rows - self.starts[-1].row if self.starts else 0

    def add(self, counts: Counts, rows: int, at: datetime) -> bool:
        """Add rows to the open block, or open one. Return whether the block is complete.

        Where a block ends depends on the number of its rows, never on their values.
        """
        if not self.starts or self.open_rows >= BLOCK:
            self._open(Start(self.starts[-1].block + 1 if self.starts else 0, self.rows, at))
        self.spans[-1] += counts
        self.rows += rows
        return self.open_rows >= BLOCK

    def since_starts(self) -> Counts:
        """Return the rows in each bin since each start; the shape is that of `spans`."""
        totals: Counts = np.cumsum(self.spans[::-1], axis=0)[::-1]
        return totals

    def _open(self, start: Start) -> None:
        """Start a process, and drop those whose turn it is; their spans join those of the next older ones."""
        self.starts.append(start)
        blocks = np.append(self._blocks, start.block)
        spans = np.vstack([self.spans, np.zeros_like(self.spans[:1], shape=(1, self.spans.shape[1]))])
        kept = np.flatnonzero(surviving(blocks, start.block))
        if len(kept) < len(blocks):
            self.starts = [self.starts[index] for index in kept]
            # Block 0 is never dropped, so each span belongs to a process that stays.
            spans = np.add.reduceat(spans, kept, axis=0)
        self.spans, self._blocks = spans, blocks[kept]
