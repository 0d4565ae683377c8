"""A saved monitor continues as if it had never stopped, and takes little room."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from bench.alarms import batches
from bench.drift_worlds import Simulated, SimulatedNumbers, SimulatedWords, stats, trained, twelve_columns
from observer.drift.alarm import DriftMonitor
from observer.drift.evidence import BLOCK, surviving
from observer.drift.saved import from_json, to_json
from observer.drift.starts import Processes, Start

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.slow
def test_a_monitor_that_is_saved_after_each_batch_raises_the_same_alarms() -> None:
    rng = np.random.default_rng(0)
    world = twelve_columns()
    columns = trained(world, 600, rng)
    changed = [SimulatedNumbers(stats.norm(48, 10)), *world[1:]]
    whole, saved = DriftMonitor(columns), DriftMonitor(columns)
    raised = recovered = 0
    for rows in (world, changed, world, changed):
        for size in (30, 70, 500):
            for counts in batches(rows, columns, size, 15, rng):
                saved = from_json(columns, json.loads(json.dumps(to_json(saved))))
                expected = (
                    DriftMonitor(columns).observe(counts, 0, AT) if size == 0 else whole.observe(counts, size, AT)
                )
                if saved is not whole:
                    assert saved.observe(counts, size, AT) == expected
                raised, recovered = raised + len(expected.raised), recovered + len(expected.recovered)
                assert saved.alarms() == whole.alarms()
    assert (raised, recovered) == (2, 1)
    assert to_json(saved) == to_json(whole)


def test_a_new_monitor_can_be_saved() -> None:
    columns = trained(twelve_columns(), 100, np.random.default_rng(0))
    assert to_json(from_json(columns, to_json(DriftMonitor(columns)))) == to_json(DriftMonitor(columns))


def test_a_state_of_other_bins_is_refused() -> None:
    one, other = (trained(twelve_columns(), 600, np.random.default_rng(seed)) for seed in (0, 1))
    with pytest.raises(ValueError, match="begin with a new state"):
        from_json(other, to_json(DriftMonitor(one)))


@pytest.mark.slow
@pytest.mark.parametrize("moved", [False, True])
def test_the_state_of_a_thousand_columns_is_below_one_megabyte(moved: bool) -> None:
    """Half of the columns have fifty words, half are numbers; 100 million rows, like training or unlike."""
    rng = np.random.default_rng(0)
    words = SimulatedWords({f"word {number}": 1 + number / 50 for number in range(50)})
    world: list[Simulated] = [words, SimulatedNumbers(stats.norm())] * 500
    columns = trained(world, 5_000, rng)
    monitor = DriftMonitor(columns)
    shares = [column.shares(watched.bins) for column, watched in zip(world, columns, strict=True)]
    if moved:
        shares = [np.roll(share, 1) for share in shares]
    blocks = np.arange(100_000_000 // BLOCK)
    alive = blocks[surviving(blocks, len(blocks) - 1)]
    starts = [Start(block, block * BLOCK, AT) for block in alive.tolist()]
    rows = np.diff(np.append(alive, len(blocks))) * BLOCK
    spans = np.concatenate([rng.multinomial(rows, share) for share in shares], axis=1)
    monitor.processes = Processes(starts, spans, int(rows.sum()))
    assert len(json.dumps(to_json(monitor))) < 1_000_000
    assert (from_json(columns, to_json(monitor)).processes.spans == spans).all()
