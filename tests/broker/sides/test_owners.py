"""Owners of one model share it by rows, and the limits of keys hold where jobs are submitted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from itertools import count

import pytest
from redis import Redis

from broker.link.scripts import Durability
from broker.metrics.reading import MetricsReader
from broker.metrics.table import QUEUE_AGE, QUEUE_JOBS, QUEUE_ROWS
from broker.sides.gateway.job_client import ACCEPTED, Backlog, Jobs, Limit
from broker.sides.gateway.listing import JobFilter
from broker.sides.gateway.system_health import HealthCheck
from broker.sides.scorer import BatchLimits, ScorerQueue
from broker.sides.supervisor import Leases
from contract.work.api_keys import Key, Limits
from contract.work.jobs import PredictionJob, Status
from tests.broker.samples import job, key, outcome, read, scorer, take

RISK, SALES = key("r", "risk"), key("s", "sales")
NUMBERS = count()


@pytest.fixture
def jobs(redis: Redis) -> Jobs:
    return Jobs(redis, max_queue_rows=1000, timeout=30, result_ttl=60)


def some(caller: Key, amount: int, rows: int = 1, version: int = 1) -> list[PredictionJob]:
    """Return jobs whose ids begin with the name of the key."""
    return [job(f"{caller.name}{next(NUMBERS)}", rows, version=version, caller=caller) for _ in range(amount)]


def served(queue: ScorerQueue, batches: int, **limits: int) -> Counter[str]:
    """Score some batches, and return how many jobs of each key they had."""
    counts = Counter[str]()
    for _ in range(batches):
        ids = take(queue, **limits)
        queue.finish({job_id: outcome(1.0) for job_id in ids})
        counts.update(job_id[0] for job_id in ids)
    return counts


def refusals(jobs: Jobs, wanted: Sequence[PredictionJob]) -> list[Limit | None]:
    return [submission.refused_by for submission in jobs.submit(wanted)]


# Turns


def test_an_owner_that_floods_leaves_the_other_its_half_of_each_batch(jobs: Jobs, queue: ScorerQueue) -> None:
    jobs.submit(some(RISK, 500))
    jobs.submit(some(SALES, 20))
    assert served(queue, 4, jobs=80) == {"r": 20, "s": 20}
    assert served(queue, 1, jobs=80) == {"r": 10}


def test_batches_are_smaller_while_owners_share_until_no_job_waits(jobs: Jobs, queue: ScorerQueue) -> None:
    """An owner that comes waits for the batches that run."""
    jobs.submit(some(RISK, 100))
    assert served(queue, 1, jobs=64) == {"r": 64}
    jobs.submit(some(SALES, 4))
    assert served(queue, 1, jobs=64) == {"r": 4, "s": 4}
    assert served(queue, 1, jobs=64) == {"r": 8}, "SALES may come back"
    assert served(queue, 3, jobs=64) == {"r": 24}
    jobs.submit(some(SALES, 100))
    assert served(queue, 1, jobs=64) == {"s": 64}


def test_owners_share_by_rows_and_not_by_jobs(jobs: Jobs, queue: ScorerQueue) -> None:
    jobs.submit(some(RISK, 40, rows=8))
    jobs.submit(some(SALES, 300))
    assert served(queue, 40, jobs=64, rows=64) == {"r": 20, "s": 160}


def test_an_owner_that_comes_back_starts_at_the_virtual_time_and_not_before(jobs: Jobs, queue: ScorerQueue) -> None:
    """Large jobs, one after the other, would otherwise always be first."""
    jobs.submit(some(SALES, 200))
    rows = Counter[str]()
    for _ in range(4):
        jobs.submit(some(RISK, 1, rows=50))
        for size, name in ((50, "r"), (1, "s")):
            rows[name] += size * served(queue, 1, rows=50, jobs=50)[name]
    assert rows["r"] <= rows["s"] + 50


def test_an_owner_gains_nothing_by_a_long_pause(jobs: Jobs, queue: ScorerQueue) -> None:
    jobs.submit(some(RISK, 300))
    served(queue, 4, jobs=50)
    jobs.submit(some(SALES, 100))
    assert served(queue, 1, jobs=80) == {"r": 5, "s": 5}


def test_a_newcomer_goes_before_the_next_job_of_one_that_floods_with_large_ones(jobs: Jobs, queue: ScorerQueue) -> None:
    jobs.submit(some(RISK, 5, rows=100))
    served(queue, 1, rows=100)
    jobs.submit(some(SALES, 1))
    assert served(queue, 1, rows=100) == {"s": 1}


def test_another_version_or_a_death_at_the_head_of_a_queue_ends_no_batch(
    jobs: Jobs, queue: ScorerQueue, leases: Leases
) -> None:
    jobs.submit(some(RISK, 4, version=2) + some(SALES, 4))
    assert [len(take_and_finish(queue)) for _ in range(2)] == [4, 4]
    jobs.submit(some(RISK, 3) + some(SALES, 3))
    (first, *_) = take(queue, jobs=1)
    leases.give_back("w-0-x", [first])
    leases.register("w-0-x")
    assert [len(take_and_finish(queue)) for _ in range(3)] == [3, 1, 2]


def take_and_finish(queue: ScorerQueue) -> list[str]:
    ids = take(queue)
    queue.finish({job_id: outcome(1.0) for job_id in ids})
    return ids


def test_jobs_without_an_owner_share_with_those_of_owners(jobs: Jobs, queue: ScorerQueue) -> None:
    jobs.submit([job(f"n{number}") for number in range(100)])
    jobs.submit(some(RISK, 100))
    assert served(queue, 6, jobs=80) == {"n": 30, "r": 30}


def test_the_queue_and_the_owner_of_a_job_are_known_until_its_end(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    jobs.submit([job("a", caller=RISK), job("b")])
    assert [read(jobs, name).owner for name in "ab"] == ["risk", ""]
    assert redis.lrange("rq:queue:predict:sum:risk", 0, -1) == [b"a"]
    batch = queue.take(BatchLimits())
    assert batch and batch.model == "sum"
    queue.finish({"a": outcome(1.0), "b": outcome(2.0)})
    assert [(read(jobs, name).owner, read(jobs, name).model) for name in "ab"] == [("risk", "sum"), ("", "sum")]
    assert redis.hgetall("mg:counts:model:sum")[b"jobs_total|succeeded"] == b"2"


def test_more_owners_than_share_a_batch_are_all_served(jobs: Jobs, queue: ScorerQueue) -> None:
    callers = [key(f"k{number}", f"o{number}") for number in range(250)]
    jobs.submit([job(caller.id, caller=caller) for caller in callers])
    job_ids = [job_id for _ in range(40) for job_id in take_and_finish(queue)]
    assert sorted(job_ids) == sorted(caller.id for caller in callers)


def test_a_full_queue_of_one_owner_leaves_room_for_another(jobs: Jobs) -> None:
    flood = refusals(jobs, some(RISK, 1000))
    assert Counter(flood) == {None: 900, Limit.QUEUE: 100}
    assert refusals(jobs, some(SALES, 50)) == [None] * 50
    assert refusals(jobs, some(key("n", ""), 1)) == [None]


def test_a_single_request_of_one_owner_leaves_room_for_another(jobs: Jobs) -> None:
    assert refusals(jobs, some(RISK, 1, rows=1000) + some(RISK, 1, rows=901)) == [Limit.QUEUE] * 2
    assert refusals(jobs, some(RISK, 1, rows=900)) == [None]
    assert refusals(jobs, some(SALES, 50)) == [None] * 50


def test_all_owners_together_have_the_rows_of_the_model(jobs: Jobs) -> None:
    assert refusals(jobs, some(RISK, 1, rows=900)) == [None]
    assert refusals(jobs, some(SALES, 1, rows=91)) == [Limit.QUEUE]
    assert refusals(jobs, some(SALES, 1, rows=90)) == [None]
    assert refusals(jobs, some(key("t", "third"), 1, rows=9)) == [None]
    assert refusals(jobs, some(key("f", "fourth"), 2)) == [None, Limit.QUEUE], "the last row is for anybody"
    assert refusals(jobs, some(key("n", ""), 1)) == [Limit.QUEUE]


def test_without_an_owner_a_request_may_fill_the_queue(jobs: Jobs) -> None:
    assert refusals(jobs, some(key("n", ""), 1, rows=1000)) == [None]


# What others see of the queues


def test_metrics_and_health_know_models_and_not_owners(jobs: Jobs, redis: Redis) -> None:
    jobs.submit(some(RISK, 3) + some(SALES, 2, rows=300) + [job("n", rows=400)])
    snapshot = MetricsReader(redis).read(["sum"])
    waiting = [snapshot.values[metric] for metric in (QUEUE_JOBS, QUEUE_ROWS)]
    assert waiting == [{("sum",): 5}, {("sum",): 603}]
    assert set(snapshot.values[QUEUE_AGE]) == {("sum",)}
    assert HealthCheck(redis, 603, Durability()).run().full_queues == ["sum"]
    assert jobs.backlog("sum") == Backlog(603, 5, None)
    assert jobs.backlog("sum", "sales").rows == 600


def test_the_list_of_an_owner_has_its_jobs_alone(jobs: Jobs, queue: ScorerQueue) -> None:
    jobs.submit([job("a", caller=RISK), job("b", caller=SALES), job("c", model="other", caller=RISK), job("d")])
    assert {job.id for job in jobs.list().items} == {"a", "b", "c", "d"}
    assert {job.id for job in jobs.list(JobFilter("sum")).items} == {"a", "b", "d"}
    assert {job.id for job in jobs.list(JobFilter(owner="risk")).items} == {"a", "c"}
    assert [job.id for job in jobs.list(JobFilter("sum", owner="risk")).items] == ["a"]
    take_and_finish(queue)
    take_and_finish(queue)
    assert {job.id for job in jobs.list(JobFilter(status=Status.SUCCEEDED, owner="risk")).items} == {"a", "c"}
    assert [job.id for job in jobs.list(JobFilter("sum", Status.SUCCEEDED, owner="sales")).items] == ["b"]


def test_an_owners_queue_without_jobs_is_forgotten(
    jobs: Jobs, queue: ScorerQueue, leases: Leases, redis: Redis
) -> None:
    jobs.submit([job("a", caller=RISK)])
    leases.reconcile()
    assert redis.smembers("rq:workers:predict:sum:risk") == {b"rq:worker:w-0-x"}
    take_and_finish(queue)
    leases.reconcile()
    assert b"rq:queue:predict:sum:risk" in redis.smembers("rq:queues")
    assert jobs.delete("a")
    leases.reconcile()
    assert redis.smembers("rq:queues") == set()
    assert {name.decode() for name in redis.keys("*risk*")} == set()


# Limits


def test_rows_waiting_counts_the_rows_of_the_owner_and_the_model(jobs: Jobs, queue: ScorerQueue) -> None:
    limited = key("r", "risk", Limits(rows_waiting=5))
    other_model = [job("x", 5, model="other", caller=limited)]
    assert refusals(jobs, some(limited, 3, rows=2)) == [None, None, Limit.ROWS_WAITING]
    assert refusals(jobs, some(SALES, 1, rows=100) + other_model) == [None, None]
    take(queue, models=["sum"])
    assert refusals(jobs, some(limited, 1, rows=5)) == [None]


def test_jobs_in_flight_are_those_that_wait_or_run(jobs: Jobs, queue: ScorerQueue) -> None:
    limited = key("r", "risk", Limits(jobs_in_flight=2))
    assert refusals(jobs, some(limited, 3)) == [None, None, Limit.JOBS_IN_FLIGHT]
    (running, *_) = take(queue)
    assert refusals(jobs, some(limited, 1)) == [Limit.JOBS_IN_FLIGHT]
    queue.finish({running: outcome(1.0)})
    assert refusals(jobs, some(limited, 2)) == [None, Limit.JOBS_IN_FLIGHT]


def test_a_rate_allows_its_rows_of_a_second_at_once_and_says_when_there_are_more(jobs: Jobs, redis: Redis) -> None:
    limited = key("r", "risk", Limits(rows_per_second=3))
    first, second, third, fourth = jobs.submit(some(limited, 4))
    assert [submission.rate and submission.rate.remaining for submission in (first, second, third)] == [2, 1, 0]
    assert first.accepted and second.accepted and third.accepted
    assert fourth.refused_by is Limit.ROWS_PER_SECOND and fourth.rate
    assert (fourth.rate.limit, fourth.rate.window, fourth.rate.remaining) == (3, 1, 0)
    assert 0 < fourth.retry_after <= 1 / 3 + 0.001 and 0.9 < fourth.rate.reset <= 1
    assert -1 != redis.pttl("mg:rate:r:sum") <= 1000, "it is kept for a second at most"
    other_key = key("q", "risk", Limits(rows_per_second=3))
    assert refusals(jobs, [job("x", 3, model="other", caller=limited), job("y", 3, caller=other_key)]) == [None, None]


def test_rows_come_back_at_the_rate(jobs: Jobs, redis: Redis) -> None:
    limited, began = key("r", "risk", Limits(rows_per_second=10)), time.monotonic()
    assert refusals(jobs, some(limited, 11)) == [None] * 10 + [Limit.ROWS_PER_SECOND]
    passed(redis, 0.31)
    accepted = Counter(refusals(jobs, some(limited, 10)))[None]
    assert 3 <= accepted <= 10 * (0.31 + time.monotonic() - began)


def test_a_job_beyond_the_rate_passes_when_none_was_used_and_the_next_ones_wait(jobs: Jobs, redis: Redis) -> None:
    limited = key("r", "risk", Limits(rows_per_second=3))
    assert refusals(jobs, some(limited, 1, rows=300)) == [None]
    (refused,) = jobs.submit(some(limited, 1))
    assert refused.refused_by is Limit.ROWS_PER_SECOND and 50 < refused.retry_after <= 99.4
    (refused,) = jobs.submit(some(limited, 1, rows=300))
    assert refused.refused_by is Limit.ROWS_PER_SECOND and 50 < refused.retry_after <= 100
    passed(redis, 100)
    assert refusals(jobs, some(limited, 1, rows=300)) == [None]


def passed(redis: Redis, seconds: float) -> None:
    """Do as if some time had passed since the key r used its rows."""
    allowed = int(redis.get("mg:rate:r:sum") or 0) - round(seconds * 1_000_000)
    redis.set("mg:rate:r:sum", allowed, px=60_000)


def test_repeated_and_refused_jobs_are_not_charged(jobs: Jobs) -> None:
    limited = key("r", "risk", Limits(rows_per_second=3, jobs_in_flight=1))
    wanted = some(limited, 2)
    for _ in range(3):
        accepted, refused = jobs.submit(wanted)
        assert accepted.accepted and refused.refused_by is Limit.JOBS_IN_FLIGHT
        assert accepted.rate and accepted.rate.remaining == 2


def test_jobs_of_several_keys_leave_in_one_round_trip_and_get_their_own_answers(jobs: Jobs) -> None:
    limited = key("l", "risk", Limits(jobs_in_flight=1))
    mixed = [
        prediction_job
        for trio in zip(some(limited, 2), some(SALES, 2), some(RISK, 2), strict=True)
        for prediction_job in trio
    ]
    answers = jobs.submit(mixed)
    assert answers[1] is answers[2] is answers[4] is ACCEPTED
    assert [submission.refused_by for submission in answers] == [None, None, None, Limit.JOBS_IN_FLIGHT, None, None]


def test_without_owners_no_key_of_theirs_exists(jobs: Jobs, redis: Redis, leases: Leases) -> None:
    queue = scorer(leases, redis, "w-1-x")
    jobs.submit([job("a"), job("b")])
    take(queue, jobs=1)
    leases.reconcile()
    assert [name for name in redis.keys("mg:*") if name.split(b":")[1] in (b"owners", b"served", b"rate")] == []
