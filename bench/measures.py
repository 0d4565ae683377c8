"""Measures: the value of one server in one round of one row of the table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.processes import DidNotStart, WrongAnswer


@dataclass(frozen=True)
class Measure:
    """`value` is in the row's unit; `hello`: requests/s of hello world in its minute; `cpu`: the generator's share."""

    row: str
    server: str
    round: int
    value: float
    bad: int = 0
    hello: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu: float | None = None


@dataclass
class Measures:
    """All measures of a run, and the failures."""

    all: list[Measure] = field(default_factory=list)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, measure: Measure) -> None:
        self.all.append(measure)

    @contextmanager
    def failures(self, row: str, server: str) -> Iterator[None]:
        """Note that the server fails in a row, and go on."""
        try:
            yield
        except (DidNotStart, WrongAnswer) as error:
            self.failed[row, server] = str(error)

    def of(self, row: str, server: str) -> list[Measure]:
        return [measure for measure in self.all if (measure.row, measure.server) == (row, server)]

    def servers(self, row: str) -> list[str]:
        return list(dict.fromkeys(measure.server for measure in self.all if measure.row == row))

    def values(self, row: str) -> Callable[[str], list[float]]:
        return lambda server: [measure.value for measure in self.of(row, server)]

    def bad(self, row: str) -> Callable[[str], list[float]]:
        return lambda server: [sum(measure.bad for measure in self.of(row, server))]

    def median(self, row: str, server: str) -> float:
        return statistics.median(measure.value for measure in self.of(row, server))

    def ratios(self, row: str, server: str, other: str) -> list[float]:
        """Return the ratios of `server` to `other`, round by round."""
        others = {measure.round: measure.value for measure in self.of(row, other)}
        return [m.value / others[m.round] for m in self.of(row, server) if others.get(m.round)]

    def ratios_to(self, row: str, other: str) -> Callable[[str], list[float]]:
        return lambda server: self.ratios(row, server, other)

    def best(self, row: str, among: Iterable[str]) -> str | None:
        return max(among, key=lambda server: self.median(row, server), default=None)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps([asdict(measure) for measure in self.all], indent=1))


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median, with the least and the most of several values."""
    if not values:
        return "–"
    middle = f"{statistics.median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"
