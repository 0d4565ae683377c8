"""Rows that time out again and again are refused, and not all scorers take what is slow."""

from __future__ import annotations

import pytest
from redis import Redis

from broker.sides.gateway.job_client import Jobs, Limit
from broker.sides.supervisor import Leases, Spared
from broker.state.presence import TIMEOUTS, timed_out
from contract.errors import Failure
from contract.row import ColumnarRows
from contract.work.jobs import PredictionJob
from tests.broker.samples import job, scorer, take

TIMEOUT = Failure("timeout", "scoring took longer than 30 s", {"seconds": 30})
ALL, NONE = ["predict:*"], Spared("", frozenset())


@pytest.fixture
def time_out(jobs: Jobs, leases: Leases, redis: Redis) -> TimeOut:
    return TimeOut(jobs, leases, redis)


class TimeOut:
    """Submits jobs, which time out together."""

    def __init__(self, jobs: Jobs, leases: Leases, redis: Redis) -> None:
        self.jobs, self.leases, self.redis = jobs, leases, redis
        self.count = 0

    def __call__(self, *sent: PredictionJob, again: bool = False) -> None:
        inc = f"t-{self.count}-x"
        self.count += 1
        assert all(submission.accepted for submission in self.jobs.submit(sent))
        ids = take(scorer(self.leases, self.redis, inc), rows=100)
        assert ids == [job.id for job in sent]
        for _ in range(2 if again else 1):
            self.leases.give_back(inc, ids, TIMEOUT)


def refused(jobs: Jobs, sent: PredictionJob) -> bool:
    (submission,) = jobs.submit([sent])
    return submission.refused_by is Limit.TIMED_OUT


def models(redis: Redis) -> list[str]:
    return timed_out(redis.zrange(TIMEOUTS, 0, -1, withscores=True), redis.time()[0])


def test_rows_that_timed_out_twice_are_refused_for_a_while(jobs: Jobs, redis: Redis, time_out: TimeOut) -> None:
    time_out(job("a"))
    time_out(job("b"))
    assert refused(jobs, job("c"))
    assert jobs.read(["c"]) == [None]
    redis.zadd("mg:timeouts:sum", dict.fromkeys(redis.zrange("mg:timeouts:sum", 0, -1), 1))
    assert not refused(jobs, job("c"))


def test_a_single_time_out_refuses_nothing(jobs: Jobs, time_out: TimeOut) -> None:
    time_out(job("a"), again=True)  # the reply was lost, and the call is repeated
    assert not refused(jobs, job("b"))


def test_a_second_time_out_counts_only_within_ten_minutes(jobs: Jobs, redis: Redis, time_out: TimeOut) -> None:
    time_out(job("a"))
    assert 590_000 < redis.pttl("mg:timeouts:sum") <= 600_000
    redis.zadd("mg:timeouts:sum", dict.fromkeys(redis.zrange("mg:timeouts:sum", 0, -1), 1))
    time_out(job("b"))
    assert not refused(jobs, job("c"))


@pytest.mark.parametrize(
    "other",
    [
        job("c", model="other"),
        job("c", version=2),
        job("c", rows=2),
        PredictionJob("c", job("c").created_at, "sum", 1, [[1.0, 3.0]]),
        job("c", method="transform"),
    ],
)
def test_other_rows_versions_models_and_methods_are_accepted(
    jobs: Jobs, time_out: TimeOut, other: PredictionJob
) -> None:
    time_out(job("a"))
    time_out(job("b"))
    assert not refused(jobs, other)


def test_rows_by_column_are_known_again(jobs: Jobs, time_out: TimeOut) -> None:
    def sent(name: str) -> PredictionJob:
        return PredictionJob(name, job("a").created_at, "sum", 1, ColumnarRows([[1.0] * 9, [2.0] * 9]))

    time_out(sent("a"))
    time_out(sent("b"))
    assert refused(jobs, sent("c"))


def test_jobs_that_time_out_together_are_not_to_blame_each(jobs: Jobs, redis: Redis, time_out: TimeOut) -> None:
    for names in ("ab", "cd"):
        time_out(*(job(name) for name in names))
        for name in names:
            jobs.cancel(name)
    assert models(redis) == ["sum"]
    assert not refused(jobs, job("e"))


def test_a_time_out_that_a_worker_garbles_refuses_nothing(jobs: Jobs, redis: Redis) -> None:
    for key in ("mg:timeouts", "mg:timeouts:sum"):
        redis.set(key, "not a sorted set")
    assert not refused(jobs, job("a"))


def test_nothing_is_spared_while_nothing_is_slow(leases: Leases) -> None:
    for slot in (0, 1):
        leases.register(f"w-{slot}-x")
    assert leases.spare(ALL, (), ()) == NONE


def test_one_scorer_of_all_workers_takes_no_slow_model(leases: Leases, redis: Redis) -> None:
    for worker in ("a", "b", "c"):
        leases.register(f"{worker}-0-x")
    leases.register("a-1-x", queues=["predict:slow"])
    assert leases.spare(ALL, ["slow"], ()) == Spared("a-0", frozenset({"slow"}))
    assert leases.spare(ALL, (), ()) == Spared("a-0", frozenset({"slow"})), "what another worker has found"
    assert leases.spare(["predict:slow"], (), ()) == Spared("", frozenset({"slow"})), "nobody else serves this queue"
    redis.delete("mg:lease:a-0-x")
    assert leases.spare(ALL, (), ()).slot == "b-0"
    leases.give_back("b-0-x")
    assert leases.spare(ALL, (), ()).slot == "c-0", "the others are being replaced"
    redis.hset("rq:worker:c-0-x", "model", "slow")
    assert leases.spare(ALL, (), ["c-0-x"]).slot == "*", "all have slow models in hand"
    redis.delete("mg:slow:predict:*")
    assert leases.spare(ALL, (), ()).slot == ""
    redis.zadd("mg:slow", {"slow": 1})
    assert leases.spare(ALL, (), ()) == NONE


def test_it_is_a_scorer_that_has_no_slow_model_in_hand(jobs: Jobs, leases: Leases, redis: Redis) -> None:
    queues = [scorer(leases, redis, f"w-{slot}-x") for slot in range(3)]
    jobs.submit([job("a", model="slow"), job("b", model="quick")])
    assert (take(queues[0]), take(queues[1])) == (["a"], ["b"])
    assert leases.spare(ALL, (), ["w-0-x"]) == Spared("w-1", frozenset({"slow"}))


def test_a_job_that_was_cancelled_and_deleted_still_occupies_its_scorer(
    jobs: Jobs, leases: Leases, redis: Redis
) -> None:
    queues = [scorer(leases, redis, f"w-{slot}-x") for slot in range(2)]
    jobs.submit([job("a")])
    assert take(queues[0]) == ["a"]
    assert jobs.cancel("a")
    assert jobs.delete("a")
    assert leases.spare(ALL, (), ["w-0-x"]) == Spared("w-1", frozenset({"sum"}))
    assert leases.spare(ALL, (), ()) == Spared("w-1", frozenset({"sum"})), "another worker knows it, too"
    for _ in range(2):
        leases.give_back("w-0-x", ["a"], TIMEOUT)
    assert models(redis) == ["sum"]
    assert redis.keys("mg:timeouts:*") == [], "its rows are not known any more"


def test_a_model_that_has_timed_out_is_slow(leases: Leases, redis: Redis, time_out: TimeOut) -> None:
    time_out(job("a"))
    for slot in (0, 1):
        leases.register(f"w-{slot}-x")
    assert leases.spare(ALL, (), ()) == Spared("w-0", frozenset({"sum"}))
    redis.zadd("mg:timeouts", {"sum": 1})
    assert leases.spare(ALL, (), ()) == NONE
