"""The cache with a time to live."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis.exceptions import RedisError

from runtime.ttl_cache import TtlCache
from tests.support import until

TTL = 2.0


@pytest.fixture
def clock() -> list[float]:
    return [100.0]


@pytest.fixture
def cache(clock: list[float]) -> TtlCache[str, int]:
    return TtlCache(3, keep_stale=10, clock=lambda: clock[0])


def fails(error: BaseException) -> int:
    raise error


def test_a_value_is_fresh_for_its_time_and_stale_for_a_while(cache: TtlCache[str, int], clock: list[float]) -> None:
    assert cache.get("a") is None
    cache.put("a", 1, TTL)
    assert cache.get("a") == 1
    clock[0] += TTL
    assert (cache.get("a"), cache.get("a", stale=1), cache.get("a", stale=math.inf)) == (None, 1, 1)
    clock[0] += 10
    cache.put("b", 2, TTL)
    assert cache.get("a", stale=math.inf) is None
    cache.forget("b")
    assert len(cache) == 0


def test_beyond_its_size_the_oldest_value_leaves(cache: TtlCache[str, int]) -> None:
    for number, key in enumerate("abacd"):
        cache.put(key, number, TTL)
    assert [cache.get(key) for key in "abcd"] == [2, None, 3, 4]


def test_a_value_is_read_once_while_it_is_fresh(cache: TtlCache[str, int], clock: list[float]) -> None:
    numbers = iter(range(9))
    assert [cache.fetch("a", numbers.__next__, TTL) for _ in range(2)] == [0, 0]
    clock[0] += TTL
    assert cache.fetch("a", numbers.__next__, TTL) == 1


def test_a_value_that_takes_long_to_read_may_be_kept_longer(cache: TtlCache[str, int], clock: list[float]) -> None:
    def read() -> int:
        clock[0] += 5
        return 7

    assert cache.fetch("a", read, lambda value, seconds: value * seconds) == 7
    clock[0] += 34.9
    assert cache.get("a") == 7
    clock[0] += 0.1
    assert cache.get("a") is None


def test_only_values_that_are_not_fresh_are_read_and_in_one_call(cache: TtlCache[str, int]) -> None:
    calls: list[Sequence[str]] = []

    def read(keys: Sequence[str]) -> list[int]:
        calls.append(keys)
        return [ord(key) for key in keys]

    cache.put("b", 0, TTL)
    assert cache.fetch_many(["a", "b", "c", "a"], read, TTL) == [97, 0, 99, 97]
    assert cache.fetch_many(["a", "b", "c"], read, TTL) == [97, 0, 99]
    assert calls == [["a", "c"]]


@pytest.mark.parametrize("error", [None, RedisError("away")])
def test_callers_meanwhile_share_one_read_and_its_error(error: Exception | None) -> None:
    cache: TtlCache[str, int] = TtlCache(3)
    gate, reads = threading.Event(), []

    def read() -> int:
        reads.append("a")
        assert gate.wait(30)
        return fails(error) if error else 1

    with ThreadPoolExecutor() as pool:
        callers = [pool.submit(cache.fetch, "a", read, 60.0) for _ in range(3)]
        until(lambda: reads, "the first caller reads")
        assert pool.submit(cache.fetch, "b", lambda: 2, 60.0).result(20) == 2
        gate.set()
        assert [caller.exception(20) or caller.result() for caller in callers] == [error or 1] * 3
    assert cache.fetch("a", lambda: 3, 60.0) == (3 if error else 1)


def test_while_one_caller_refreshes_a_value_others_get_the_stale_one(
    cache: TtlCache[str, int], clock: list[float]
) -> None:
    cache.put("a", 1, TTL)
    clock[0] += TTL
    others: list[int] = []

    def read() -> int:
        others.append(cache.refresh("a", lambda: fails(AssertionError()), TTL))
        return 2

    assert (cache.refresh("a", read, TTL), others, cache.get("a")) == (2, [1], 2)


def test_an_outage_of_redis_leaves_a_stale_value_and_another_error_removes_it(
    cache: TtlCache[str, int], clock: list[float]
) -> None:
    cache.put("a", 1, TTL)
    clock[0] += TTL
    for error, stale in ((RedisError(), 1), (KeyError(), None)):
        with pytest.raises(type(error)):
            cache.refresh("a", lambda error=error: fails(error), TTL)
        assert (cache.get("a"), cache.get("a", stale=1)) == (None, stale)
