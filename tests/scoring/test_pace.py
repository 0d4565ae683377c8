"""The number of rows per call of a model follows from measured times."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from scoring import pace as pace_module
from scoring.pace import CALL_MS, MAX_ROWS, Pace, find_call_rows
from tests.scoring.files.reading import finished


def settled(ms: Callable[[int], float], batches: int = 12, batch_ms: float = 50) -> tuple[Pace, list[int]]:
    """Give a model that takes `ms(rows)` as many rows as it may have, batch after batch."""
    pace, limits = Pace(batch_ms), []
    for _ in range(batches):
        limits.append(pace.limit("m", 1))
        pace.record("m", 1, limits[-1], ms(limits[-1]))
    return pace, limits


@pytest.mark.parametrize(
    ("ms", "expected"),
    [
        (lambda rows: 0.1 + 0.001 * rows, MAX_ROWS),
        (lambda rows: 3.3 + 0.01 * rows, MAX_ROWS),
        (lambda rows: 60 + 0.01 * rows, MAX_ROWS),  # slow, but not slower for many
        (lambda rows: 1.0 * rows, 32),
        (lambda rows: 20.0 * rows, 2),
        (lambda rows: 1000.0 * rows, 1),
    ],
)
def test_rows_beyond_the_first_add_at_most_batch_ms(ms: Callable[[int], float], expected: int) -> None:
    pace, _ = settled(ms)
    assert pace.limit("m", 1) == pace.rows["m"] == expected


def test_an_unknown_model_starts_with_one_row_and_grows_in_steps() -> None:
    _, limits = settled(lambda rows: 0.1)
    assert limits[0] == 1
    assert all(after <= 4 * before for before, after in pairwise(limits))


def test_a_model_that_needs_a_second_per_row_is_tried_with_two_rows_once() -> None:
    _, limits = settled(lambda rows: 1000.0 * rows)
    assert limits[:3] == [1, 2, 1]
    assert set(limits[2:]) == {1}


def test_a_model_is_slow_when_one_row_takes_longer_than_a_batch() -> None:
    assert settled(lambda rows: 60.0 + rows)[0].slow == {"m"}
    assert settled(lambda rows: 40.0 + rows)[0].slow == set()


def test_a_slow_first_call_is_forgotten_after_the_next() -> None:
    pace = Pace(50)
    pace.record("m", 1, 1, 200)
    assert pace.slow == {"m"}
    pace.record("m", 1, 1, 0.2)
    assert pace.slow == set()


def test_a_new_version_is_measured_anew() -> None:
    pace, _ = settled(lambda rows: 0.1)
    assert pace.limit("m", 2) == 1


def test_the_revision_changes_only_with_the_limits() -> None:
    pace, _ = settled(lambda rows: 3.3 + 0.01 * rows)
    before = pace.revision
    for rows in (1, 5, 100, 64):
        pace.record("m", 1, rows, 3.4 + 0.01 * rows)
    assert pace.revision == before


class Clock:
    """A fake `time`: a call takes `ms(rows)` of a processor, and the first call ten times as long."""

    def __init__(self, ms: Callable[[int], float]) -> None:
        self._ms = ms
        self._now = 0.0
        self.calls: list[int] = []

    def perf_counter(self) -> float:
        return self._now

    thread_time = perf_counter

    def call(self, rows: int) -> None:
        self._now += self._ms(rows) / 1000 * (1 if self.calls else 10)
        self.calls.append(rows)


@pytest.mark.parametrize(
    ("ms", "available", "expected"),
    [
        (lambda rows: 0.1 + 0.001 * rows, 10_000, 4096),
        (lambda rows: 0.1 + 0.001 * rows, 300, 256),
        (lambda rows: 3.3 + 0.1 * rows, 10_000, 64),
        (lambda rows: CALL_MS - 1, 10_000, 4096),
        (lambda rows: CALL_MS + 1, 10_000, 1),
        (lambda rows: 1.0, 0, 1),
    ],
)
def test_a_call_for_a_file_takes_at_most_call_ms(
    ms: Callable[[int], float], available: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(ms)
    monkeypatch.setattr(pace_module, "time", clock)
    assert finished(find_call_rows(clock.call, available)) == expected
    assert all(after <= 4 * before for before, after in pairwise([1, *clock.calls]))
