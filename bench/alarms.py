"""`python -m bench.alarms`: how often the drift alarm is wrong, and how soon it is right. Takes about ten minutes.

The served rows are simulated as counts, by the true shares of the bins; the training rows are drawn one by one.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from bench import estimates
from bench.console import say
from bench.drift_worlds import Floats, Simulated, trained, twelve_columns
from observer.drift.alarm import Column, DriftMonitor
from observer.drift.bins import Counts
from observer.drift.saved import from_json, to_json
from observer.service import OF_ROWS

LEVEL = OF_ROWS * 0.01
LIFE, QUIET, ENOUGH = 1_000_000, 500_000, 2_000
"""Rows of an unchanged stream; quiet rows before a change; rows after it within which it is to be found."""
AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Change:
    """A change of one column; `positions` are those in `twelve_columns` that it happens to, one a model in turn."""

    name: str
    positions: tuple[int, ...]
    effect: Callable[[Any], Simulated]


CHANGES = (
    Change("mean by 0.5 sd", (0, 1, 11), lambda column: column.moved(0.5)),
    Change("the same, skewed", (2, 3, 4), lambda column: column.moved(0.5)),
    Change("the same, integers", (7,), lambda column: replace(column, shift=10.0)),
    Change("sd x 1.5", (0, 1, 11), lambda column: column.spread(1.5)),
    Change("nulls 1 to 10 %", (1, 9), lambda column: replace(column, nulls=0.1)),
    Change("20 % value vanishes", (8,), lambda column: column.without("c")),
    Change("unit x 1,000", (0, 1, 2, 3, 4, 11), lambda column: replace(column, factor=1_000.0)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=200, help="models without a change (default: %(default)s)")
    parser.add_argument("--changed", type=int, default=60, help="models of each change (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    say(f"seed {options.seed}; 12 columns a model; level {LEVEL:g}")
    for rows in (5_000, 600):
        say(false_alarms(rows, options.models, options.seed))
    for rows in (5_000, 600):
        for quiet in (0, QUIET):
            say(found(rows, quiet, options.changed, options.seed))
    say(estimates.table(200, options.seed))
    say(f"took {time.monotonic() - began:.0f} s")


def false_alarms(training_rows: int, models: int, seed: int) -> str:
    """Return how many models of an unchanged world ever alarm, and in which columns."""
    alarms = []
    for model in range(models):
        rng = np.random.default_rng([seed, training_rows, model])
        world = twelve_columns()
        columns = trained(world, training_rows, rng)
        monitor = DriftMonitor(columns, LEVEL)
        for counts in batches(world, columns, 1_000, LIFE // 1_000, rng):
            alarms += [f"{alarm.column} of model {model}" for alarm in monitor.observe(counts, 1_000, AT).raised]
    wrong = len({alarm.split()[-1] for alarm in alarms})
    return (
        f"\n(a) trained on {training_rows:,} rows, {LIFE:,} unchanged rows, looked at each 1,000: "
        f"{wrong} of {models} models ever alarm {alarms or ''}"
    )


def found(training_rows: int, quiet: int, models: int, seed: int) -> str:
    """Return a table of the rows after which each change is found."""
    delays: dict[str, list[int]] = {change.name: [] for change in CHANGES}
    starts: dict[str, list[int]] = {change.name: [] for change in CHANGES}
    right = dict.fromkeys(delays, 0)
    early = 0
    for model in range(models):
        rng = np.random.default_rng([seed, training_rows, quiet, model])
        world = twelve_columns()
        columns = trained(world, training_rows, rng)
        monitor = DriftMonitor(columns, LEVEL)
        for counts in batches(world, columns, 100, quiet // 100, rng):
            early += len(monitor.observe(counts, 100, AT).raised)
        saved = to_json(monitor)
        for change in CHANGES:
            position = change.positions[model % len(change.positions)]
            changed = [*world]
            changed[position] = change.effect(world[position])
            monitor = from_json(columns, saved, LEVEL)
            for counts in batches(changed, columns, 50, 200, rng):
                if raised := monitor.observe(counts, 50, AT).raised:
                    delays[change.name].append(monitor.processes.rows - quiet)
                    starts[change.name].append(abs(raised[0].since.row - quiet))
                    right[change.name] += [alarm.column for alarm in raised] == [columns[position].name]
                    break
    title = f"\n(b) trained on {training_rows:,} rows, changed after {quiet:,}; alarms before the change: {early}"
    titles = f"{'median':>9}{'worst':>8}{'column right':>14}{'since off by':>14}"
    head = f"{'change':<22}{'in 2,000 rows':>14}{'ever':>9}{titles}"
    lines = [
        f"{name:<22}{f'{sum(rows <= ENOUGH for rows in found)} of {models}':>14}{len(found):>9}"
        f"{np.median(found) if found else np.nan:>9.0f}{max(found, default=0):>8}{right[name]:>14}"
        f"{np.median(starts[name]) if found else np.nan:>14.0f}"
        for name, found in delays.items()
    ]
    return "\n".join([title, head, *lines])


def batches(
    world: Sequence[Simulated], columns: Sequence[Column], rows: int, number: int, rng: np.random.Generator
) -> Iterator[list[Counts]]:
    """Yield the counts of batches of `rows` rows from the distributions of the `world`."""
    shares: list[Floats] = [column.shares(watched.bins) for column, watched in zip(world, columns, strict=True)]
    drawn = [rng.multinomial(rows, share, size=number) for share in shares]
    for index in range(number):
        yield [counts[index] for counts in drawn]


if __name__ == "__main__":
    # Its matrices are small: threads would only wait for each other.
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
