"""A scorer's side: batches, turns, bells, and ownership."""

from __future__ import annotations

import dataclasses
import json
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer

from broker.link.scripts import FencedError
from broker.records.job_kinds import PREDICTION
from broker.sides.gateway.job_client import Jobs
from broker.sides.scorer import BatchLimits, ScorerQueue, Woken
from broker.sides.supervisor import Leases
from contract.errors import Failure
from contract.row import ColumnarRows
from contract.work.jobs import Status
from tests.broker.samples import job, outcome, read, scorer, take
from tests.support import until


def test_an_empty_queue_has_no_batch(queue: ScorerQueue) -> None:
    assert queue.take(BatchLimits()) is None


def test_a_batch_is_of_one_model_and_version(jobs: Jobs, queue: ScorerQueue) -> None:
    jobs.submit([job("a"), job("b"), job("c", version=2), job("d"), job("e", model="other")])
    batches = []
    for _ in range(4):
        batch = queue.take(BatchLimits())
        assert batch is not None
        batches.append((batch.model, batch.version, [job.id for job in batch.jobs]))
        queue.finish({job.id: outcome(1.0) for job in batch.jobs})
    assert batches == [("sum", 1, ["a", "b"]), ("other", 1, ["e"]), ("sum", 2, ["c"]), ("sum", 1, ["d"])]


def test_a_batch_is_limited_by_rows_and_by_jobs_but_never_empty(jobs: Jobs, redis: Redis, leases: Leases) -> None:
    jobs.submit([job("a", rows=5), job("b", rows=2), job("c"), job("d"), job("e")])
    batches = [
        take(scorer(leases, redis, f"w-{number}-x"), **limits)
        for number, limits in enumerate(
            ({"rows": 3}, {"rows": 3}, {"rows": 9, "jobs": 1}, {"rows": 9, "model_rows": {"su": 9, "sum": 1}})
        )
    ]
    assert batches == [["a"], ["b", "c"], ["d"], ["e"]]


def test_models_take_turns_however_long_their_queues_are(redis: Redis, queue: ScorerQueue) -> None:
    jobs = Jobs(redis, max_queue_rows=1000, timeout=30, result_ttl=60)
    jobs.submit([job(f"long{number}", model="long") for number in range(100)])
    jobs.submit([job("short0", model="short")])
    order = []
    for number in range(1, 5):
        (taken,) = take(queue, jobs=1)
        queue.finish({taken: outcome(1.0)})
        order.append(taken)
        jobs.submit([job(f"short{number}", model="short")])
    assert order == ["long0", "short0", "long1", "short1"]


def test_a_scorer_takes_only_its_models_and_skips_others(jobs: Jobs, redis: Redis, leases: Leases) -> None:
    jobs.submit([job("a", model="loan"), job("b", model="loan-2"), job("c", model="slow"), job("d", model="an")])
    first, second = (scorer(leases, redis, f"w-{number}-x") for number in range(2))
    assert take(first, models=["loan-2", "slow"], skip=["slow"]) == ["b"]
    assert take(second, models=["an"]) == ["d"]
    second.finish({"d": outcome(1.0)})
    assert take(second, skip=["loan", "slow"]) == []
    assert take(second, skip=["loan"]) == ["c"]


def test_a_lost_reply_loses_no_batch(jobs: Jobs, queue: ScorerQueue) -> None:
    jobs.submit([job(name) for name in "abc"])
    assert take(queue, jobs=2) == take(queue, jobs=64) == ["a", "b"]
    jobs.cancel("a")
    assert take(queue) == ["b"]


def test_finishing_twice_writes_one_result(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    jobs.submit([job("a")])
    take(queue)
    assert queue.finish({"a": outcome(1.0)}) == queue.finish({"a": outcome(2.0)}) == []
    assert (read(jobs, "a").output or {})["predictions"] == [1.0]
    assert redis.zrange("mg:ended:finished:predict:sum", 0, -1) == [b"a"]


def test_only_the_owner_of_a_job_finishes_it(jobs: Jobs, queue: ScorerQueue, redis: Redis, leases: Leases) -> None:
    jobs.submit([job("a")])
    take(queue)
    assert scorer(leases, redis, "w-1-x").finish({"a": outcome(6.66)}) == ["a"]
    assert read(jobs, "a").status is Status.RUNNING


def test_a_scorer_without_a_lease_takes_no_batch(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    jobs.submit([job("a")])
    redis.delete("mg:lease:w-0-x")
    with pytest.raises(FencedError, match="w-0-x has no lease"):
        queue.take(BatchLimits())
    assert redis.llen("mg:bell") == 1


def test_a_lease_that_ends_while_scoring_does_not_lose_the_outcome(
    jobs: Jobs, queue: ScorerQueue, redis: Redis
) -> None:
    jobs.submit([job("a")])
    take(queue)
    redis.delete("mg:lease:w-0-x")
    assert queue.finish({"a": outcome(1.0)}) == []
    assert read(jobs, "a").status is Status.SUCCEEDED


def test_a_scorer_that_was_given_back_writes_nothing(
    jobs: Jobs, queue: ScorerQueue, leases: Leases, redis: Redis
) -> None:
    jobs.submit([job("a")])
    take(queue)
    leases.give_back("w-0-x")
    with pytest.raises(FencedError, match="w-0-x was given back"):
        queue.finish({"a": outcome(6.66)})
    assert read(jobs, "a").status is Status.QUEUED
    other = scorer(leases, redis, "w-1-x")
    take(other)
    with pytest.raises(FencedError):
        queue.finish({"a": outcome(6.66)})
    other.finish({"a": outcome(1.0)})
    assert (read(jobs, "a").output or {})["predictions"] == [1.0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[1]",
        b"[" * 100_000,
        b"\x80\x04}",
        json.dumps(["os.mkdir", None, [{"rows": [[1]]}], {}]).encode(),
        json.dumps(["worker.scorer.predict", None, [{"rows": [[1.0, 2.0]]}], {}]).encode(),
        json.dumps([PREDICTION.function, None, [{"rows": 3}], {}]).encode(),
        *(
            json.dumps([PREDICTION.function, None, [{"columns": columns}], {}]).encode()
            for columns in (3, [], [3], ["ab"], [[1], [1, 2]])
        ),
    ],
)
def test_a_job_that_cannot_be_read_fails_and_its_neighbours_are_scored(
    jobs: Jobs, queue: ScorerQueue, redis: Redis, data: bytes
) -> None:
    jobs.submit([job("bad"), job("good")])
    redis.hset("rq:job:bad", "data", data)
    assert take(queue) == ["good"]
    error = read(jobs, "bad").error
    assert error is not None
    assert error.code == "job_refused"
    queue.finish({"good": outcome(1.0)})
    jobs.submit([job("worse")])
    redis.hset("rq:job:worse", "data", data)
    assert take(queue) == []


def test_rows_by_column_are_read_as_rows(jobs: Jobs, queue: ScorerQueue) -> None:
    rows = [(1.0, "a", None), (2.5, "😀", True)]
    jobs.submit([dataclasses.replace(job("a"), rows=ColumnarRows(list(zip(*rows, strict=True))))])
    batch = queue.take(BatchLimits())
    assert batch is not None
    assert batch.jobs[0].rows == rows


def test_rows_and_ids_have_any_text_and_any_whole_number(jobs: Jobs, queue: ScorerQueue) -> None:
    rows, ids = [[{"\ud800": 2**64}, -(10**400), "half of a pair: \udc00"]], [2**64, "\ud800"]
    jobs.submit([dataclasses.replace(job("a"), rows=rows, ids=ids, logged={"ids": ids})])
    batch = queue.take(BatchLimits())
    assert batch is not None
    assert batch.jobs[0].rows == rows
    assert batch.jobs[0].logged == {"ids": ids}


def test_compressed_data_is_read_too(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    jobs.submit([job("a")])
    redis.hset("rq:job:a", "data", zlib.compress(redis.hget("rq:job:a", "data")))  # type: ignore[arg-type]
    assert take(queue) == ["a"]


def test_an_outcome_that_json_cannot_hold_fails_its_job_and_no_other(jobs: Jobs, queue: ScorerQueue) -> None:
    jobs.submit([job("a"), job("b"), job("c")])
    take(queue)
    queue.finish({"a": outcome(float("nan")), "b": outcome(1.0), "c": Failure("model_error", "\ud800")})
    failed = read(jobs, "a").error
    assert failed is not None
    assert failed.code == "model_error"
    assert failed.message.startswith("the model's answer cannot be written as JSON: ")
    assert read(jobs, "b").status is Status.SUCCEEDED
    assert read(jobs, "c").status is Status.FAILED
    assert queue.finish({}) == []


def woken(queue: ScorerQueue, limits: BatchLimits) -> threading.Thread:
    thread = threading.Thread(target=queue.wait_for_work, args=(limits, 20.0), daemon=True)
    thread.start()
    return thread


def blocked(redis: Redis, count: int) -> Any:
    return until(lambda: redis.info("clients")["blocked_clients"] == count, "the scorers wait")


def test_a_job_wakes_a_scorer_that_may_take_it(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    for limits in (BatchLimits(), BatchLimits(models=["sum", "other"]), BatchLimits(skip=["other"])):
        jobs.submit([job("first")])  # rq:queues knows the model from then on
        thread = woken(queue, limits) if not take(queue) else None
        assert thread is None
        queue.finish({"first": outcome(1.0)})
        jobs.delete("first")
        thread = woken(queue, limits)
        blocked(redis, 1)
        jobs.submit([job("a")])
        thread.join(10)
        assert not thread.is_alive()
        take(queue)
        queue.finish({"a": outcome(1.0)})
        jobs.delete("a")


def test_a_scorer_does_not_wake_for_a_model_that_it_skips(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    jobs.submit([job("other", model="other"), job("sum")])
    assert take(queue, skip=["sum"]) == ["other"]
    queue.finish({"other": outcome(1.0)})
    assert take(queue, skip=["sum"]) == []
    thread = woken(queue, BatchLimits(skip=["sum"]))
    blocked(redis, 1)
    jobs.submit([job("again", model="other")])
    thread.join(10)
    assert not thread.is_alive()


def test_a_busy_scorer_passes_the_bell_on(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    jobs.submit([job("a"), job("b", model="other")])
    assert redis.lpop("mg:bell")
    take(queue)
    assert redis.llen("mg:bell") == 1


def test_no_bell_rings_for_an_empty_queue(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    jobs.submit([job("a")])
    take(queue)
    assert redis.keys("mg:bell*") == []


# Batches that are handed over while a scorer waits


def ids(woken: Woken) -> list[str]:
    return [of_batch.id for of_batch in woken.batch.jobs] if woken.batch else []


def test_a_scorer_that_waits_is_handed_its_batch(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(queue.wait_for_work, BatchLimits(rows=2), 20)
        blocked(redis, 1)
        jobs.submit([job("a"), job("b"), job("c")])
        batch = waits.result(20).batch
    assert batch and (batch.model, batch.version, batch.left) == ("sum", 1, "rows")
    assert [(of_batch.id, of_batch.rows) for of_batch in batch.jobs] == [("a", [[1.0, 2.0]]), ("b", [[1.0, 2.0]])]
    assert (read(jobs, "a").status, read(jobs, "c").status) == (Status.RUNNING, Status.QUEUED)
    stock = RQJob.fetch("a", connection=redis, serializer=JSONSerializer)
    assert (stock.get_status(), stock.worker_name) == ("started", "w-0-x")
    assert queue.finish({"a": outcome(1.0), "b": outcome(1.0)}) == []
    assert take(queue) == ["c"], "which its bell has announced"


def test_a_large_batch_is_handed_over_without_a_copy_of_its_data(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    large = dataclasses.replace(job("a"), rows=ColumnarRows([["x" * 40_000], ["y" * 40_000]]))
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(queue.wait_for_work, BatchLimits(), 20)
        blocked(redis, 1)
        jobs.submit([large])
        batch = waits.result(20).batch
    assert batch and (batch.left, len(batch.jobs)) == ("empty", 1)
    assert batch.jobs[0].rows == [("x" * 40_000, "y" * 40_000)]
    queue.finish({"a": outcome(1.0)})
    queue.wait_for_work(BatchLimits(), 0.01)
    jobs.submit([dataclasses.replace(large, id="b")])
    assert redis.lrange("mg:batch:w-0-x", 0, -1) == [b"empty"]


def test_the_scorer_that_began_to_wait_last_is_handed_the_batch(jobs: Jobs, redis: Redis, leases: Leases) -> None:
    scorers = [scorer(leases, redis, f"w-{number}-x") for number in range(3)]
    limits = BatchLimits(model_rows={f"model-{number}": 9 for number in range(20)})  # a long text
    for number in (1, 2, 0, 1):
        scorers[number].wait_for_work(limits, 0.01)
    for number in (1, 0, 2):
        jobs.submit([job(f"j{number}")])
        assert take(scorers[number]) == [f"j{number}"]


def test_a_batch_that_is_handed_to_a_scorer_that_has_left_comes_again(jobs: Jobs, redis: Redis, leases: Leases) -> None:
    leaver, other = (scorer(leases, redis, inc) for inc in ("w-0-x", "w-1-x"))
    leaver.wait_for_work(BatchLimits(), 0.01)
    jobs.submit([job("a"), job("b")])
    assert (take(other), redis.llen("mg:bell")) == ([], 0)
    leases.give_back("w-0-x")
    assert redis.keys("mg:batch:*") == []
    jobs.submit([job("c")])
    assert take(other) == ["a", "b", "c"], "nobody is handed a batch while others wait, or after its lease"


def test_an_interrupted_wait_loses_no_batch(jobs: Jobs, queue: ScorerQueue) -> None:
    queue.wait_for_work(BatchLimits(), 0.01)
    jobs.submit([job("a")])
    jobs.submit([job("b")])
    batch = queue.take(BatchLimits(), owned=True)
    assert batch and [of_batch.id for of_batch in batch.jobs] == ["a"]
    queue.finish({"a": outcome(1.0)})
    assert queue.take(BatchLimits(), owned=True) is None
    assert ids(queue.wait_for_work(BatchLimits(), 20)) == ["b"]


def test_a_scorer_that_asks_no_more_is_handed_nothing_though_its_lease_lives(
    jobs: Jobs, redis: Redis, leases: Leases
) -> None:
    """A machine without power leaves leases of ten seconds."""
    dead, alive = (scorer(leases, redis, inc) for inc in ("w-0-x", "w-1-x"))
    dead.wait_for_work(BatchLimits(), 0.01)
    until(lambda: not redis.exists("mg:limits:w-0-x"), "it is forgotten")
    jobs.submit([job("a")])
    assert take(alive) == ["a"]


def test_scorers_that_died_while_they_waited_are_forgotten(redis: Redis, queue: ScorerQueue) -> None:
    redis.zadd("mg:idle", {f"w-{number}-dead": number for number in range(1, 100)})
    queue.wait_for_work(BatchLimits(), 0.01)
    assert redis.zrange("mg:idle", 0, -1) == [b"w-0-x"]


@pytest.mark.parametrize(
    "text", [b"", b"jobs", b"x\n", b"1\na", b"11 1 5 1\npredict:sum1emptya", b"11 1 5 1 2 0\npredict:sumxemptya[]"]
)
def test_whatever_a_worker_has_written_there_a_scorer_goes_on(
    jobs: Jobs, queue: ScorerQueue, redis: Redis, text: bytes
) -> None:
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(queue.wait_for_work, BatchLimits(), 20)
        blocked(redis, 1)
        redis.rpush("mg:batch:w-0-x", text)
        assert waits.result(20) == Woken(None, other=False)
    jobs.submit([job("a")])
    assert ids(queue.wait_for_work(BatchLimits(), 20)) == ["a"]


@pytest.mark.parametrize("limits", ["nonsense", "1|1||||", None])
def test_whatever_a_worker_has_written_there_a_job_is_accepted(
    jobs: Jobs, queue: ScorerQueue, redis: Redis, limits: str | None
) -> None:
    if limits:
        redis.zadd("mg:idle", {"w-9-x": 1, "w-8-x": 2})
        redis.set("mg:limits:w-9-x", limits)
        redis.lpush("mg:limits:w-8-x", limits)
    else:
        redis.set("mg:idle", "nonsense")
    assert [submission.accepted for submission in jobs.submit([job("a")])] == [True]
    assert redis.exists("mg:idle") == (limits is None)
    assert ids(queue.wait_for_work(BatchLimits(), 20)) == ["a"]
    assert ids(queue.wait_for_work(BatchLimits(), 0.01)) == ["a"], "it owns it"


def test_a_full_redis_refuses_a_job_also_while_scorers_are_forgotten(jobs: Jobs, redis: Redis) -> None:
    redis.zadd("mg:idle", {"w-9-x": 1})
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            jobs.submit([job("a")])
    finally:
        redis.config_set("maxmemory", 0)


# Homes: models that another scorer has in memory


def test_jobs_are_left_to_the_home_of_their_model_until_they_have_waited(jobs: Jobs, queue: ScorerQueue) -> None:
    jobs.submit([job("a"), job("b", model="other")])
    home = {"sum": "w-1"}
    assert take(queue, homes=home, patience=60) == ["b"]
    queue.finish({"b": outcome(1.0)})
    assert take(queue, homes=home, patience=60) == []
    assert until(lambda: take(queue, homes=home, patience=0.1), "it has waited long enough") == ["a"]


def test_other_work_comes_before_jobs_that_have_a_home(jobs: Jobs, queue: ScorerQueue) -> None:
    jobs.submit([job("a"), job("b", model="other")])
    assert take(queue, homes={"sum": "w-1"}, patience=0) == ["b"], "although the other has waited longer"
    queue.finish({"b": outcome(1.0)})
    assert take(queue, homes={"sum": "w-1"}, patience=0) == ["a"]


def test_a_scorer_wakes_the_home_of_a_model_and_not_itself(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    limits = BatchLimits(homes={"sum": "other-worker-1"}, patience=60)
    home = scorer(Leases(redis), redis, "other-worker-1-x")
    jobs.submit([job("a")])
    assert ids(queue.wait_for_work(limits, 1)) == []
    assert redis.llen("mg:bell") == 0
    assert ids(home.wait_for_work(BatchLimits(), 20)) == ["a"]
    assert [key for key in redis.keys("mg:bell*") if redis.ttl(key) < 0] == []


def test_a_home_that_skips_a_model_does_not_take_its_ring(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    home = scorer(Leases(redis), redis, "other-worker-1-x")
    jobs.submit([job("a"), job("slow", model="other")])
    assert redis.lpop("mg:bell")
    assert take(queue, homes={"sum": "other-worker-1", "other": "other-worker-1"}, patience=60) == []
    assert ids(home.wait_for_work(BatchLimits(skip=["other"]))) == ["a"]
    assert redis.llen("mg:bell:scorer:other-worker-1") == 1


def test_a_scorer_that_leaves_a_model_to_its_home_passes_the_bell_on_for_others(
    jobs: Jobs, queue: ScorerQueue, redis: Redis
) -> None:
    jobs.submit([job("a"), job("b", model="other"), job("c", model="third")])
    assert redis.lpop("mg:bell")
    assert take(queue, homes={"sum": "w-1"}) == ["b"]
    assert (redis.llen("mg:bell"), redis.llen("mg:bell:scorer:w-1")) == (1, 1)
    assert redis.ttl("mg:bell:scorer:w-1") > 0


def test_models_take_turns_at_their_home(jobs: Jobs, queue: ScorerQueue) -> None:
    """A flooded model that has no home does not keep the scorer from those that have it as their home."""
    jobs.submit([job(f"f{number}", model="flood") for number in range(9)] + [job("a"), job("b")])
    taken = []
    for _ in range(4):
        taken.append(take(queue, jobs=1))
        queue.finish({taken[-1][0]: outcome(1.0)})
    assert taken == [["f0"], ["a"], ["f1"], ["b"]]


@pytest.mark.parametrize("limits", [BatchLimits(jobs=0), BatchLimits(jobs=1001), BatchLimits(models=[])])
def test_impossible_limits_are_refused(queue: ScorerQueue, limits: BatchLimits) -> None:
    with pytest.raises(ValueError, match=r"a batch has between|nothing can be taken"):
        queue.take(limits)


def test_the_ids_of_a_request_reach_each_scorer_that_takes_its_job(
    jobs: Jobs, queue: ScorerQueue, redis: Redis, leases: Leases
) -> None:
    jobs.submit([job("a", request="order-17"), job("b")])
    for _ in range(2):  # the second answer repeats the first, whose reply was lost
        batch = queue.take(BatchLimits())
        assert batch and [job.request for job in batch.jobs] == ["order-17", ""]
    leases.give_back("w-0-x")
    again = scorer(leases, redis, "w-1-y").take(BatchLimits(jobs=1))
    assert again and again.jobs[0].context() == {"request_id": "order-17", "trace_id": None, "job_id": "a"}
