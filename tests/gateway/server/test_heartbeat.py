"""The processes of a gateway notice that one of them is stuck."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gunicorn.config import Config

from gateway.server import heartbeat
from gateway.server.heartbeat import Heartbeat, stuck
from tests.support import until


@pytest.fixture
def beat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heartbeat]:
    monkeypatch.setattr(heartbeat, "STUCK_AFTER", 0.5)
    beat = Heartbeat(Config())
    yield beat
    beat.close()
    heartbeat._signs[0] = heartbeat._signs[1] = 0.0


def test_a_process_without_a_heartbeat_is_stuck(beat: Heartbeat) -> None:
    def seen(*, alive: bool) -> list[str]:
        if alive:
            beat.notify()
        beat.last_update()
        return stuck()

    assert seen(alive=True) == []
    until(lambda: seen(alive=False) == ["a process"], "it is noticed")
    until(lambda: seen(alive=True) == [], "it makes progress again")


def test_a_first_process_that_no_longer_looks_is_stuck(beat: Heartbeat) -> None:
    assert stuck() == [], "without gunicorn nobody looks"
    beat.notify()
    beat.last_update()
    until(lambda: stuck() == ["the first process"], "it is noticed")
    beat.notify()
    beat.last_update()
    assert stuck() == []
