"""The trainer asks for versions, workers say what they have, and all of that ends by itself."""

from __future__ import annotations

import pytest
from redis import Redis

from broker.connection import connect
from broker.warmup import Report, Reports, ask, reports
from tests.support import until

HAS = Report(loaded=["loan@2", "loan@1"], refused={"big@1": "too big"})


def test_what_is_asked_for_is_wanted_for_a_while(redis: Redis) -> None:
    worker = Reports(redis, 10)
    assert worker.wanted() == frozenset()
    ask(redis, "loan@3", 0.2)
    ask(redis, "iris@1", 0.4)
    assert worker.wanted() == {"loan@3", "iris@1"}
    until(lambda: not redis.exists("mg:wanted"), "nothing is left", 5)
    assert worker.wanted() == frozenset()


def test_what_was_asked_for_long_ago_goes_with_the_next_question(redis: Redis) -> None:
    worker = Reports(redis, 10)
    ask(redis, "loan@3", 0.001)
    ask(redis, "loan@4", 60)
    until(lambda: ask(redis, "loan@4", 60) or worker.wanted() == {"loan@4"}, "only the last is wanted", 5)


def test_what_is_no_version_is_not_wanted(redis: Redis) -> None:
    for wrong in ("loan", "loan@x", "../loan@1", "loan@0", "loan@1\n"):
        ask(redis, wrong, 60)
    assert Reports(redis, 10).wanted() == frozenset()


def test_a_worker_is_heard_until_it_dies_or_leaves(redis: Redis) -> None:
    first, second = Reports(redis, 10), Reports(redis, 0.2)
    first.say("w1", HAS)
    second.say("w2", Report())
    heard = reports(redis, "loan")
    assert (set(heard["w1"].loaded), heard["w1"].refused) == ({"loan@1", "loan@2"}, {"big@1": "too big"})
    assert set(heard) == {"w1", "w2"}
    until(lambda: set(reports(redis, "loan")) == {"w1"}, "the second is dead", 5)
    first.withdraw("w1")
    assert reports(redis, "loan") == {}
    assert redis.keys("mg:*") == []


def test_only_those_that_serve_the_model_are_heard(redis: Redis) -> None:
    Reports(redis, 10).say("w1", Report(models=["iris"]))
    Reports(redis, 10).say("w2", Report(models=["iris", "loan"]))
    assert set(reports(redis, "loan")) == {"w2"}


def test_who_has_nothing_new_to_say_only_stays_alive(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    worker = Reports(redis, 9, clock=lambda: now)
    worker.say("w1", HAS)
    redis.pexpire("mg:loaded:w1", 2000)
    worker.say("w1", HAS)
    assert redis.pttl("mg:loaded:w1") <= 2000
    now = 4.0
    worker.say("w1", HAS)
    assert redis.pttl("mg:loaded:w1") > 8000


def test_what_redis_has_forgotten_is_said_again(redis: Redis) -> None:
    now = 0.0
    worker = Reports(redis, 9, clock=lambda: now)
    worker.say("w1", HAS)
    redis.flushall()
    now = 4.0
    worker.say("w1", HAS)
    assert set(reports(redis, "loan")) == {"w1"}


def test_a_full_redis_hears_workers_and_questions(redis: Redis, redis_url: str) -> None:
    worker = Reports(redis, 10)
    redis.config_set("maxmemory", 1)
    try:
        with connect(redis_url) as other:
            ask(other, "loan@3", 60)
        worker.say("w1", HAS)
        assert worker.wanted() == {"loan@3"}
        assert set(reports(redis, "loan")) == {"w1"}
    finally:
        redis.config_set("maxmemory", 0)
