"""The outbox sends along what a process wants Redis to know."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from broker.link.connection import connect
from broker.link.outbox import PAUSE, Outbox
from broker.link.scripts import Call, Scripts, Step
from tests.support import Clock, until

NOWHERE = "redis://127.0.0.1:1"


class Notes:
    """A source: it adds texts to the set `notes`."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self) -> Sequence[Step]:
        texts, self.texts = self.texts, []
        return [("SADD", "notes", *texts)] if texts else []


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(redis: Redis, notes: Notes, clock: Clock) -> Outbox:
    made = Outbox(redis, clock)
    made.add_source(notes)
    return made


def commands(redis: Redis) -> int:
    return int(redis.info("commandstats").get("cmdstat_sadd", {"calls": 0})["calls"])


def test_steps_leave_with_a_round_trip_that_is_made_anyway(outbox: Outbox, notes: Notes, redis: Redis) -> None:
    notes.texts = ["a", "b"]
    assert outbox.send(Scripts(redis), [("SET", "x", "1"), ("GET", "x")]) == [True, b"1"]
    assert redis.smembers("notes") == {b"a", b"b"}


def test_a_second_batch_waits_for_a_moment(outbox: Outbox, notes: Notes, clock: Clock, redis: Redis) -> None:
    for text, arrived in (("a", 1), ("b", 1), ("c", 1)):
        notes.texts.append(text)
        outbox.send(Scripts(redis), [("PING",)])
        assert redis.scard("notes") == arrived
    clock.now += PAUSE
    outbox.send(Scripts(redis), [("PING",)])
    assert redis.smembers("notes") == {b"a", b"b", b"c"}


def test_a_batch_stays_until_redis_has_it(outbox: Outbox, notes: Notes, redis: Redis) -> None:
    notes.texts = ["a"]
    with connect(NOWHERE, resends=0) as away:
        for _ in range(2):
            with pytest.raises(RedisConnectionError):
                outbox.send(Scripts(away), [("PING",)])
            notes.texts = ["b"]
    outbox.flush()
    assert redis.smembers("notes") == {b"a"}
    outbox.flush()
    assert redis.smembers("notes") == {b"a", b"b"}


def test_an_error_of_the_batch_is_logged_once_and_fails_nothing(
    outbox: Outbox, clock: Clock, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.add_source(lambda: [("HSET", "x", "not a hash")])
    with caplog.at_level(logging.WARNING):
        for clock.now in (0.0, 1.0, 2.0):
            assert outbox.send(Scripts(redis), [("SET", "x", "1")]) == [True]
    assert len(caplog.records) == 1


def test_an_error_of_a_step_does_not_repeat_the_batch(outbox: Outbox, notes: Notes, clock: Clock, redis: Redis) -> None:
    notes.texts = ["a"]
    before = commands(redis)
    with pytest.raises(ResponseError):
        outbox.send(Scripts(redis), [("SET", "x")])
    clock.now += PAUSE
    outbox.send(Scripts(redis), [("PING",)])
    assert commands(redis) == before + 1


def test_a_script_that_redis_has_lost_leaves_as_well(outbox: Outbox, redis: Redis) -> None:
    outbox.add_source(lambda: [Call("delete", ["x"])])
    redis.script_flush()
    assert outbox.send(Scripts(redis), [("PING",)]) == [True]


def test_a_flush_without_a_batch_sends_nothing(outbox: Outbox, redis: Redis) -> None:
    before = redis.info("stats")["total_commands_processed"]
    outbox.flush()
    assert redis.info("stats")["total_commands_processed"] == before + 1  # INFO itself


def test_a_process_without_round_trips_flushes_by_itself(redis: Redis, notes: Notes) -> None:
    outbox = Outbox(redis)
    outbox.add_source(notes)
    outbox.start()
    notes.texts = ["a"]
    until(lambda: redis.smembers("notes"), "the batch arrives")
    outbox.stop()
