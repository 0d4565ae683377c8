"""Failed requests are counted by the hour, within bounds that no caller can exceed."""

from __future__ import annotations

import json

import pytest
from redis import Redis

from broker.link.scripts import Scripts
from broker.state import failures
from broker.state.failures import OTHERS, FailureBoard, FailureCounts, FailureEntry
from contract.retention import HOUR

NOW = 1_800_000_000
INVALID = "invalid_instances"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still."""
    now = [float(NOW)]
    monkeypatch.setattr(failures.time, "time", lambda: now[0])
    return now


def wrong(field: str, caller: str = "key_1", version: str = "3") -> FailureEntry:
    return FailureEntry(INVALID, field, "not_a_number", version, caller)


def report(redis: Redis, *counts: FailureCounts) -> None:
    for process in counts:
        Scripts(redis).send(process.steps())


def test_processes_add_to_the_same_entries(redis: Redis, clock: list[float]) -> None:
    first, second = FailureCounts(), FailureCounts()
    for process in (first, second, second):
        process.add("loan", wrong("months"), str)
        clock[0] += 10
    report(redis, second, first)
    counts, _ = FailureBoard(redis).read("loan", NOW)
    (count,) = counts.values()
    assert (count.number, count.first, count.last) == (3, NOW, NOW + 20)


def test_hours_are_apart_and_add_up(redis: Redis, clock: list[float]) -> None:
    counts, board = FailureCounts(), FailureBoard(redis)
    for _ in range(3):
        counts.add("loan", wrong("months"), str)
        clock[0] += HOUR
    report(redis, counts)
    for since, number in ((NOW, 3), (NOW + HOUR, 2), (NOW + 2 * HOUR, 1)):
        assert board.read("loan", since)[0][wrong("months")].number == number
    assert board.read("loan", NOW + 3 * HOUR)[0] == {}


@pytest.mark.slow
def test_a_hundred_thousand_different_requests_of_one_key_take_as_much_memory_as_few(redis: Redis) -> None:
    counts, board = FailureCounts(), FailureBoard(redis)

    def flood(begin: int, end: int) -> int:
        for number in range(begin, end):
            counts.add("loan", wrong(f"field {number:06}"), lambda: json.dumps({"a": "«number»"}))
            if number % 1000 == 999:
                assert len(counts._counts) <= failures.MOST_PENDING + 1
                report(redis, counts)
        return sum(redis.memory_usage(key) or 0 for key in redis.scan_iter("*failures*"))

    few = flood(0, 2_000)
    assert flood(2_000, 100_000) <= 1.1 * few < 20_000
    entries, examples = board.read("loan", NOW)
    assert len(entries) == 21
    assert len(examples) <= 50
    assert sum(count.number for count in entries.values()) == 100_000


def test_the_flood_of_a_key_leaves_room_for_others(redis: Redis) -> None:
    counts, board = FailureCounts(), FailureBoard(redis)
    for number in range(100):
        counts.add("loan", wrong(f"field {number}"), str)
    counts.add("loan", wrong("months", "key_2"), str)
    report(redis, counts)
    assert board.read("loan", NOW)[0][wrong("months", "key_2")].number == 1


def test_many_keys_have_fifty_entries_together(redis: Redis) -> None:
    counts, board = FailureCounts(), FailureBoard(redis)
    for number in range(200):
        counts.add("loan", wrong("months", f"key_{number}"), str)
    report(redis, counts)
    entries, _ = board.read("loan", NOW)
    assert (len(entries), entries[OTHERS].number) == (51, 150)
    counts.add("loan", wrong("months", "key_7"), str)
    report(redis, counts)
    assert board.read("loan", NOW)[0][wrong("months", "key_7")].number == 2


def test_each_model_has_an_entry_while_redis_is_away(redis: Redis) -> None:
    counts = FailureCounts()
    for number in range(failures.MOST_PENDING):
        counts.add("loan", wrong(f"field {number}"), str)
    for _ in range(2):
        counts.add("iris", wrong("petal"), str)
    report(redis, counts)
    assert {entry: count.number for entry, count in FailureBoard(redis).read("iris", NOW)[0].items()} == {OTHERS: 2}


def test_an_example_is_made_once_a_report_and_the_first_one_stays(redis: Redis) -> None:
    counts, made = FailureCounts(), []

    def example() -> str:
        made.append(1)
        return json.dumps(len(made))

    for _ in range(2):
        for _ in range(100):
            counts.add("loan", wrong("months"), example)
        report(redis, counts)
    assert len(made) == 2
    assert FailureBoard(redis).read("loan", NOW)[1] == {wrong("months").cause: 1}


def test_any_name_of_a_field_is_read_as_it_was_counted(redis: Redis) -> None:
    counts, fields = FailureCounts(), ["größe", "a|b", '["', "#", "##", "two\nlines", ""]
    for field in fields:
        counts.add("loan", wrong(field), str)
    report(redis, counts)
    assert {entry.field for entry in FailureBoard(redis).read("loan", NOW)[0]} == set(fields)


def test_what_a_worker_has_made_unreadable_is_left_out(redis: Redis) -> None:
    counts, hour = FailureCounts(), NOW // HOUR
    counts.add("loan", wrong("months"), str)
    report(redis, counts)
    for field, text in (("[", "1 2 3"), ("[1]", "1 2"), ('["a","b"]', "x"), ("{}", "1 2 3"), ("[[]", "")):
        redis.hset(f"mg:failures:loan:{hour}", field, text)
    redis.set(f"mg:failures:loan:{hour - 1}", "x")
    assert list(FailureBoard(redis).read("loan", NOW - HOUR)[0]) == [wrong("months")]
    redis.set(f"mg:failures:loan:{hour}", "x")
    counts.add("loan", wrong("months"), str)
    report(redis, counts)  # fails for no other model either
    assert FailureBoard(redis).read("loan", NOW)[0] == {}


def test_a_model_is_forgotten_alone(redis: Redis) -> None:
    counts, board = FailureCounts(), FailureBoard(redis)
    for model in ("loan", "loan-2"):
        counts.add(model, wrong("months"), lambda: "{}")
    report(redis, counts)
    board.forget("loan")
    assert board.read("loan", NOW) == ({}, {})
    assert len(board.read("loan-2", NOW)[0]) == 1
