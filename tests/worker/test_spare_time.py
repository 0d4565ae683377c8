"""The shadow scorer notices that others need the processors, in whichever container they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import Clock
from worker.spare_time import SpareTime


@dataclass
class Machine:
    """Two processors, whose counts of ticks (of 10 ms) a test moves on."""

    folder: Path
    busy: int = 1000
    idle: int = 500
    own: float = 0.0
    throttled: int = 3

    def write(self) -> None:
        (self.folder / "stat").write_text(
            f"cpu  {self.busy} 0 0 {self.idle - 7} 7 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"
        )
        (self.folder / "cpu.stat").write_text(f"usage_usec 5\nnr_throttled {self.throttled}\nthrottled_usec 9\n")

    def run(self, *, busy: int, idle: int, own: float = 0.0, throttled: int = 0) -> None:
        self.busy, self.idle, self.own = self.busy + busy, self.idle + idle, self.own + own
        self.throttled += throttled
        self.write()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.write()
    return machine


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spare(machine: Machine, clock: Clock) -> SpareTime:
    return SpareTime(machine.folder / "stat", machine.folder / "cpu.stat", clock, lambda: machine.own)


def test_there_is_time_while_a_part_is_unused(machine: Machine, clock: Clock, spare: SpareTime) -> None:
    found = []
    for busy, idle in ((0, 40), (34, 6), (35, 5), (40, 0), (20, 20)):
        machine.run(busy=busy, idle=idle)
        clock.now += 0.2
        found.append(spare.there_is)
    assert found == [True, True, False, False, True]


def test_its_own_time_counts_as_unused(machine: Machine, clock: Clock, spare: SpareTime) -> None:
    machine.run(busy=40, idle=0, own=0.06)
    clock.now += 0.2
    assert spare.there_is
    machine.run(busy=40, idle=0, own=0.05)
    clock.now += 0.2
    assert not spare.there_is


def test_a_container_that_was_stopped_by_its_limit_has_no_time(
    machine: Machine, clock: Clock, spare: SpareTime
) -> None:
    machine.run(busy=10, idle=30, throttled=1)
    clock.now += 0.2
    assert not spare.there_is
    machine.run(busy=10, idle=30)
    clock.now += 0.2
    assert spare.there_is


def test_it_looks_now_and_then_only(machine: Machine, clock: Clock, spare: SpareTime) -> None:
    machine.run(busy=40, idle=0)
    clock.now += 0.1
    assert spare.there_is
    clock.now += 0.1
    assert not spare.there_is


def test_without_counts_of_the_system_there_is_always_time(tmp_path: Path, clock: Clock) -> None:
    spare = SpareTime(tmp_path / "none", tmp_path / "none", clock)
    clock.now += 1
    assert spare.there_is


@pytest.mark.slow
def test_it_reads_the_counts_of_this_system(clock: Clock) -> None:
    spare = SpareTime(clock=clock)
    clock.now += 1
    assert spare.there_is in (True, False)
