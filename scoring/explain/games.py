"""The players of a row: the columns of a table, the words of a text, or the names of a record."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from contract.row import ColumnarRows, Row

MOST_PLAYERS = 2000
"""Words of a text, or names of a record, that are players; all others are one more."""
OTHER_WORDS, OTHER_NAMES = "other words", "other names"
_PIECE = re.compile(r"\s*\S+\s*")


@dataclass(frozen=True)
class Columns:
    """A row of a table, whose inputs have the names `players`, against the rows of a `background`."""

    players: Sequence[str]
    row: Row
    background: Sequence[Row]

    @cached_property
    def _values(self) -> list[Any]:
        """The values of each column: those of the background rows, and that of x at the end. Numbers are arrays."""
        columns = [list(values) for values in zip(*self.background, self.row, strict=True)]
        return [np.array(values) if set(map(type, values)) == {float} else values for values in columns]

    @cached_property
    def differ(self) -> Any:
        return np.array([[value != values[-1] for value in values[:-1]] for values in self._values]).T

    def rows(self, backgrounds: Any, present: Any) -> Sequence[Row]:
        places = np.where(present, len(self.background), backgrounds[:, np.newaxis]).T
        return ColumnarRows(
            [
                values[at] if isinstance(values, np.ndarray) else list(map(values.__getitem__, at.tolist()))
                for values, at in zip(self._values, places, strict=True)
            ]
        )


@dataclass(frozen=True)
class Parts:
    """A text or a record against one without any of its parts. `owners` has the number of the player that each part
    belongs to."""

    players: Sequence[str]
    owners: Sequence[int]

    @property
    def differ(self) -> Any:
        return np.ones((1, len(self.players)), bool)

    def rows(self, backgrounds: Any, present: Any) -> Sequence[Row]:  # noqa: ARG002
        return [[self._whole(kept)] for kept in present[:, self.owners].tolist()]

    def _whole(self, kept: Sequence[bool]) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class Words(Parts):
    """A text. A word takes the blanks behind it with it."""

    pieces: Sequence[str]

    @classmethod
    def of(cls, text: str) -> Words:
        pieces = _PIECE.findall(text)
        return cls(*_players([piece.strip() for piece in pieces], OTHER_WORDS), pieces)

    def _whole(self, kept: Sequence[bool]) -> str:
        return "".join(piece for piece, is_kept in zip(self.pieces, kept, strict=True) if is_kept)


@dataclass(frozen=True)
class Names(Parts):
    """A record."""

    record: Mapping[str, Any]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Names:
        return cls(*_players(list(record), OTHER_NAMES), record)

    def _whole(self, kept: Sequence[bool]) -> Mapping[str, Any]:
        return {name: value for (name, value), is_kept in zip(self.record.items(), kept, strict=True) if is_kept}


def _players(names: Sequence[str], others: str) -> tuple[Sequence[str], Sequence[int]]:
    """Return the players, and the number of the one that each part with one of these names belongs to."""
    players = list(dict.fromkeys(names))
    if len(players) > MOST_PLAYERS:
        players[MOST_PLAYERS:] = [others]
    numbers = {name: number for number, name in enumerate(players)}
    return players, [numbers.get(name, MOST_PLAYERS) for name in names]
