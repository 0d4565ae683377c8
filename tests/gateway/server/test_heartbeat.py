"""The processes of a gateway notice that one of them is stuck."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from gunicorn.workers import workertmp

from gateway.server import heartbeat
from gateway.server.heartbeat import STUCK_AFTER, Heartbeat, stuck
from tests.support import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(1000.0)
    for module in (heartbeat, workertmp):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture
def beat(clock: Clock) -> Iterator[Heartbeat]:
    beat = Heartbeat(Config())
    yield beat
    beat.close()
    heartbeat._signs[0] = heartbeat._signs[1] = 0.0


def test_a_process_without_a_heartbeat_is_stuck(beat: Heartbeat, clock: Clock) -> None:
    def seen(seconds: float, *, alive: bool = False) -> list[str]:
        """Return what is said so many seconds later, when the first process has looked again."""
        clock.now += seconds
        if alive:
            beat.notify()
        beat.last_update()
        return stuck()

    assert seen(0, alive=True) == []
    assert seen(STUCK_AFTER) == []
    assert seen(1) == ["a process"]
    assert seen(1, alive=True) == ["a process"], "it was a moment ago"
    assert seen(STUCK_AFTER / 2, alive=True) == [], "it makes progress again"


def test_a_first_process_that_no_longer_looks_is_stuck(beat: Heartbeat, clock: Clock) -> None:
    assert stuck() == [], "without gunicorn nobody looks"
    beat.notify()
    beat.last_update()
    clock.now += STUCK_AFTER
    assert stuck() == []
    clock.now += 1
    assert stuck() == ["the first process"]
    beat.notify()
    beat.last_update()
    assert stuck() == []
