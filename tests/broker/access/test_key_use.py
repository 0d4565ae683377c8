"""The use of keys in Redis: counted once, by day, and bounded."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from broker.access import key_use
from broker.access.key_use import DAYS, OTHER_MODELS, USE, Use, UseCounts, UseReader
from broker.link.outbox import Outbox
from broker.link.scripts import Scripts
from contract.retention import DAY


def count(redis: Redis, *requests: tuple[str, str, int, bool], at: int = 1_800_000_000) -> None:
    counts = UseCounts(lambda: at)
    for key, model, rows, failed in requests:
        counts.add(key, model, rows, failed=failed)
    Scripts(redis).send(counts.steps())


def test_requests_of_all_processes_add_up_by_key_and_model(redis: Redis) -> None:
    count(redis, ("k1", "loan", 3, False), ("k1", "loan", 0, True), ("", "loan", 1, False), at=1_800_000_060)
    count(redis, ("k1", "loan", 5, False), ("k1", "churn", 1, False))
    assert UseReader(redis).read() == {
        "k1": {"loan": Use(3, 1, 8, 1_800_000_060), "churn": Use(1, 0, 1, 1_800_000_000)},
        "": {"loan": Use(1, 0, 1, 1_800_000_060)},
    }


def test_a_report_whose_answer_was_lost_counts_once(redis: Redis) -> None:
    counts = UseCounts(lambda: 1_800_000_000)
    outbox = Outbox(redis)
    outbox.add_source(counts.steps)
    for _ in range(2):
        counts.add("k1", "loan", 2, failed=False)
        batch = outbox._next_batch()
        Scripts(redis).send(batch)  # Redis has it, and its answer does not arrive
        outbox.flush()
    assert UseReader(redis).read() == {"k1": {"loan": Use(2, 0, 4, 1_800_000_000)}}


def test_a_day_is_kept_for_the_days_that_are_read(redis: Redis) -> None:
    count(redis, ("k1", "loan", 1, False))
    (today,) = redis.keys(f"{USE}*")
    assert DAYS * DAY - 60 < redis.ttl(today) <= DAYS * DAY
    number = int(today.removeprefix(USE.encode()))
    for day, requests in ((number - DAYS + 1, 10), (number - DAYS, 100)):
        redis.hset(f"{USE}{day}", "k1|loan", f"{requests} 0 0 5")
    assert UseReader(redis).read()["k1"]["loan"].requests == 11


def test_beyond_the_bound_each_key_has_one_sum_and_none_is_lost(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_use, "MOST", 3)
    for start in (0, 10):  # within a process, and in Redis
        count(redis, *[(f"k{number % 2}", f"m{number}", 1, False) for number in range(start, start + 10)])
    used = UseReader(redis).read()
    assert {key: sorted(models) for key, models in used.items()} == {
        "k0": [OTHER_MODELS, "m0", "m2"],
        "k1": [OTHER_MODELS, "m1"],
    }
    assert sum(use.rows for models in used.values() for use in models.values()) == 20


def test_a_key_that_has_a_place_is_counted_there_when_the_bound_is_reached(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_use, "MOST", 1)
    for _ in range(2):
        count(redis, ("k1", "loan", 1, False))
        count(redis, ("k2", "loan", 1, False))
    used: Any = UseReader(redis).read()
    assert used["k1"]["loan"].requests == 2 and used["k2"][OTHER_MODELS].requests == 2
