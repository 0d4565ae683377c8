"""The gateway's side: submitting, reading, cancelling and deleting jobs."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from broker.link.connection import connect
from broker.sides.gateway.job_client import ACCEPTED, Backlog, Jobs, Limit, Submission
from broker.sides.scorer import BatchLimits, ScorerQueue
from broker.sides.supervisor import Leases
from broker.state.job_reading import parse_reply
from contract.errors import Failure
from contract.work.jobs import PredictionOutcome, Status
from runtime.exact_json import JsonText
from tests.broker.samples import CHANNEL, job, outcome, published, read, scorer, take
from tests.support import until


def test_a_submitted_job_reads_as_queued(jobs: Jobs) -> None:
    assert jobs.submit([job("a", ids=["x"], warnings=["w"])]) == [ACCEPTED]
    queued = read(jobs, "a")
    assert (queued.status, queued.model, queued.version, queued.warnings) == (Status.QUEUED, "sum", 1, ["w"])
    assert queued.created_at == "2026-01-02T03:04:05.000006Z"
    assert queued.output is queued.error is queued.started_at is queued.completed_at is None


def test_submitting_twice_queues_once(jobs: Jobs, redis: Redis) -> None:
    assert jobs.submit([job("a"), job("b")]) == jobs.submit([job("a"), job("b")]) == [ACCEPTED] * 2
    assert redis.lrange("rq:queue:predict:sum", 0, -1) == [b"a", b"b"]
    assert jobs.backlog("sum").rows == 2


def test_a_job_has_its_further_fields(jobs: Jobs, redis: Redis) -> None:
    jobs.submit([job("a", webhook="https://example.org/é"), job("b")])
    assert redis.hget("rq:job:a", "webhook") == "https://example.org/é".encode()
    assert not redis.hexists("rq:job:b", "webhook")


def test_a_full_queue_refuses_by_rows_and_another_model_is_not_affected(jobs: Jobs) -> None:
    mixed = [job("a", rows=8), job("e", model="other"), job("b", rows=3), job("c", rows=2)]
    assert jobs.submit(mixed) == [ACCEPTED, ACCEPTED, Submission(Limit.QUEUE), ACCEPTED]
    assert jobs.submit([job("d")]) == [Submission(Limit.QUEUE)]
    assert jobs.read(["b"]) == [None]


def test_unknown_jobs_read_as_none(jobs: Jobs) -> None:
    jobs.submit([job("a")])
    assert [job is None for job in jobs.read(["x", "a", "y"])] == [True, False, True]
    assert jobs.read([]) == []


def test_a_scored_job_reads_as_succeeded(jobs: Jobs, queue: ScorerQueue) -> None:
    jobs.submit([job("a", ids=["x"], warnings=["early"])])
    take(queue)
    assert read(jobs, "a").status is Status.RUNNING
    queue.finish({"a": outcome(3.0)})
    scored = read(jobs, "a")
    assert scored.status is Status.SUCCEEDED
    assert scored.output == {"predictions": [3.0], "probabilities": None, "ids": ["x"]}
    assert scored.warnings == ["early", "late"]
    assert scored.started_at and scored.completed_at and scored.started_at <= scored.completed_at
    assert scored.metrics is not None
    assert scored.metrics["predict_ms"] == 0.25
    assert isinstance(scored.metrics["queue_ms"], float)


def test_a_failed_job_reads_with_the_reason(jobs: Jobs, queue: ScorerQueue) -> None:
    jobs.submit([job("a")])
    take(queue)
    failure = Failure("model_error", 'it said "no"\n', {"row": 3})
    queue.finish({"a": failure})
    assert (read(jobs, "a").status, read(jobs, "a").error) == (Status.FAILED, failure)


def test_a_waiter_learns_of_an_end_at_once_or_by_message(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    jobs.submit([job("done"), job("open", rows=2)])
    take(queue, jobs=1)
    queue.finish({"done": outcome(1.0)})
    with redis.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(CHANNEL)
        assert jobs.wait(["done", "open", "never"], CHANNEL) == {"done": read(jobs, "done"), "never": None}
        assert jobs.wait(["open"], CHANNEL) == {}
        take(queue)
        queue.finish({"open": outcome(1.0, 2.0)})
        message: Any = until(lambda: subscription.get_message(timeout=1), "the end is published")
        assert parse_reply(message["data"]) == [("open", published(jobs, "open"))]
        assert subscription.get_message(timeout=0) is None


def test_all_ends_of_a_batch_are_one_message_a_channel(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    jobs.submit([job(name, reply_to=CHANNEL if name != "c" else "mg:reply:other") for name in "abc"])
    jobs.submit([job("d")])
    jobs.wait(["a"], "mg:reply:other")
    with redis.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.psubscribe("mg:reply:*")
        take(queue)
        queue.finish({"a": outcome(1.0), "b": Failure("model_error", "no"), "c": outcome(2.0), "d": outcome(3.0)})
        told = {}
        while len(told) < 2:
            message: Any = until(lambda: subscription.get_message(timeout=1), "the ends are published")
            told[message["channel"].decode()] = dict(parse_reply(message["data"]))
        assert subscription.get_message(timeout=0) is None
    assert told[CHANNEL] == {name: published(jobs, name) for name in "ab"}
    assert told["mg:reply:other"] == {name: published(jobs, name) for name in "ac"}


def test_a_message_about_a_large_result_has_only_its_id(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    jobs.submit([job("large", reply_to=CHANNEL), job("small", reply_to=CHANNEL)])
    with redis.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(CHANNEL)
        take(queue)
        queue.finish({"large": outcome(*[0.123456] * 5000), "small": outcome(1.0)})
        message: Any = until(lambda: subscription.get_message(timeout=1), "the end is published")
    assert parse_reply(message["data"]) == [("large", None), ("small", published(jobs, "small"))]


def test_the_answers_in_a_message_are_passed_on_as_they_are(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    jobs.submit([job("a", reply_to=CHANNEL, ids=['x,"predictions":'], warnings=['of,"predictions":'])])
    with redis.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(CHANNEL)
        take(queue)
        queue.finish({"a": PredictionOutcome([1234.5], [{"yes": 0.25}], ['late,"predictions":'], 0.25, 1, [7])})
        message: Any = until(lambda: subscription.get_message(timeout=1), "the end is published")
    ((_, told),) = parse_reply(message["data"].replace(b"[1234.5]", b"[1234.500]"))
    assert told == published(jobs, "a")
    assert isinstance(told.output, JsonText)
    assert told.output.text == (
        b'{"predictions":[1234.500],"probabilities":[{"yes":0.25}],"scores":[7],"ids":["x,\\"predictions\\":"]}'
    )


def test_unreadable_lines_of_a_message_are_skipped() -> None:
    assert parse_reply(b'{"id":"a"}\n{"id"\n[]\n{"id":"b","status":"odd"}\n') == [("a", None)]


def test_a_queued_job_is_cancelled(jobs: Jobs, redis: Redis) -> None:
    jobs.submit([job("a"), job("b")])
    canceled = jobs.cancel("a")
    assert canceled is not None
    assert (canceled[0], canceled[1].status, canceled[1].output) == (True, Status.CANCELED, None)
    assert (redis.lrange("rq:queue:predict:sum", 0, -1), jobs.backlog("sum").rows) == ([b"b"], 1)
    again = jobs.cancel("a")
    assert again is not None
    assert (again[0], again[1].status) == (False, Status.CANCELED)
    assert jobs.cancel("never") is None


def test_a_running_job_is_cancelled_and_its_answer_is_dropped(jobs: Jobs, queue: ScorerQueue) -> None:
    jobs.submit([job("a"), job("b")])
    take(queue)
    jobs.cancel("a")
    assert queue.finish({"a": outcome(1.0), "b": outcome(2.0)}) == ["a"]
    assert [read(jobs, name).status for name in "ab"] == [Status.CANCELED, Status.SUCCEEDED]


def test_only_a_job_that_has_ended_is_deleted(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    jobs.submit([job("a")])
    assert not jobs.delete("a")
    take(queue)
    assert not jobs.delete("a")
    queue.finish({"a": outcome(1.0)})
    assert jobs.delete("a")
    assert jobs.delete("a")
    assert jobs.read(["a"]) == [None]
    assert redis.exists("rq:job:a", "mg:ended:finished:predict:sum") == 0


def test_a_job_that_does_not_start_in_time_expires(jobs: Jobs, queue: ScorerQueue, leases: Leases) -> None:
    jobs.submit([job("late", expires_after=0), job("a", expires_after=60), job("b", expires_after=0)])
    leases.expire()
    assert take(queue) == ["a"]
    assert [read(jobs, name).status for name in ("late", "a", "b")] == ["expired", "running", "expired"]
    assert read(jobs, "late").output is read(jobs, "late").error is None


def test_a_scorer_takes_no_job_past_its_deadline(jobs: Jobs, queue: ScorerQueue) -> None:
    jobs.submit([job("late", expires_after=0), job("a")])
    assert take(queue) == ["a"]
    assert read(jobs, "late").status is Status.EXPIRED


def test_a_backlog_has_an_estimate_of_its_seconds(jobs: Jobs, queue: ScorerQueue) -> None:
    assert jobs.backlog("sum") == Backlog(0, 0, None)
    jobs.submit([job("a"), job("b"), job("c", rows=3), job("d", rows=2)])
    take(queue, jobs=2)
    queue.finish({"a": outcome(1.0), "b": Failure("model_error", "no")})
    assert jobs.backlog("sum") == Backlog(5, 2, 10.0)


def test_only_scorers_with_a_lease_count_as_workers(jobs: Jobs, leases: Leases, redis: Redis) -> None:
    assert jobs.workers() == 0
    for number in range(3):
        scorer(leases, redis, f"w-{number}-x")
    redis.delete("mg:lease:w-1-x")
    assert jobs.workers() == 2


def test_a_job_of_another_program_is_left_alone(jobs: Jobs, redis: Redis) -> None:
    redis.hset("rq:job:other", mapping={"status": "queued", "origin": "default"})
    redis.rpush("rq:queue:default", "other")
    assert jobs.read(["other"]) == [None]
    assert jobs.cancel("other") is None
    assert (redis.hget("rq:job:other", "status"), redis.llen("rq:queue:default")) == (b"queued", 1)


def test_a_job_reaches_the_scorer_unchanged(jobs: Jobs, queue: ScorerQueue) -> None:
    made = dataclasses.replace(job("a"), rows=[['ä\u2028"', None, True, -1.5e300, 2**53]])
    jobs.submit([made])
    batch = queue.take(BatchLimits())
    assert batch is not None
    assert batch.jobs[0].rows == made.rows


def test_a_connection_to_a_missing_redis_fails_soon() -> None:
    with pytest.raises(RedisConnectionError):
        connect("redis://127.0.0.1:1").ping()
