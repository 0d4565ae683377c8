"""Measures: the value of one server in one round of one row of the table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path


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

    found: list[Measure] = field(default_factory=list)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, measure: Measure) -> None:
        self.found.append(measure)

    def fail(self, row: str, server: str, why: str) -> None:
        self.failed[row, server] = why

    def of(self, row: str, server: str) -> list[Measure]:
        return [measure for measure in self.found if (measure.row, measure.server) == (row, server)]

    def servers(self, row: str) -> list[str]:
        return list(dict.fromkeys(measure.server for measure in self.found if measure.row == row))

    def median(self, row: str, server: str) -> float:
        return statistics.median(measure.value for measure in self.of(row, server))

    def ratios(self, row: str, server: str, other: str) -> list[float]:
        """Return the ratios of `server` to `other`, round by round."""
        others = {measure.round: measure.value for measure in self.of(row, other)}
        return [m.value / others[m.round] for m in self.of(row, server) if others.get(m.round)]

    def best(self, row: str, among: Iterable[str], better: Callable[..., str] = max) -> str | None:
        candidates = [server for server in among if self.of(row, server)]
        return better(candidates, key=lambda server: self.median(row, server)) if candidates else None

    def save(self, path: Path) -> None:
        path.write_text(json.dumps([asdict(measure) for measure in self.found], indent=1))
