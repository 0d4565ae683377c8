"""Shapley values of a game: exact over all coalitions, or estimated from permutations.

The game of a row x against a background: a coalition of players is worth the mean answer to rows that have the values
of x for its players, and those of one background row for all others. Shapley values are linear, so they are the mean
over the background rows of those of x against one row, in which only the players count whose values differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import comb, fsum
from typing import Any, Protocol

import numpy as np
from scipy.special import stdtrit

from contract.row import Row
from contract.work.explanations import MOST_EXACT, MOST_ROWS
from scoring.files.plan import Steps

SECONDS = 1.0
"""Seconds of the model after which an estimate gets no further round."""
_STEP = 0.01
"""Seconds that one call of the model is to take."""
_FIRST_CALL, _LARGEST_CALL = 32, 4096
_ROWS_TOGETHER = 1 << 16
"""Rows that are made at once of several background rows."""
FEWEST_ROUNDS = 2
"""The spread between rounds is the error of an estimate."""
_LEVEL = 0.985
"""The quantile of an error: somewhat more than 95 % of the cases, because the spread is itself an estimate."""
_NO_ERROR = 1e-12
"""The share of all contributions up to which an error is one of rounding."""
_ADDS_UP = 1e-9
"""The part of an answer up to which a difference is one of rounding, too."""


class Game(Protocol):
    """What a row is explained with."""

    @property
    def players(self) -> Sequence[str]:
        """Their names, each once."""

    @property
    def differ(self) -> Any:
        """Whether x has another value than each background row: background rows × players."""

    def rows(self, backgrounds: Any, present: Any) -> Sequence[Row]:
        """Return rows: the values of x for the players that are `present` (rows × players), and those of the
        background rows with these numbers for the others."""


@dataclass(frozen=True)
class Shapley:
    """`base` is the mean answer to the background, `value` that to x; `contributions` are their difference, by player.
    `errors`: those of estimates are smaller in 95 % of cases; None: they are exact. `rows`: scored by the model."""

    value: float
    base: float
    contributions: Any
    errors: Any
    rows: int


@dataclass
class Asking:
    """Asks a model about the rows of a game in calls of a few milliseconds. `answer` returns a number for each row."""

    game: Game
    answer: Callable[[Sequence[Row]], Any]
    rows: int = 0
    seconds: float = 0.0
    _call: int = field(default=_FIRST_CALL, init=False)

    def values(self, backgrounds: Any, present: Any) -> Steps[Any]:
        """Return the answers to mixed rows (`Game.rows`); yields after each call."""
        parts, start = [np.empty(0)], 0
        while start < len(backgrounds):
            some, began = slice(start, start + self._call), time.perf_counter()
            parts.append(self.answer(self.game.rows(backgrounds[some], present[some])))
            took, count = time.perf_counter() - began, len(parts[-1])
            start, self.rows, self.seconds = start + count, self.rows + count, self.seconds + took
            self._call = int(np.clip(count * min(4.0, _STEP / max(took, 1e-6)), 1, _LARGEST_CALL))
            yield 0
        return np.concatenate(parts)


def explain(
    game: Game,
    answer: Callable[[Sequence[Row]], Any],
    *,
    exact: bool = False,
    seed: int = 0,
    by_structure: Steps[Any] | None = None,
) -> Steps[Shapley]:
    """Return the Shapley values of a row: exact if they are asked for, of up to `MOST_EXACT` players, or take at most
    `MOST_ROWS` rows of the model, else estimated. `by_structure` finds exact ones without the model, which count if
    they add up. Yields after each call of the model; raises what that raises."""
    asking, differ = Asking(game, answer), game.differ
    rows, players = differ.shape
    present = np.repeat([[False], [True]], [rows, 1], axis=0).repeat(players, axis=1)
    *at_background, value = (yield from asking.values(np.arange(rows + 1) % rows, present)).tolist()
    base, errors = float(np.mean(at_background)), None
    values = (yield from by_structure) if by_structure else None
    if values is None or abs(values.sum() - (value - base)) > _ADDS_UP * max(1.0, abs(value), abs(base)):
        coalitions = np.exp2(np.minimum(differ.sum(axis=1), 60)).sum()
        if coalitions <= MOST_ROWS or (exact and players <= MOST_EXACT):
            values = yield from _enumerated(asking, differ)
        else:
            values, errors = yield from _estimated(asking, differ, at_background, value, np.random.default_rng(seed))
    if players:  # the last bits that rounding has lost
        values[np.abs(values).argmax()] += value - base - fsum(values)
    return Shapley(value, base, values, errors, asking.rows)


def _enumerated(asking: Asking, differ: Any) -> Steps[Any]:
    """Return the mean over the background rows of what each player adds to all coalitions of the others."""
    total, sizes = np.zeros(differ.shape[1]), 1 << differ.sum(axis=1)
    together = np.flatnonzero(np.diff(np.cumsum(sizes) // _ROWS_TOGETHER)) + 1
    for numbers in np.split(np.arange(len(differ)), together):
        present = [_coalitions(np.flatnonzero(differ[number]), len(total)) for number in numbers]
        values = yield from asking.values(np.repeat(numbers, sizes[numbers]), np.concatenate(present))
        for number, worth in zip(numbers, np.split(values, np.cumsum(sizes[numbers])[:-1]), strict=True):
            total += _added(np.flatnonzero(differ[number]), worth, len(total))
    return total / len(differ)


def _coalitions(those: Any, players: int) -> Any:
    """Return all coalitions of some of the players: the bits of 0, 1, 2, …"""
    present = np.zeros((1 << len(those), players), bool)
    present[:, those] = np.arange(len(present))[:, np.newaxis] >> np.arange(len(those)) & 1
    return present


def _added(those: Any, worth: Any, players: int) -> Any:
    """Return what each player adds to the worth of `_coalitions`, weighted by their size (Shapley 1953)."""
    added, coalitions, count = np.zeros(players), np.arange(len(worth)), len(those)
    sizes = _coalitions(those, players).sum(axis=1)
    weights = np.array([1 / (count * comb(count - 1, size)) for size in range(count)])
    for bit, player in enumerate(those):
        without = coalitions[coalitions >> bit & 1 == 0]
        added[player] = weights[sizes[without]] @ (worth[without | 1 << bit] - worth[without])
    return added


def _estimated(asking: Asking, differ: Any, at_background: Any, value: float, random: Any) -> Steps[tuple[Any, Any]]:
    """Return the means of rounds and their errors. In a round each background row meets a permutation of its players
    and the reverse one, in which they join x one by one: each player gets by how much it changes the answer."""
    total, squares, rounds = np.zeros(differ.shape), np.zeros(differ.shape), 0
    while True:
        before = asking.rows
        joined = yield from _round(asking, differ, at_background, value, random)
        total, squares, rounds = total + joined, squares + joined**2, rounds + 1
        if rounds < FEWEST_ROUNDS:
            continue
        spread = np.maximum(squares - total**2 / rounds, 0) / (rounds - 1)
        deviations = np.sqrt(spread.sum(axis=0) / rounds) / len(differ)
        values = total.mean(axis=0) / rounds
        no_error = deviations.max() <= _NO_ERROR * np.abs(values).sum()
        if no_error or asking.seconds > SECONDS or 2 * asking.rows - before > MOST_ROWS:
            return values, deviations * stdtrit((rounds - 1) * len(differ), _LEVEL)


def _round(asking: Asking, differ: Any, at_background: Any, value: float, random: Any) -> Steps[Any]:
    """Return what each player adds: background rows × players."""
    count, players = differ.shape
    sizes, steps = differ.sum(axis=1, keepdims=True), np.arange(1, players)
    order = np.where(differ, random.random(differ.shape), 1.0).argsort(axis=1)  # those that do not differ come last
    forward = order.argsort(axis=1)
    places = np.stack([forward, sizes - 1 - forward])
    asked = np.stack([steps < sizes] * 2)
    present = places[..., np.newaxis, :] < steps[:, np.newaxis]
    worth = np.full((2, count, players + 1), value)
    worth[..., 0] = at_background
    numbers = np.broadcast_to(np.arange(count)[:, np.newaxis], asked.shape)
    worth[..., 1:-1][asked] = yield from asking.values(numbers[asked], present[asked])
    added = np.take_along_axis(np.diff(worth), np.maximum(places, 0), axis=2).mean(axis=0)
    return np.where(differ, added, 0.0)
