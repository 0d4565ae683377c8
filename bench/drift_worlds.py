"""Simulated columns whose distributions are known: rows to train on, and the shares of bins to draw served rows by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from contract.model.manifest import DataProfile
from contract.model.row_profile import column_profile
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from contract.row import Value
from observer.drift.alarm import Column, stream_columns
from observer.drift.bins import ColumnBins, NumberBins

Floats = NDArray[np.float64]

stats: Any = scipy_stats
"""Its distributions are made at run time: type checkers find none of them."""


class Simulated(Protocol):
    """A column: its kind, rows from it, and the probabilities of bins."""

    @property
    def kind(self) -> Kind: ...
    def draw(self, rng: np.random.Generator, rows: int) -> list[Value]: ...
    def shares(self, bins: ColumnBins) -> Floats: ...


@dataclass(frozen=True)
class SimulatedNumbers:
    """Numbers of a scipy distribution, times `factor`, plus `shift`; a share of `nulls`."""

    distribution: Any
    nulls: float = 0.0
    factor: float = 1.0
    shift: float = 0.0
    kind: Kind = Kind.NUMBER

    def draw(self, rng: np.random.Generator, rows: int) -> list[Value]:
        values = self.distribution.rvs(size=rows, random_state=rng) * self.factor + self.shift
        null = rng.random(rows) < self.nulls
        return [None if absent else float(value) for value, absent in zip(values, null, strict=True)]

    def shares(self, bins: ColumnBins) -> Floats:
        if not isinstance(bins, NumberBins):
            raise TypeError("numbers have bins of numbers")
        edges = (np.array(bins.edges) - self.shift) / self.factor
        up_to = self.distribution.cdf(edges)
        below = up_to - self.distribution.pmf(edges) if hasattr(self.distribution.dist, "pmf") else up_to
        # Rounding can make shares a little less than 0, or more than 1.
        shares: Floats = np.clip(np.diff([0.0, *below[:-1], up_to[-1], 1.0]), 0.0, 1.0)
        return np.append(shares * (1 - self.nulls), self.nulls)

    def moved(self, deviations: float) -> SimulatedNumbers:
        return replace(self, shift=self.shift + deviations * float(self.distribution.std()) * self.factor)

    def spread(self, times: float) -> SimulatedNumbers:
        """Return the column with a wider spread around the same mean."""
        centre = float(self.distribution.mean()) * self.factor
        return replace(self, factor=self.factor * times, shift=self.shift + centre * (1 - times))


@dataclass(frozen=True)
class SimulatedWords:
    """Words with known `weights`, whose sum need not be 1; a share of `nulls`."""

    weights: dict[str, float]
    nulls: float = 0.0
    kind: Kind = field(default=Kind.STRING, init=False)

    def draw(self, rng: np.random.Generator, rows: int) -> list[Value]:
        words, weights = list(self.weights), np.array(list(self.weights.values()))
        drawn = rng.choice(len(words), rows, p=weights / weights.sum())
        null = rng.random(rows) < self.nulls
        return [None if absent else words[index] for index, absent in zip(drawn, null, strict=True)]

    def shares(self, bins: ColumnBins) -> Floats:
        if isinstance(bins, NumberBins):
            raise TypeError("words have bins of words")
        total = sum(self.weights.values())
        kept = [self.weights.get(str(value), 0.0) / total for value in bins.values]
        shares: Floats = np.array([*kept, max(0.0, 1 - sum(kept))]) * (1 - self.nulls)
        return np.append(shares, self.nulls)

    def without(self, word: str) -> SimulatedWords:
        return replace(self, weights={key: weight for key, weight in self.weights.items() if key != word})


def twelve_columns() -> list[Simulated]:
    """Return eleven inputs, and the prediction as the last: symmetric, skewed, whole numbers, words, and nulls."""
    return [
        SimulatedNumbers(stats.norm(40, 10)),
        SimulatedNumbers(stats.norm(), nulls=0.01),
        SimulatedNumbers(stats.lognorm(1)),
        SimulatedNumbers(stats.expon(), nulls=0.05),
        SimulatedNumbers(stats.gamma(2)),
        SimulatedNumbers(stats.poisson(3), kind=Kind.INTEGER),
        SimulatedNumbers(stats.binom(1, 0.3), kind=Kind.INTEGER),
        SimulatedNumbers(stats.randint(18, 91), kind=Kind.INTEGER),
        SimulatedWords({"a": 0.3, "b": 0.25, "c": 0.2, "d": 0.15, "e": 0.07, "f": 0.03}),
        SimulatedWords({f"word {rank}": 1 / rank for rank in range(1, 61)}, nulls=0.01),
        SimulatedWords({"yes": 0.9, "no": 0.1}),
        SimulatedNumbers(stats.t(5)),
    ]


def trained(world: Sequence[Simulated], rows: int, rng: np.random.Generator) -> tuple[Column, ...]:
    """Return the columns that a monitor watches, with the profile of a training sample; the last is the output."""
    profiles = [column_profile(column.kind, column.draw(rng, rows)) for column in world]
    fields = tuple(Field(f"column {number}", column.kind, nullable=True) for number, column in enumerate(world[:-1]))
    signature = Signature(fields, (Output(OutputKind.NUMBER),), format=RowFormat.TABLE)
    return stream_columns(DataProfile(rows, tuple(profiles[:-1]), (profiles[-1],)), signature)
