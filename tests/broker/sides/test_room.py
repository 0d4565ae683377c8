"""While Redis is nearly full, results that somebody has seen go before their time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError

from broker.link.scripts import Scripts
from broker.records.job_kinds import Seen
from broker.records.lease_groups import TRAINERS
from broker.sides.gateway.job_client import ACCEPTED, Jobs
from broker.sides.gateway.receipts import Receipts
from broker.sides.gateway.room import RoomMaker
from broker.sides.gateway.trainer_client import TrainerClient
from broker.sides.scorer import ScorerQueue
from broker.sides.supervisor import Leases
from contract.work.api_keys import Key
from contract.work.jobs import Status
from tests.broker.samples import job, key, outcome, take
from tests.broker.sides.test_training import OUTPUT, REQUEST, trainer


@pytest.fixture
def jobs(redis: Redis) -> Jobs:
    return Jobs(redis, max_queue_rows=1000, timeout=30, result_ttl=60)


def finish(jobs: Jobs, queue: ScorerQueue, *names: str, numbers: int = 1) -> None:
    """Finish jobs one after the other; the first letter of a name is its model."""
    for name in names:
        jobs.submit([job(name, model=name[0])])
        assert take(queue) == [name]
        queue.finish({name: outcome(*[0.5] * numbers)})


def see(redis: Redis, how: str, *names: str) -> None:
    receipts = Receipts(60)
    for name in names:
        getattr(receipts, how)(name)
    Scripts(redis).send(receipts())


def let_a_minute_pass_between(redis: Redis, *names: str) -> None:
    """Let jobs that have ended have done so long ago, in this order."""
    for minutes, name in enumerate(reversed(names)):
        ended_at = redis.time()[0] - 60 * minutes
        for seen in Seen:
            redis.zadd(f"mg:{seen}:finished:predict:{name[0]}", {name: ended_at}, xx=True)


def left(redis: Redis) -> set[str]:
    return {key.decode().removeprefix("rq:job:") for key in redis.scan_iter("rq:job:*")}


@contextmanager
def filled(redis: Redis, share: float) -> Iterator[None]:
    """Redis has used `share` of its memory."""
    redis.config_set("maxmemory", int(redis.info("memory")["used_memory"] / share))
    try:
        yield
    finally:
        redis.config_set("maxmemory", 0)


def test_delivered_results_go_first_then_fetched_ones_the_oldest_of_all_models_first(
    jobs: Jobs, queue: ScorerQueue, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.sides.gateway.room.JOBS_PER_CALL", 1)
    monkeypatch.setattr("broker.sides.gateway.room.QUEUES_PER_CALL", 1)
    names = ("a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3")
    finish(jobs, queue, *names, "unseen")
    see(redis, "fetched", "a0", "b1", "a1")
    see(redis, "delivered", "b3", "a2", "b0")
    let_a_minute_pass_between(redis, *names)
    jobs.submit([job("waits")])
    order = []
    with filled(redis, 0.9):
        while True:
            before = left(redis)
            if not RoomMaker(redis).make(most=1):
                break
            order.append(before - left(redis))
    assert order == [{"b0"}, {"a2"}, {"b3"}, {"a0"}, {"a1"}, {"b1"}]
    assert left(redis) == {"b2", "a3", "unseen", "waits"}


def test_what_nobody_has_seen_and_trainings_stay(
    jobs: Jobs, queue: ScorerQueue, redis: Redis, trainings: TrainerClient
) -> None:
    trainer_queue, training = trainer(redis, Leases(redis, group=TRAINERS)), trainings.submit(REQUEST).id
    assert trainer_queue.begin([])
    trainer_queue.finish(training, OUTPUT)
    finish(jobs, queue, "a0", "a1")
    see(redis, "fetched", training, "a0")
    jobs.submit([job("waits"), job("runs", model="b")])
    take(queue, models=["b"])
    with filled(redis, 0.99):
        assert RoomMaker(redis).make() == 1
    assert left(redis) == {training, "a1", "waits", "runs"}
    assert redis.zrange("mg:ended:finished:predict:a", 0, -1) == [b"a1"]


@pytest.mark.parametrize("share", [0.5, None])
def test_nothing_goes_while_there_is_room_or_no_limit(
    jobs: Jobs, queue: ScorerQueue, redis: Redis, share: float | None
) -> None:
    finish(jobs, queue, "a0")
    see(redis, "delivered", "a0")
    with filled(redis, share or 1e9):
        if share is None:
            redis.config_set("maxmemory", 0)
        assert RoomMaker(redis).make() == 0
    assert left(redis) == {"a0"}


def test_a_job_that_stock_rq_has_queued_again_stays(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    finish(jobs, queue, "a0", "a1")
    see(redis, "delivered", "a0", "a1")
    redis.hset("rq:job:a0", "status", "queued")
    with filled(redis, 0.99):
        RoomMaker(redis).make()
    assert left(redis) == {"a0"}


def test_no_more_goes_than_is_needed(jobs: Jobs, queue: ScorerQueue, redis: Redis, monkeypatch: Any) -> None:
    monkeypatch.setattr("broker.sides.gateway.room.JOBS_PER_CALL", 5)
    names = [f"a{number}" for number in range(60)]
    finish(jobs, queue, *names, numbers=10_000)
    see(redis, "delivered", *names)
    with filled(redis, 0.75):
        assert 0 < RoomMaker(redis).make() < 50
        assert redis.info("memory")["used_memory"] < 0.7 * redis.info("memory")["maxmemory"]
    assert "a59" in left(redis)


def test_a_full_redis_makes_room_for_new_jobs(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    finish(jobs, queue, *(f"a{number}" for number in range(60)), numbers=10_000)
    with filled(redis, 1.01):
        with pytest.raises(OutOfMemoryError):
            jobs.submit([job("new")])
        see(redis, "delivered", *(f"a{number}" for number in range(60)))
        again = Jobs(redis, max_queue_rows=1000, timeout=30, result_ttl=60)
        assert again.submit([job("new")]) == [ACCEPTED]
    assert "new" in left(redis)


A, B, NUMBERS = key("a", "a"), key("b", "b"), count()


def finish_for(jobs: Jobs, queue: ScorerQueue, caller: Key, amount: int, numbers: int) -> list[str]:
    """Finish jobs of an owner, each with a result of so many numbers. Returns how they have ended; SUBMIT may refuse
    some."""
    wanted = [job(f"{caller.owner}{next(NUMBERS)}", caller=caller) for _ in range(amount)]
    answers = jobs.submit(wanted)
    for name in take(queue, jobs=amount, rows=amount):
        queue.finish({name: outcome(*[0.5] * numbers)})
    ended = jobs.read([job.id for job in wanted])
    return [
        str(answer.refused_by or (job and job.error and job.error.code) or (job and job.status))
        for answer, job in zip(answers, ended, strict=True)
    ]


def test_unseen_results_of_one_owner_leave_room_for_those_of_others(
    jobs: Jobs, queue: ScorerQueue, redis: Redis
) -> None:
    """Also those of jobs that were accepted before there was any result."""
    used = redis.info("memory")["used_memory"]
    redis.config_set("maxmemory", int((used + 8_000_000) / 0.7))
    try:
        assert finish_for(jobs, queue, A, 1, numbers=10) == ["succeeded"]
        large = Counter(finish_for(jobs, queue, A, 60, numbers=60_000))
        assert large.keys() == {"succeeded", "redis_full"} and large["succeeded"] in range(20, 33)
        assert finish_for(jobs, queue, B, 2, numbers=60_000) == ["succeeded"] * 2
        redis.config_set("maxmemory", int((used + 7_000_000) / 0.7))
        assert finish_for(jobs, queue, A, 1, numbers=1) == ["results"]
        assert finish_for(jobs, queue, B, 1, numbers=1) == ["succeeded"]
        see(redis, "fetched", *(key.decode()[7:] for key in redis.scan_iter("rq:job:a*")))
        assert not redis.exists("mg:results:a")
        assert finish_for(jobs, queue, A, 1, numbers=1) == ["succeeded"]
    finally:
        redis.config_set("maxmemory", 0)


def test_what_has_expired_counts_for_nobody(jobs: Jobs, queue: ScorerQueue, redis: Redis, leases: Leases) -> None:
    assert finish_for(jobs, queue, A, 3, numbers=2000) == ["succeeded"] * 3
    assert redis.hlen("mg:results:a") == 4, "three large ones, and the sum"
    redis.delete(*redis.keys("rq:job:a*"))
    leases.reconcile()
    assert not redis.exists("mg:results:a")


@pytest.mark.parametrize("share", [0.5, 1.01])
def test_a_result_that_a_full_redis_cannot_hold_fails_unless_its_rows_took_half_of_it(
    jobs: Jobs, queue: ScorerQueue, redis: Redis, share: float
) -> None:
    jobs.submit([job("many", rows=900), job("few")])
    assert take(queue) == ["many", "few"]
    with filled(redis, share):
        queue.finish({name: outcome(*[0.5] * 2000) for name in ("many", "few")})
    many, few = jobs.read(["many", "few"])
    assert many and few and many.status is Status.SUCCEEDED
    assert (few.error and few.error.code) == (None if share < 1 else "redis_full")


def test_the_time_until_there_is_room_is_that_of_the_first_expiry_or_of_half_the_queue(
    jobs: Jobs, queue: ScorerQueue, redis: Redis
) -> None:
    assert jobs.seconds_to_room("a") is None
    finish(jobs, queue, "b0", "b1")
    see(redis, "delivered", "b1")
    jobs = Jobs(redis, max_queue_rows=1000, timeout=30, result_ttl=60)
    assert 30 < (jobs.seconds_to_room("a") or 0) <= 60
    # One job in ten seconds has ended, and two wait: half of the queue takes ten seconds.
    finish(jobs, queue, "a0")
    jobs.submit([job("a1", model="a"), job("a2", model="a")])
    assert jobs.seconds_to_room("a") == 10
