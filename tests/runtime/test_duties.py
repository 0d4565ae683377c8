"""Duties run at their intervals, and survive a Redis that goes away and comes back."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from broker.link.connection import connect
from runtime.outages import Duties
from tests.stacks.redis_process import RedisProcess
from tests.support import until

log = logging.getLogger("worker")
HOUR = 3600.0


def test_duties_run_in_order_and_again_after_their_intervals() -> None:
    ran: list[str] = []
    duties = Duties("the supervisor", log)
    duties.add(HOUR, lambda: ran.append("hourly"))
    duties.add(0, lambda: ran.append("each round"))
    duties.run_due()
    duties.run_due()
    assert ran == ["hourly", "each round", "each round"]


def test_duties_survive_an_outage_of_redis_and_log_its_start_and_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []
    caplog.set_level(logging.INFO)
    with RedisProcess(tmp_path) as server, connect(server.url, socket_timeout=2, resends=0) as redis:
        duties = Duties("the supervisor", log)
        duties.add(0, lambda: ran.append("before"))
        duties.add(HOUR, redis.ping)
        duties.add(HOUR, lambda: ran.append("after"))
        server.kill()
        until(lambda: duties.run_due() or ran.count("before") == 3, "three tries")
        assert "after" not in ran
        server.start()
        until(lambda: duties.run_due() or "after" in ran, "the rest of the round")
        duties.run_due()
    assert ran.count("after") == 1
    assert not duties.paused
    lost, back = caplog.messages
    assert lost.startswith("the supervisor lost Redis and tries again: ")
    assert back == "the supervisor has Redis again"
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_an_error_that_is_not_of_redis_passes_and_the_duty_stays_due() -> None:
    ran: list[str] = []

    def fail_once() -> None:
        ran.append("tried")
        if len(ran) == 1:
            raise KeyError

    duties = Duties("the supervisor", log)
    duties.add(HOUR, fail_once)
    with pytest.raises(KeyError):
        duties.run_due()
    duties.run_due()
    duties.run_due()
    assert ran == ["tried", "tried"]
