"""A supervisor's side: leases begin and end, and jobs of dead scorers return to their queues."""

from __future__ import annotations

import itertools

from redis import Redis

from broker.records.lease_groups import worker_of
from broker.sides.gateway.job_client import Jobs
from broker.sides.scorer import ScorerQueue
from broker.sides.supervisor import LEASE, Leases, incarnation
from contract.errors import Failure
from contract.work.jobs import Status
from tests.broker.samples import job, outcome, read, scorer, take
from tests.support import Clock


def patient(redis: Redis, clock: Clock) -> Leases:
    """Return a supervisor that has renewed for one lease, so that it may reap."""
    leases = Leases(redis, clock=clock)
    for clock.now in (0.0, LEASE / 2, LEASE):
        leases.renew([])
    return leases


def test_each_incarnation_has_a_new_name_that_contains_its_worker() -> None:
    names = {incarnation("loan-host-1", 0) for _ in range(100)}
    assert len(names) == 100
    assert {worker_of(name) for name in names} == {"loan-host-1"}
    assert not any(":" in name for name in names)


def test_jobs_of_a_dead_scorer_return_to_the_head_in_order(
    jobs: Jobs, queue: ScorerQueue, leases: Leases, redis: Redis
) -> None:
    jobs.submit([job(name) for name in "abcd"])
    take(queue, jobs=3)
    assert leases.give_back("w-0-x") == {"c": "queued", "b": "queued", "a": "queued"}
    assert leases.give_back("w-0-x") == {}
    assert redis.lrange("rq:queue:predict:sum", 0, -1) == [b"a", b"b", b"c", b"d"]
    assert jobs.backlog("sum").rows == 4
    assert read(jobs, "a").started_at is None
    assert redis.exists("mg:held:w-0-x", "mg:lease:w-0-x", "rq:worker:w-0-x", "mg:incs", "rq:wip:predict:sum") == 0


def test_only_jobs_that_were_running_come_alone_afterwards(
    jobs: Jobs, queue: ScorerQueue, leases: Leases, redis: Redis
) -> None:
    jobs.submit([job(name) for name in "abcd"])
    take(queue)
    leases.give_back("w-0-x", ["b", "c"])
    batches = []
    for number in range(1, 5):
        other = scorer(leases, redis, f"w-{number}-x")
        batches.append(take(other))
    assert batches == [["a"], ["b"], ["c"], ["d"]]


def test_a_running_job_fails_at_the_third_death(jobs: Jobs, leases: Leases, redis: Redis) -> None:
    jobs.submit([job("a"), job("b")])
    became = []
    for number in range(3):
        take(scorer(leases, redis, f"w-{number}-x"))
        became.append(leases.give_back(f"w-{number}-x", ["a"])["a"])
    assert became == ["queued", "queued", "failed"]
    error = read(jobs, "a").error
    assert error is not None
    assert error.code == "worker_crashed"
    assert read(jobs, "b").status is Status.QUEUED


def test_a_job_scored_alone_fails_at_once_with_the_reason_of_the_kill(jobs: Jobs, leases: Leases, redis: Redis) -> None:
    jobs.submit([job("a"), job("b")])
    timeout = Failure("timeout", "scoring took longer than 30 s", {"seconds": 30})
    take(scorer(leases, redis, "w-0-x"))
    assert leases.give_back("w-0-x", ["a", "b"], timeout) == {"b": "queued", "a": "queued"}
    take(scorer(leases, redis, "w-1-x"))
    assert leases.give_back("w-1-x", ["a"], timeout) == {"a": "failed"}
    assert read(jobs, "a").error == timeout


def test_a_job_that_returns_after_its_deadline_expires(
    jobs: Jobs, queue: ScorerQueue, leases: Leases, redis: Redis
) -> None:
    jobs.submit([job("a", expires_after=60)])
    take(queue)
    redis.hset("rq:job:a", "deadline", 1)
    assert leases.give_back("w-0-x") == {"a": "expired"}
    assert read(jobs, "a").status is Status.EXPIRED


def test_the_deadline_of_a_returned_job_counts_again(
    jobs: Jobs, queue: ScorerQueue, leases: Leases, redis: Redis
) -> None:
    jobs.submit([job("a", expires_after=60)])
    deadline = redis.zscore("mg:deadlines", "a")
    take(queue)
    assert redis.zscore("mg:deadlines", "a") is None
    leases.give_back("w-0-x")
    assert redis.zscore("mg:deadlines", "a") == deadline


def test_an_ended_lease_is_not_renewed(queue: ScorerQueue, leases: Leases, redis: Redis) -> None:
    scorer(leases, redis, "w-1-x")
    redis.pexpire("mg:lease:w-1-x", 20_000)
    assert leases.renew(["w-0-x", "w-1-x"]) == []
    left = leases.remaining("w")
    assert left.keys() == {"w-0-x", "w-1-x"} and all(20 < seconds <= 60 for seconds in left.values())
    redis.delete("mg:lease:w-0-x")
    assert leases.renew(["w-0-x", "w-1-x"]) == ["w-0-x"]
    assert leases.remaining()["w-0-x"] == 0
    assert leases.remaining("another") == {}


def test_another_supervisor_gives_back_the_jobs_of_a_dead_one(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    jobs.submit([job("a"), job("b")])
    take(queue)
    other = patient(redis, Clock())
    assert other.reap() == []
    redis.delete("mg:lease:w-0-x")
    assert other.reap() == ["w-0-x"]
    assert other.reap() == []
    assert redis.lrange("rq:queue:predict:sum", 0, -1) == [b"a", b"b"]
    assert take(scorer(other, redis, "v-0-x")) == ["a"]


def test_a_lease_from_before_the_clock_was_set_back_is_cut(redis: Redis, queue: ScorerQueue) -> None:
    redis.pexpire("mg:lease:w-0-x", 3_600_000)
    assert patient(redis, Clock()).reap() == []
    assert 0 < redis.pttl("mg:lease:w-0-x") <= 60_000


def test_a_supervisor_reaps_only_after_it_has_renewed_for_a_lease_without_a_gap(
    redis: Redis, queue: ScorerQueue
) -> None:
    clock = Clock()
    redis.delete("mg:lease:w-0-x")
    leases = Leases(redis, clock=clock)
    assert leases.reap() == []
    for clock.now in (0.0, 9.0, 20.0, 29.0):  # a gap of more than a lease before 20
        leases.renew([])
        assert leases.reap() == []
    clock.now = 30.0
    assert leases.reap() == ["w-0-x"]


def test_a_supervisor_that_was_fenced_does_not_reap(redis: Redis, queue: ScorerQueue) -> None:
    clock = Clock()
    leases = patient(redis, clock)
    redis.delete("mg:lease:w-0-x")
    assert leases.renew(["w-0-x"]) == ["w-0-x"]
    assert leases.reap() == []


def test_one_call_expires_many_jobs(redis: Redis, leases: Leases) -> None:
    jobs = Jobs(redis, max_queue_rows=1000, timeout=30, result_ttl=60)
    jobs.submit([job(f"j{number}", expires_after=0) for number in range(250)])
    leases.expire()
    assert redis.zcard("mg:ended:canceled:predict:sum") == 250
    assert redis.exists("rq:queue:predict:sum", "mg:deadlines", "mg:rows", "mg:ready", "mg:bell") == 0


def test_nothing_accumulates(redis: Redis, leases: Leases) -> None:
    jobs = Jobs(redis, max_queue_rows=1000, timeout=30, result_ttl=60)
    jobs.submit([job("first")])
    jobs.cancel("first")
    redis.flushall()
    for number in range(40):
        inc = f"w-{number}-x"
        queue = scorer(leases, redis, inc)
        names = [f"{number}-{index}" for index in range(8)]
        jobs.submit([job(name, model=name[-1], reply_to="mg:reply:x", expires_after=60) for name in names])
        ends = dict(zip(names, [outcome(1.0), Failure("model_error", "no")] * 4, strict=True))
        while taken := take(queue, jobs=1):
            if taken[0].endswith("7"):
                jobs.cancel(taken[0])
            else:
                queue.finish({job_id: ends[job_id] for job_id in taken})
        leases.give_back(inc)
    assert redis.dbsize() > 300
    with redis.pipeline() as pipeline:  # time passes
        for key in redis.scan_iter("rq:job:*"):
            pipeline.delete(key)
        pipeline.execute()
    leases.reconcile()
    left = {key.decode() for key in redis.scan_iter()}
    failures = {key for key in left if key.startswith("mg:failures:")}
    assert failures and all(redis.ttl(key) > 0 for key in failures)
    assert {key for key in left - failures if not key.startswith("mg:counts:")} <= {"rq:queues", "mg:turn"}


def test_long_queues_and_registries_are_reconciled_in_pieces(redis: Redis, leases: Leases) -> None:
    jobs = Jobs(redis, max_queue_rows=10_000, timeout=30, result_ttl=60)
    jobs.submit([job(f"j{number}") for number in range(2500)])
    redis.hset("rq:job:j2400", "status", "canceled")
    redis.expire("rq:job:j2300", 9)
    redis.hset("rq:job:j2300", "started_at", "")
    redis.zadd("mg:fetched:finished:predict:sum", {f"f{number}": 1 for number in range(3500)})
    redis.zadd("rq:canceled:predict:sum", {f"c{number}": 1 for number in range(2500)})
    leases.reconcile()
    assert redis.llen("rq:queue:predict:sum") == 2499
    assert redis.ttl("rq:job:j2300") == -1
    assert redis.exists("mg:fetched:finished:predict:sum", "rq:canceled:predict:sum") == 0


def test_between_the_parts_of_a_pass_others_have_their_turn_and_the_next_pass_comes_later(redis: Redis) -> None:
    ticking = itertools.count(step=0.003)
    leases = Leases(redis, clock=lambda: next(ticking))
    jobs = Jobs(redis, max_queue_rows=10_000, timeout=30, result_ttl=60)
    jobs.submit([job(f"j{number}") for number in range(1000)])
    redis.hset("rq:job:j950", "status", "canceled")
    looks = list[int]()
    while redis.llen("rq:queue:predict:sum") == 1000:
        before = redis.info("commandstats")["cmdstat_hmget"]["calls"]
        leases.reconcile_in_parts()
        looks.append(redis.info("commandstats")["cmdstat_hmget"]["calls"] - before)
    assert len(looks) > 3 and max(looks) <= 300
    redis.hset("rq:job:j50", "status", "canceled")
    begun = next(ticking)
    while redis.llen("rq:queue:predict:sum") == 999:
        leases.reconcile_in_parts()
    assert 9 < next(ticking) - begun < 11
