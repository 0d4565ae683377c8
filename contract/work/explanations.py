"""Explanations of answers: what a request asks for, and as how many rows it counts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from contract.model.signature import RowFormat, Signature
from contract.row import Row

MOST_ROWS = 50_000
"""Rows that the model scores for the explanation of one row, unless an exact one is asked for."""
_ROWS_OF_COALITION = 100
"""Rows that the model scores for each coalition: those of the background, of which texts and records need none."""
MOST_EXACT = 16
"""Inputs of a row over whose coalitions an exact explanation goes, if it is asked for: 65,536 coalitions."""
STRONGEST_WORDS = 20
"""Words of a text that get a contribution each; the others share one."""


@dataclass(frozen=True)
class ExplainRequest:
    """What is explained: the answer of `output` (None: the first), and of a classifier the probability of the class
    `label` (None: the one that it predicts). `exact`: over all coalitions of up to `MOST_EXACT` inputs. `seed`: of
    estimates."""

    label: str | None = None
    output: str | None = None
    exact: bool = False
    seed: int = 0

    def to_json(self) -> dict[str, object]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> ExplainRequest:
        """Raises `ValueError` and `TypeError` for anything else than `to_json` returns."""
        request = cls(**data)
        kinds = (str | None, str | None, bool, int)
        if not all(map(isinstance, (request.label, request.output, request.exact, request.seed), kinds)):
            raise ValueError("what is to be explained cannot be read")
        return request


def counted_rows(row: Row, signature: Signature, *, exact: bool) -> int:
    """Return as how many rows a row counts for limits and queues: one for each coalition that the model is asked about
    with a whole background, which is a hundred rows."""
    if signature.format is RowFormat.TABLE:
        players, background = len(row), _ROWS_OF_COALITION
    else:
        players, background = len(set(row[0].split() if signature.format is RowFormat.TEXTS else row[0])), 1
    every = background << min(players, 100)
    return -(-(every if exact else min(every, MOST_ROWS)) // _ROWS_OF_COALITION)
