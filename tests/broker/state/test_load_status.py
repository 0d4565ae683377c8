"""The trainer requests versions, workers report what they have loaded, and both expire."""

from __future__ import annotations

import threading
import time

import pytest
from redis import Redis

from broker.link.connection import connect
from broker.state.load_status import (
    LoadRequests,
    LoadStatus,
    LoadStatusPublisher,
    load_statuses,
    request_load,
    status_key,
    warm_up,
    withdraw_request,
)
from contract.model.environments import TODAY
from tests.support import until

HAS = LoadStatus(loaded=["loan@2", "loan@1"], refused={"big@1": "too big"})


def test_a_requested_version_is_wanted_until_the_request_expires(redis: Redis) -> None:
    requests = LoadRequests(redis)
    assert requests.read() == {}
    request_load(redis, "loan@3", TODAY, 60)
    request_load(redis, "iris@1", TODAY, 60)
    assert requests.read() == {TODAY: {"loan@3", "iris@1"}}
    request_load(redis, "loan@3", TODAY, 0.02)
    request_load(redis, "iris@1", TODAY, 0.01)
    until(lambda: not redis.exists("mg:wanted"), "nothing is left")
    assert requests.read() == {}


def test_the_next_request_removes_expired_ones(redis: Redis) -> None:
    requests = LoadRequests(redis)
    request_load(redis, "loan@3", TODAY, 0.001)
    request_load(redis, "loan@4", TODAY, 60)
    only_the_last = {TODAY: {"loan@4"}}
    until(
        lambda: request_load(redis, "loan@4", TODAY, 60) or requests.read() == only_the_last, "only the last is wanted"
    )


def test_a_request_that_names_no_version_is_ignored(redis: Redis) -> None:
    for wrong in ("loan", "loan@x", "../loan@1", "loan@0", "loan@1\n"):
        request_load(redis, wrong, TODAY, 60)
    assert LoadRequests(redis).read() == {}


def test_a_worker_has_a_load_status_until_it_dies_or_leaves(redis: Redis) -> None:
    first, second = LoadStatusPublisher(redis, 60), LoadStatusPublisher(redis, 60)
    first.publish("w1", HAS)
    second.publish("w2", LoadStatus())
    heard = load_statuses(redis, "loan", TODAY)
    assert (set(heard["w1"].loaded), heard["w1"].refused) == ({"loan@1", "loan@2"}, {"big@1": "too big"})
    assert set(heard) == {"w1", "w2"}
    redis.pexpire("mg:loaded:w2", 1)
    until(lambda: set(load_statuses(redis, "loan", TODAY)) == {"w1"}, "the second is dead")
    first.withdraw("w1")
    assert load_statuses(redis, "loan", TODAY) == {}
    assert redis.keys("mg:*") == []


def test_only_workers_that_serve_the_model_are_listed(redis: Redis) -> None:
    LoadStatusPublisher(redis, 10).publish("w1", LoadStatus(models=["iris"]))
    LoadStatusPublisher(redis, 10).publish("w2", LoadStatus(models=["iris", "loan"]))
    assert set(load_statuses(redis, "loan", TODAY)) == {"w2"}


def test_requests_and_statuses_are_of_an_environment(redis: Redis) -> None:
    request_load(redis, "loan@3", "sklearn-1.2", 60)
    request_load(redis, "loan@4", TODAY, 60)
    request_load(redis, "loan@5", "../x", 60)
    assert LoadRequests(redis).read() == {"sklearn-1.2": {"loan@3"}, TODAY: {"loan@4"}}
    LoadStatusPublisher(redis, 10).publish("w", LoadStatus(loaded=["loan@4"]))
    LoadStatusPublisher(redis, 10).publish("w~sklearn-1.2", LoadStatus(loaded=["loan@3"], environment="sklearn-1.2"))
    assert set(load_statuses(redis, "loan", TODAY)) == {"w"}
    assert set(load_statuses(redis, "loan", "sklearn-1.2")) == {"w~sklearn-1.2"}
    assert load_statuses(redis, "loan", "other") == {}
    withdraw_request(redis, "loan@3", "sklearn-1.2")
    assert LoadRequests(redis).read() == {TODAY: {"loan@4"}}


def test_a_pool_without_news_stays_alive(redis: Redis) -> None:
    now, status = 0.0, LoadStatus(environment="old")
    worker = LoadStatusPublisher(redis, 9, clock=lambda: now)
    worker.publish("w~old", status)
    redis.delete("mg:pool~old")
    now = 4.0
    worker.publish("w~old", status)
    assert 0 < redis.pttl("mg:pool~old") <= 10_000


def test_a_pool_that_is_unheard_for_a_moment_is_waited_for(redis: Redis) -> None:
    pool, wanted = LoadStatusPublisher(redis, 60), LoadStatus(["sum@1"], environment="old")
    pool.publish("w~old", wanted)
    redis.delete(status_key("w~old"))
    timer = threading.Timer(0.2, LoadStatusPublisher(redis, 60).publish, ["w~old", wanted])
    timer.start()
    assert warm_up(redis, "sum", 1, "old", time.monotonic() + 30, 1).workers == {"w~old"}
    timer.join()
    redis.delete(status_key("w~old"), "mg:pool~old")
    assert not warm_up(redis, "sum", 1, "old", time.monotonic() + 30, 1).workers


def test_an_unchanged_load_status_is_only_renewed(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    worker = LoadStatusPublisher(redis, 9, clock=lambda: now)
    worker.publish("w1", HAS)
    redis.pexpire("mg:loaded:w1", 2000)
    worker.publish("w1", HAS)
    assert redis.pttl("mg:loaded:w1") <= 2000
    now = 4.0
    worker.publish("w1", HAS)
    assert redis.pttl("mg:loaded:w1") > 2000


def test_a_load_status_that_redis_has_lost_is_published_again(redis: Redis) -> None:
    now = 0.0
    worker = LoadStatusPublisher(redis, 9, clock=lambda: now)
    worker.publish("w1", HAS)
    redis.flushall()
    now = 4.0
    worker.publish("w1", HAS)
    assert set(load_statuses(redis, "loan", TODAY)) == {"w1"}


def test_a_full_redis_accepts_requests_and_load_statuses(redis: Redis, redis_url: str) -> None:
    worker = LoadStatusPublisher(redis, 10)
    redis.config_set("maxmemory", 1)
    try:
        with connect(redis_url) as other:
            request_load(other, "loan@3", TODAY, 60)
        worker.publish("w1", HAS)
        assert LoadRequests(redis).read() == {TODAY: {"loan@3"}}
        assert set(load_statuses(redis, "loan", TODAY)) == {"w1"}
    finally:
        redis.config_set("maxmemory", 0)
