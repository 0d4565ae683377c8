"""A monitor alarms for the column that has changed, soon, and not for others; and it goes on after an alarm."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from bench.alarms import CHANGES, Change, batches
from bench.drift_worlds import Simulated, SimulatedNumbers, SimulatedWords, stats, trained, twelve_columns
from contract.model.manifest import DataProfile
from contract.model.row_profile import column_profile
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from observer.drift import sizes
from observer.drift.alarm import Alarm, Column, DriftMonitor, stream_columns
from observer.drift.bins import Counts
from observer.drift.evidence import BLOCK
from observer.drift.starts import Processes

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Stream:
    """A monitor with the world that its rows come from; one row a second."""

    def __init__(self, world: Sequence[Simulated], training_rows: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.world = list(world)
        self.columns = trained(self.world, training_rows, self.rng)
        self.monitor = DriftMonitor(self.columns)
        self.raised: list[Alarm] = []
        self.recovered: list[Alarm] = []

    def run(self, rows: int, batch: int = 100) -> list[Alarm]:
        """Serve rows. Return the alarms that they raise."""
        before = len(self.raised)
        for counts in batches(self.world, self.columns, batch, rows // batch, self.rng):
            at = BEGIN + timedelta(seconds=self.monitor.processes.rows)
            events = self.monitor.observe(counts, batch, at)
            self.raised += events.raised
            self.recovered += events.recovered
        return self.raised[before:]


def normals(number: int = 3) -> list[Simulated]:
    return [SimulatedNumbers(stats.norm(), nulls=0.01)] * number


@pytest.mark.parametrize("training_rows", [600, 5_000])
def test_an_unchanged_stream_raises_no_alarm(training_rows: int) -> None:
    for seed in range(5):
        assert Stream(twelve_columns(), training_rows, seed).run(20_000) == []


@pytest.mark.slow
def test_the_evidence_alone_keeps_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the minimal sizes, with a level of a half, and in batches of any size: at most half of streams alarm."""
    monkeypatch.setattr(sizes, "MINIMA", sizes.Sizes(0.0, 0.0, 0.0))
    alarms = 0
    for seed in range(30):
        stream = Stream(twelve_columns(), (60, 600, 5_000)[seed % 3], seed)
        stream.monitor = DriftMonitor(stream.columns, level=0.5)
        alarms += bool(stream.run(5_000, batch=(7, 50, 333)[seed // 3 % 3]))
    assert alarms <= 15


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
@pytest.mark.parametrize("quiet", [0, 20_000])
def test_a_change_is_found_within_2000_rows_in_the_right_column(change: Change, quiet: int) -> None:
    position = change.positions[0]
    stream = Stream(twelve_columns(), 5_000, seed=3)
    assert stream.run(quiet) == []
    stream.world[position] = change.effect(stream.world[position])
    raised = stream.run(2_000)
    assert [alarm.column for alarm in raised] == [stream.columns[position].name]
    assert raised[0].p_value <= 0.01
    assert abs(raised[0].since.row - quiet) <= 200
    assert raised[0].since.at == BEGIN + timedelta(seconds=raised[0].since.row)


def test_a_change_of_the_output_is_told_apart_from_inputs() -> None:
    stream = Stream(normals(), 1_000, seed=0)
    stream.world[-1] = SimulatedNumbers(stats.norm(2))
    assert [(alarm.column, alarm.is_output) for alarm in stream.run(1_000)] == [("prediction", True)]
    assert [(column.name, column.is_output) for column in stream.columns][:2] == [
        ("column 0", False),
        ("column 1", False),
    ]


def test_an_alarm_says_from_what_to_what() -> None:
    stream = Stream([SimulatedWords({"a": 0.5, "b": 0.5}), *normals()], 2_000, seed=0)
    stream.world[0] = SimulatedWords({"a": 0.9, "b": 0.1})
    stream.world[1] = SimulatedNumbers(stats.norm(1), nulls=0.01)
    stream.run(2_000)
    words, numbers = stream.monitor.alarms()
    shares = dict(zip(words.labels, zip(words.training, words.stream, strict=True), strict=True))
    assert shares["a"] == pytest.approx((0.5, 0.9), abs=0.04) and shares["null"] == (0, 0)
    assert words.before is None and words.sizes.wasserstein == 0
    assert numbers.before is not None and numbers.after is not None
    assert numbers.after.median - numbers.before.median == pytest.approx(1, abs=0.15)
    assert sum(numbers.stream) == pytest.approx(1) and sum(numbers.training) == pytest.approx(1)
    assert numbers.rows == 2_000 and numbers.p_value < 1e-9


def test_a_certain_but_small_change_raises_no_alarm() -> None:
    stream = Stream(normals(), 200_000, seed=0)
    stream.world[0] = SimulatedNumbers(stats.norm(0.05), nulls=0.01)
    assert stream.run(100_000, batch=1_000) == []
    stream.world[0] = SimulatedNumbers(stats.norm(0.5), nulls=0.01)
    raised = stream.run(2_000)
    assert [alarm.column for alarm in raised] == ["column 0"]
    assert abs(raised[0].since.row - 100_000) <= 1_000


def test_a_column_recovers_and_may_alarm_again() -> None:
    stream = Stream(normals(), 5_000, seed=0)
    quiet, changed = stream.world[0], SimulatedNumbers(stats.norm(1), nulls=0.01)
    for times in (1, 2):
        stream.world[0] = changed
        assert len(stream.run(3_000)) == 1
        assert len(stream.recovered) == times - 1
        stream.world[0] = quiet
        assert stream.run(5_000) == []
        assert [alarm.column for alarm in stream.recovered] == ["column 0"] * times
        assert stream.monitor.alarms() == []


def test_an_alarm_stays_while_the_change_does() -> None:
    stream = Stream(normals(), 5_000, seed=0)
    stream.run(5_000)
    stream.world[0] = replace(normals()[0], nulls=0.1)  # type: ignore[type-var]
    stream.run(50_000)
    assert stream.recovered == []
    alarm = stream.monitor.alarms()[0]
    assert abs(alarm.since.row - 5_000) <= 300
    assert alarm.stream[-1] == pytest.approx(0.1, abs=0.006)
    assert alarm.rows <= 50_300


def test_rows_from_before_a_change_do_not_end_its_alarm() -> None:
    """Words have many bins, so recovery needs many rows: most of them would be older than the alarm."""
    stream = Stream(twelve_columns(), 5_000, seed=0)
    stream.run(20_000)
    stream.world[9] = replace(stream.world[9], nulls=0.1)  # type: ignore[type-var]
    assert [alarm.column for alarm in stream.run(5_000)] == ["column 9"]
    assert stream.recovered == []


def test_the_p_value_holds_for_all_columns_together() -> None:
    stream = Stream(normals(), 5_000, seed=0)
    alone, together = DriftMonitor(stream.columns[:1]), DriftMonitor(stream.columns * 4)
    changed = [replace(normals()[0], shift=0.4), *normals()[1:]]  # type: ignore[type-var]
    for counts in batches(changed, stream.columns, BLOCK, 30, stream.rng):
        alone.observe(counts[:1], BLOCK, BEGIN)
        together.observe(counts * 4, BLOCK, BEGIN)
    assert together.alarms()[0].p_value == pytest.approx(12 * alone.alarms()[0].p_value, rel=1e-6, abs=0)


def test_small_batches_raise_the_same_alarms_as_blocks() -> None:
    stream = Stream(normals(), 2_000, seed=0)
    blocks, small = DriftMonitor(stream.columns), DriftMonitor(stream.columns)
    world = [SimulatedNumbers(stats.norm(1)), *normals()[1:]]
    parts: list[list[Counts]] = []
    for counts in batches(world, stream.columns, BLOCK // 5, 50, stream.rng):
        parts.append(counts)
        small.observe(counts, BLOCK // 5, BEGIN)
        if len(parts) == 5:
            blocks.observe([sum(column) for column in zip(*parts, strict=True)], BLOCK, BEGIN)
            parts = []
    assert len(small.alarms()) == 1
    assert small.alarms() == blocks.alarms()


def test_a_block_ends_with_the_batch_that_completes_it() -> None:
    processes = Processes([], np.zeros((0, 1), np.int64))
    ended = [processes.add(np.array([rows]), rows, BEGIN) for rows in (10, 39, 1, 1_000, 49)]
    assert ended == [False, False, True, True, False]
    assert [start.row for start in processes.starts] == [0, 50, 1_050]
    assert processes.since_starts()[:, 0].tolist() == [1_099, 1_049, 49]


def test_counts_that_do_not_fit_are_refused() -> None:
    columns = Stream(normals(), 600, seed=0).columns
    monitor = DriftMonitor(columns)
    fitting = [np.eye(len(column.bins.training), dtype=np.int64)[0] for column in columns]
    with pytest.raises(ValueError, match="each bin of each column"):
        monitor.observe(fitting[:-1], 1, BEGIN)
    with pytest.raises(ValueError, match="sum to the 2 rows"):
        monitor.observe(fitting, 2, BEGIN)
    with pytest.raises(ValueError, match="sum to the 0 rows"):
        monitor.observe([np.roll(counts, 1) - counts for counts in fitting], 0, BEGIN)
    with pytest.raises(ValueError, match="at least one column"):
        DriftMonitor(())


def test_many_columns_of_words_get_fewer_bins_each() -> None:
    sample = [f"word {number % 50}" for number in range(5_000)]
    profile = column_profile(Kind.STRING, sample)

    def bins(number: int) -> int:
        fields = tuple(Field(f"column {index}", Kind.STRING) for index in range(number))
        signature = Signature(fields, (Output(OutputKind.CLASS, name="label"),), format=RowFormat.TABLE)
        columns: tuple[Column, ...] = stream_columns(DataProfile(5_000, (profile,) * number, (profile,)), signature)
        assert columns[-1].name == "label" and columns[-1].is_output
        return len(columns[0].bins.training)

    assert (bins(1), bins(999)) == (52, 14)


def test_observing_a_batch_takes_about_a_millisecond_for_twelve_columns() -> None:
    stream = Stream(twelve_columns(), 5_000, seed=0)
    stream.run(100_000, batch=500)
    many = list(batches(stream.world, stream.columns, BLOCK, 50, stream.rng))
    times = []
    for counts in many:
        began = time.perf_counter()
        stream.monitor.observe(counts, BLOCK, BEGIN)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.002
