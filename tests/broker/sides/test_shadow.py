"""What current versions have answered waits for candidates, and what those answer is logged once."""

from __future__ import annotations

import pytest
from redis import Redis

from broker.metrics.reading import MetricsReader
from broker.metrics.table import LOG_ROWS, SHADOW_ROWS
from broker.sides.gateway.job_client import Jobs
from broker.sides.observer import BEGINNING, LogEntry, LogStream
from broker.sides.scorer import ScorerQueue
from broker.sides.shadow import ShadowEntry, ShadowQueue
from broker.state.prediction_log import LOG_BYTES
from contract.work.prediction_log import LogRecord
from tests.broker.samples import job, outcome, take

MB = 2**20
LINE = b'{"job_id":["a"]}'


@pytest.fixture
def shadow(redis: Redis) -> ShadowQueue:
    return ShadowQueue(redis, "w")


def answered(jobs: Jobs, queue: ScorerQueue, *records: LogRecord, names: str = "a", cancelled: str = "") -> None:
    """Have jobs answered together, of which some were cancelled meanwhile, and their records logged."""
    jobs.submit([job(name) for name in names])
    assert take(queue) == [*names]
    for name in cancelled:
        jobs.cancel(name)
    queue.finish({name: outcome(3.0) for name in names}, "sum@1", records)


def taken(shadow: ShadowQueue, *experiments: str) -> ShadowEntry:
    entry = shadow.take(experiments or ("e",))
    assert entry
    return entry


def logged(redis: Redis) -> list[LogEntry]:
    return LogStream(redis).read(BEGINNING, 1000)


def rows(redis: Redis) -> dict[str, float]:
    """The rows of shadow experiments by outcome."""
    return {outcome: count for (_, outcome), count in MetricsReader(redis).read(["sum"]).values[SHADOW_ROWS].items()}


def test_the_rows_of_an_experiment_wait_and_are_logged_as_always(
    redis: Redis, jobs: Jobs, queue: ScorerQueue, shadow: ShadowQueue
) -> None:
    answered(jobs, queue, LogRecord(2, LINE, "e"), LogRecord(3, b'{"b":1}'), names="abc", cancelled="b")
    entry = taken(shadow)
    assert (entry.model, entry.number, entry.experiment) == ("sum", 1, "e")
    assert (entry.rows, entry.line, entry.without, entry.taken, entry.dropped) == (2, LINE, {"b"}, 0, 0)
    (log_entry,) = logged(redis)
    assert log_entry.records == [b'{"job_id":["a"],"without":["b"]}', b'{"b":1,"without":["b"]}']


def test_without_an_experiment_nothing_waits(redis: Redis, jobs: Jobs, queue: ScorerQueue) -> None:
    answered(jobs, queue, LogRecord(1, LINE))
    assert redis.keys("mg:shadow:*") == []


def test_a_candidate_gets_the_inputs_that_the_log_must_not_have(
    redis: Redis, jobs: Jobs, queue: ScorerQueue, shadow: ShadowQueue
) -> None:
    answered(jobs, queue, LogRecord(1, LINE, "e", b'{"all":1}'))
    assert taken(shadow).line == b'{"all":1}'
    assert logged(redis)[0].records[0].startswith(LINE[:-1])


def test_jobs_that_were_ended_before_wait_no_second_time(
    redis: Redis, jobs: Jobs, queue: ScorerQueue, shadow: ShadowQueue
) -> None:
    answered(jobs, queue, LogRecord(1, LINE, "e"))
    queue.finish({"a": outcome(3.0)}, "sum@1", [LogRecord(1, LINE, "e")])  # the reply was lost
    shadow.end(taken(shadow), 2, None)
    assert shadow.take(["e"]) is None


def test_an_entry_that_was_not_ended_comes_again_and_says_how_often(
    redis: Redis, jobs: Jobs, queue: ScorerQueue, shadow: ShadowQueue
) -> None:
    for name in "ab":
        answered(jobs, queue, LogRecord(1, LINE, "e"), names=name)
    first = taken(shadow)
    again = [taken(ShadowQueue(redis, "w")) for _ in range(2)]
    assert [(entry.position, entry.taken) for entry in again] == [(first.position, 1), (first.position, 2)]
    assert taken(ShadowQueue(redis, "other")).position != first.position


def test_another_worker_takes_what_one_has_left(
    redis: Redis, jobs: Jobs, queue: ScorerQueue, shadow: ShadowQueue
) -> None:
    answered(jobs, queue, LogRecord(1, LINE, "e"))
    first = taken(shadow)
    assert ShadowQueue(redis, "other").take(["e"]) is None
    assert taken(ShadowQueue(redis, "other", patience=0)) == ShadowEntry(**{**vars(first), "taken": 1})


def test_what_a_candidate_answers_is_logged_once(
    redis: Redis, jobs: Jobs, queue: ScorerQueue, shadow: ShadowQueue
) -> None:
    answered(jobs, queue, LogRecord(5, LINE, "e"))
    entry = taken(shadow)
    late = taken(ShadowQueue(redis, "other", patience=0))
    record = LogRecord(3, b'{"alias":["~shadow"]}')
    assert shadow.end(entry, 2, record)
    assert not shadow.end(entry, 2, record)
    assert not ShadowQueue(redis, "other").end(late, 2, record)
    assert [entry.version for entry in logged(redis)] == ["sum@1", "sum@2"]
    assert redis.get(LOG_BYTES) == b"%d" % (len(LINE) + len(record.line))
    assert rows(redis) == {"scored": 5}
    assert shadow.take(["e"]) is None
    assert redis.get("mg:shadow:e:bytes") == b"0"


def test_the_first_of_the_experiments_that_has_rows_goes_first(
    redis: Redis, jobs: Jobs, queue: ScorerQueue, shadow: ShadowQueue
) -> None:
    for name, experiment in zip("abcd", "eeff", strict=True):
        answered(jobs, queue, LogRecord(1, LINE, experiment), names=name)
    order = []
    for experiments in (("e", "f"), ("f", "e"), ("none", "f"), ("f", "e")):
        entry = taken(shadow, *experiments)
        shadow.end(entry, 2, None)
        order.append(entry.experiment)
    assert order == ["e", "f", "f", "e"]
    assert shadow.take(["none"]) is None


def test_rows_beyond_8_mib_are_dropped_and_the_next_entry_says_how_many(
    redis: Redis, jobs: Jobs, queue: ScorerQueue, shadow: ShadowQueue
) -> None:
    big = b"x" * (3 * MB)
    for name in "abcd":
        answered(jobs, queue, LogRecord(7, big, "e"), names=name)
    answered(jobs, queue, LogRecord(1, LINE, "f"), names="e")
    assert rows(redis) == {"dropped": 14}
    assert len(logged(redis)) == 5, "the log has them"
    entries = []
    for _ in range(2):
        entries.append(taken(shadow))
        shadow.end(entries[-1], 2, None)
    answered(jobs, queue, LogRecord(1, LINE, "e"), names="f")
    answered(jobs, queue, LogRecord(1, LINE, "e"), names="g")
    for _ in range(2):
        entries.append(taken(shadow))
        shadow.end(entries[-1], 2, None)
    assert [entry.dropped for entry in entries] == [0, 0, 14, 0]
    assert taken(shadow, "f").dropped == 0


def test_candidates_leave_most_of_the_log_to_requests(
    redis: Redis, jobs: Jobs, queue: ScorerQueue, shadow: ShadowQueue
) -> None:
    answered(jobs, queue, LogRecord(4, LINE, "e"))
    redis.set(LOG_BYTES, 16 * MB)
    assert shadow.end(taken(shadow), 2, LogRecord(3, LINE))
    assert [entry.version for entry in logged(redis)] == ["sum@1"]
    assert redis.get(LOG_BYTES) == b"%d" % (16 * MB)
    assert rows(redis) == {"dropped": 4}
    assert MetricsReader(redis).read(["sum"]).values[LOG_ROWS] == {}, "no row of the log was lost"
    answered(jobs, queue, LogRecord(1, LINE, "e"), names="b")
    assert taken(shadow).dropped == 4


def test_the_rows_of_an_experiment_that_has_ended_expire(
    redis: Redis, jobs: Jobs, queue: ScorerQueue, shadow: ShadowQueue
) -> None:
    answered(jobs, queue, LogRecord(1, b"x" * (9 * MB), "e"))
    answered(jobs, queue, LogRecord(1, LINE, "e"), names="b")
    taken(shadow)
    assert {key: redis.ttl(key) > 3000 for key in redis.keys("mg:shadow:*")} == {
        b"mg:shadow:e": True,
        b"mg:shadow:e:bytes": True,
    }
