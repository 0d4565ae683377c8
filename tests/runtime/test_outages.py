"""Threads go on after an outage of Redis, which only its requests report."""

from __future__ import annotations

import logging
import threading

import pytest
from redis.exceptions import RedisError

from runtime.outages import repeat_in_thread

log = logging.getLogger("gateway")


def test_a_thread_goes_on_after_errors_until_its_step_returns_false(caplog: pytest.LogCaptureFixture) -> None:
    outcomes = iter([RedisError("away"), None, KeyError("a"), True, False, None])

    def step() -> bool | None:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    repeat_in_thread("some", step, 0.001, log).join(20)
    assert list(outcomes) == [None]
    assert caplog.messages == ["the thread 'some' failed and tries again"]


def test_a_thread_ends_when_it_is_stopped() -> None:
    stopped, steps = threading.Event(), threading.Event()
    thread = repeat_in_thread("some", steps.set, 60, log, stopped)
    assert steps.wait(20) and thread.is_alive()
    stopped.set()
    thread.join(20)
    assert not thread.is_alive()


def test_what_a_step_raises_once_it_is_stopped_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    stopped = threading.Event()

    def step() -> None:
        stopped.set()
        raise ValueError("its connection is closed")

    repeat_in_thread("some", step, 0.001, log, stopped).join(20)
    assert caplog.records == []
