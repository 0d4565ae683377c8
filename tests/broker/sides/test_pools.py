"""Versions of one model that live in two environments: the pool of each has its own jobs, turns and bells, and the
limits count the model as one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from redis import Redis
from rq.job import Job as RQJob
from rq.registry import CanceledJobRegistry
from rq.serializers import JSONSerializer

from broker.link.scripts import Durability
from broker.metrics.reading import MetricsReader
from broker.metrics.table import ALIVE, FILE_QUEUE_JOBS, QUEUE_AGE, QUEUE_JOBS, QUEUE_ROWS, RUNNING, SCORERS, WORKERS
from broker.records.job_kinds import PREDICTION
from broker.sides.file_tasks import FileTasks, lane_bell
from broker.sides.gateway.file_submission import FileJobs, FileSubmission, NoWorker
from broker.sides.gateway.job_client import Backlog, Jobs, Limit
from broker.sides.gateway.listing import JobFilter
from broker.sides.gateway.system_health import HealthCheck
from broker.sides.scorer import Batch, BatchJob, BatchLimits, ScorerQueue
from broker.sides.supervisor import Leases
from broker.state.load_status import LoadStatus, LoadStatusPublisher
from contract.model.environments import TODAY
from contract.rows.file_formats import FileFormat
from contract.work.api_keys import Limits
from contract.work.jobs import FileRequest, PredictionJob, Status
from tests.broker.samples import job, key, outcome, read, take
from tests.support import until

OLD = "old"
BOTH = (TODAY, OLD)
QUEUE = "predict:sum~old"
RISK = key("r", "risk")


@pytest.fixture(autouse=True)
def served(redis: Redis) -> None:
    """A worker of the other environment is alive."""
    LoadStatusPublisher(redis, 60).publish("w~old", LoadStatus(environment=OLD))


@pytest.fixture
def old(leases: Leases, redis: Redis) -> ScorerQueue:
    """The queue of the scorer w~old-0-x."""
    leases.register("w~old-0-x", queues=PREDICTION.queues(None, OLD))
    return ScorerQueue(redis, "w~old-0-x")


def old_job(job_id: str, rows: int = 1, **changes: Any) -> PredictionJob:
    return job(job_id, rows, version=2, environment=OLD, **changes)


def refusal(jobs: Jobs, wanted: PredictionJob) -> Limit | None:
    (submission,) = jobs.submit([wanted])
    return submission.refused_by


def in_both(redis: Any, key: str) -> list[int]:
    """Return whether a key exists, for today's pool and for the other one."""
    return [redis.exists(f"mg:{key}"), redis.exists(f"mg:{key}~old")]


# Who serves a pool


def test_without_a_worker_of_its_environment_a_job_is_refused_and_leaves_nothing(jobs: Jobs, redis: Redis) -> None:
    redis.pexpire("mg:pool~old", 1)
    until(lambda: not redis.exists("mg:pool~old"), "its worker is dead")
    before = set(redis.keys("*"))
    assert refusal(jobs, old_job("a")) is Limit.NO_WORKER
    assert set(redis.keys("*")) == before
    assert refusal(jobs, job("b")) is None
    LoadStatusPublisher(redis, 60).publish("w~old", LoadStatus(environment=OLD))
    assert 0 < redis.pttl("mg:pool~old") <= 10_000
    assert refusal(jobs, old_job("a")) is None
    assert redis.smembers("mg:pools") == {b"~old"}


def test_a_report_of_todays_environment_makes_no_pool(redis: Redis) -> None:
    redis.flushall()
    LoadStatusPublisher(redis, 60).publish("w", LoadStatus())
    assert redis.keys("mg:pool*") == []


def test_a_worker_of_a_pool_is_registered_for_its_queues_alone(
    jobs: Jobs, leases: Leases, redis: Redis, queue: ScorerQueue, old: ScorerQueue
) -> None:
    leases.register("w~old-1-x", queues=PREDICTION.queues(["sum"], OLD))
    leases.register("w~old-2-x", queues=PREDICTION.queues(["other"], OLD))
    jobs.submit([job("a"), old_job("b"), old_job("c", caller=RISK)])
    leases.reconcile()
    serving = {b"rq:worker:w~old-0-x", b"rq:worker:w~old-1-x"}
    assert redis.smembers("rq:workers:predict:sum") == {b"rq:worker:w-0-x"}
    assert redis.smembers("rq:workers:predict:sum~old") == serving
    assert redis.smembers("rq:workers:predict:sum~old:risk") == serving
    assert redis.hget("rq:worker:w~old-0-x", "queues") == b"predict:*~old"


# Limits


@pytest.mark.parametrize("environments", [(TODAY, OLD), (OLD, TODAY)])
def test_the_environments_of_a_model_share_its_rows(jobs: Jobs, environments: Sequence[str]) -> None:
    first, second = environments
    assert refusal(jobs, job("a", 6, environment=first)) is None
    assert refusal(jobs, job("b", 5, environment=second)) is Limit.QUEUE
    assert refusal(jobs, job("c", 4, environment=second)) is None
    for environment in BOTH:
        assert refusal(jobs, job("d", environment=environment)) is Limit.QUEUE
        assert refusal(jobs, job(f"e{environment}", 5, model="other", environment=environment)) is None


@pytest.mark.parametrize("environments", [(TODAY, OLD), (OLD, TODAY)])
def test_an_owner_has_its_share_of_all_environments(jobs: Jobs, environments: Sequence[str]) -> None:
    first, second = environments
    assert refusal(jobs, job("a", 5, environment=first, caller=RISK)) is None
    assert refusal(jobs, job("b", 4, environment=second, caller=RISK)) is None
    for environment in BOTH:
        assert refusal(jobs, job("c", environment=environment, caller=RISK)) is Limit.QUEUE
    assert refusal(jobs, job("d", environment=second, caller=key("s", "sales"))) is None


@pytest.mark.parametrize(
    ("limits", "refused_by"),
    [
        (Limits(rows_waiting=3), Limit.ROWS_WAITING),
        (Limits(jobs_in_flight=3), Limit.JOBS_IN_FLIGHT),
    ],
)
def test_the_limits_of_a_key_count_all_environments(jobs: Jobs, limits: Limits, refused_by: Limit) -> None:
    caller = key("k", "limited", limits)
    for job_id, environment in zip("abc", (TODAY, OLD, TODAY), strict=True):
        assert refusal(jobs, job(job_id, environment=environment, caller=caller)) is None
    for environment in BOTH:
        assert refusal(jobs, job("d", environment=environment, caller=caller)) is refused_by
        assert refusal(jobs, job(f"e{environment}", model="other", environment=environment, caller=RISK)) is None


@pytest.mark.parametrize("environment", BOTH)
def test_the_rate_of_a_key_counts_all_environments(redis: Redis, environment: str) -> None:
    jobs = Jobs(redis, max_queue_rows=1000, timeout=30, result_ttl=60)
    caller = key("k", "limited", Limits(rows_per_second=1))
    assert refusal(jobs, job("a", 300, environment=environment, caller=caller)) is None  # the rows of five minutes
    for other in BOTH:
        assert refusal(jobs, job("b", environment=other, caller=caller)) is Limit.ROWS_PER_SECOND
        assert refusal(jobs, job(f"c{other}", model="other", environment=other, caller=RISK)) is None


def test_jobs_that_run_in_another_environment_are_in_flight(jobs: Jobs, old: ScorerQueue) -> None:
    caller = key("k", "limited", Limits(jobs_in_flight=1))
    assert refusal(jobs, old_job("a", caller=caller)) is None
    assert take(old, environment=OLD) == ["a"]
    assert refusal(jobs, job("b", caller=caller)) is Limit.JOBS_IN_FLIGHT
    old.finish({"a": outcome(1.0)})
    assert refusal(jobs, job("b", caller=caller)) is None


# What others see


def test_lists_have_the_jobs_of_all_environments(jobs: Jobs, queue: ScorerQueue, old: ScorerQueue) -> None:
    jobs.submit([job("a", caller=RISK), old_job("b", caller=RISK), job("c"), old_job("d"), old_job("e", model="other")])

    def ids(**filters: Any) -> set[str]:
        return {job.id for job in jobs.list(JobFilter(**filters)).items}

    assert (ids(), ids(model="sum")) == (set("abcde"), set("abcd"))
    assert ids(owner="risk") == ids(model="sum", owner="risk") == {"a", "b"}
    assert {take(queue)[0], take(old, environment=OLD, models=["sum"])[0]} <= set("abcd")
    assert ids(model="sum") == set("abcd")
    assert ids(model="sum", owner="risk") == {"a", "b"}
    assert len(ids(model="sum", status=Status.RUNNING)) == 4
    queue.finish({"a": outcome(1.0), "c": outcome(1.0)})
    old.finish({"b": outcome(1.0), "d": outcome(1.0)})
    assert ids(model="sum", status=Status.SUCCEEDED) == set("abcd")
    assert ids(model="sum", status=Status.SUCCEEDED, owner="risk") == {"a", "b"}
    assert {read(jobs, job_id).model for job_id in "abcd"} == {"sum"}


def test_the_backlog_metrics_and_health_of_a_model_count_all_environments(
    jobs: Jobs, redis: Redis, old: ScorerQueue
) -> None:
    jobs.submit([old_job("a", 2)])
    assert take(old, environment=OLD) == ["a"]
    jobs.submit([job("b", 2), old_job("c", 3), old_job("d", 2, caller=RISK), job("e", caller=RISK)])
    assert jobs.backlog("sum") == Backlog(8, 4, None)
    assert jobs.backlog("sum", "risk") == Backlog(3, 2, None)
    values = MetricsReader(redis).read(["sum"]).values
    assert [values[metric] for metric in (QUEUE_JOBS, QUEUE_ROWS, RUNNING)] == [
        {("sum",): 4},
        {("sum",): 8},
        {("sum",): 1},
    ]
    assert set(values[QUEUE_AGE]) == {("sum",)}
    assert HealthCheck(redis, 8, Durability()).run().full_queues == ["sum"]
    assert HealthCheck(redis, 9, Durability()).run().full_queues == []
    old.finish({"a": outcome(3.0)})
    assert jobs.backlog("sum").seconds is not None, "the ends of both count"


def test_scorers_of_another_pool_are_no_worker_that_an_alert_misses(
    redis: Redis, leases: Leases, old: ScorerQueue
) -> None:
    health, metrics = HealthCheck(redis, 10, Durability()), MetricsReader(redis)
    for workers in (0, 1):
        assert health.run().workers == workers
        values = metrics.read([]).values
        assert (values[WORKERS][()], values[ALIVE]["workers",]) == (workers, workers)
        assert values[SCORERS]["idle",] == workers + 1
        leases.register("w-0-x")


# Scorers


@pytest.mark.parametrize("limits", [{}, {"models": ["sum", "other"]}, {"skip": ["other"]}, {"homes": {"other": "w-9"}}])
def test_a_scorer_gets_no_job_of_another_pool(
    jobs: Jobs, queue: ScorerQueue, old: ScorerQueue, limits: dict[str, Any]
) -> None:
    jobs.submit([old_job("a", caller=RISK), old_job("b")])
    assert take(queue, **limits) == []
    jobs.submit([job("c"), job("d", caller=RISK)])
    assert sorted(take(queue, **limits)) == ["c", "d"]
    assert sorted(take(old, environment=OLD, **limits)) == ["a", "b"]


def test_a_home_has_the_jobs_of_its_pool_alone(jobs: Jobs, redis: Redis, leases: Leases, old: ScorerQueue) -> None:
    leases.register("w~old-1-x", queues=PREDICTION.queues(None, OLD))
    other = ScorerQueue(redis, "w~old-1-x")
    jobs.submit([old_job("a"), job("b")])
    assert take(other, environment=OLD, homes={"sum": "w~old-0"}, patience=60) == []
    assert redis.llen("mg:bell:scorer:w~old-0") == 1
    assert take(old, environment=OLD) == ["a"]


@pytest.mark.parametrize("environment", BOTH)
@pytest.mark.parametrize("limits", [{}, {"models": ["sum"]}, {"skip": ["other"]}])
def test_a_scorer_sleeps_while_only_another_pool_has_work(
    jobs: Jobs,
    files: FileJobs,
    redis: Any,
    queue: ScorerQueue,
    old: ScorerQueue,
    environment: str,
    limits: dict[str, Any],
) -> None:
    (other,) = set(BOTH) - {environment}
    jobs.submit([job("known", environment=environment)])  # rq:queues knows the model from then on
    jobs.cancel("known")
    mine, own = (old if environment == OLD else queue), BatchLimits(environment=environment, **limits)
    thread = threading.Thread(target=mine.wait_for_work, args=(own, 20.0), daemon=True)
    thread.start()
    until(lambda: redis.info("clients")["blocked_clients"] == 1, "the scorer waits")
    jobs.submit([job("a", environment=other)])
    assert files.submit(file_job("f", other), 10)
    assert redis.info("clients")["blocked_clients"] == 1, "Redis answers the waiting ones with the call that rings"
    jobs.submit([job("b", environment=environment)])
    thread.join(10)
    assert not thread.is_alive()
    assert take(mine, environment=environment, **limits) == ["b"]
    mine.finish({"b": outcome(1.0)})
    assert take(mine, environment=environment, **limits) == []
    assert FileTasks(redis, "w-0-x" if environment == TODAY else "w~old-0-x", environment=environment).take() is None
    assert redis.exists(lane_bell(environment), *mine._bells(own)) == 0, "it would wake for ever"
    assert redis.exists(lane_bell(other), "mg:bell~old" if other else "mg:bell") == 2


# Jobs that return or leave


def gives_back(redis: Redis, jobs: Jobs, leases: Leases, old: ScorerQueue) -> None:
    leases.give_back("w~old-0-x", ["a"])


def releases(redis: Redis, jobs: Jobs, leases: Leases, old: ScorerQueue) -> None:
    old.release(Batch("sum", 2, [BatchJob("a", []), BatchJob("b", [])]))


def stock_rq_requeues(redis: Redis, jobs: Jobs, leases: Leases, old: ScorerQueue) -> None:
    for job_id in "ab":
        RQJob.fetch(job_id, connection=redis, serializer=JSONSerializer).cancel()
        CanceledJobRegistry(QUEUE, connection=redis, serializer=JSONSerializer).requeue(job_id)
    leases.reconcile()


@pytest.mark.parametrize("returns", [gives_back, releases, stock_rq_requeues])
def test_a_job_returns_to_its_pool_and_rings_its_bell(
    jobs: Jobs, redis: Redis, leases: Leases, old: ScorerQueue, returns: Callable[..., None]
) -> None:
    jobs.submit([old_job("a"), old_job("b", 2)])
    assert take(old, environment=OLD) == ["a", "b"]
    redis.delete("mg:bell~old")
    assert in_both(redis, "ready") == in_both(redis, "bell") == [0, 0]
    returns(redis, jobs, leases, old)
    assert redis.lrange(f"rq:queue:{QUEUE}", 0, -1) == [b"a", b"b"]
    assert redis.zrange("mg:ready~old", 0, -1) == [QUEUE.encode()]
    assert redis.hgetall("mg:rows") == {QUEUE.encode(): b"3"}
    assert in_both(redis, "ready") == in_both(redis, "bell") == [0, 1]


def cancels(redis: Redis, jobs: Jobs, leases: Leases) -> None:
    jobs.cancel("a")


def expires(redis: Redis, jobs: Jobs, leases: Leases) -> None:
    leases.expire()


def stock_rq_cancels(redis: Redis, jobs: Jobs, leases: Leases) -> None:
    RQJob.fetch("a", connection=redis, serializer=JSONSerializer).cancel()
    leases.reconcile()


@pytest.mark.parametrize("leaves", [cancels, expires, stock_rq_cancels])
def test_a_job_that_leaves_its_pool_empty_silences_its_bell_alone(
    jobs: Jobs, redis: Redis, leases: Leases, leaves: Callable[..., None]
) -> None:
    jobs.submit([old_job("a", expires_after=0), job("b")])
    leaves(redis, jobs, leases)
    assert read(jobs, "a").status in (Status.CANCELED, Status.EXPIRED)
    assert in_both(redis, "ready") == in_both(redis, "bell") == [1, 0]
    assert redis.hgetall("mg:rows") == {b"predict:sum": b"1"}
    assert redis.zrange(f"mg:ended:canceled:{QUEUE}", 0, -1) == [b"a"]


# Files


@pytest.fixture
def files(redis: Redis) -> FileJobs:
    return FileJobs(redis, timeout=30, result_ttl=60)


@pytest.fixture
def lanes(redis: Redis, queue: ScorerQueue, old: ScorerQueue) -> dict[str, FileTasks]:
    """The bulk lane as the scorers w-0-x and w~old-0-x see it, by environment."""
    return {TODAY: FileTasks(redis, "w-0-x"), OLD: FileTasks(redis, "w~old-0-x", environment=OLD)}


def file_job(job_id: str, environment: str, **changes: Any) -> FileSubmission:
    file_request = FileRequest("sum", 1, FileFormat.CSV, FileFormat.CSV)
    return FileSubmission(job_id, "2026-01-02T03:04:05.000006Z", file_request, environment, **changes)


def test_a_file_goes_to_scorers_of_its_pool_alone(files: FileJobs, redis: Redis, lanes: dict[str, FileTasks]) -> None:
    assert files.submit(file_job("f", OLD), 10)
    assert (redis.llen("mg:bell:lane"), redis.llen("mg:bell:lane~old")) == (0, 1)
    assert lanes[TODAY].take() is None
    assert files.submit(file_job("g", TODAY), 10)
    for environment, expected in ((TODAY, "g"), (OLD, "f")):
        task = lanes[environment].take()
        assert task and (task.file, task.file_request.model) == (expected, "sum")
        redis.delete("mg:bell:lane", "mg:bell:lane~old")
        lanes[environment].finish(task, {"tasks": 2, "rows": 2})
        assert redis.exists("mg:bell:lane", "mg:bell:lane~old") == redis.exists(lane_bell(environment)) == 1
    redis.delete("mg:bell:lane", "mg:bell:lane~old")
    assert lanes[OLD].take()
    assert (redis.llen("mg:bell:lane"), redis.llen("mg:bell:lane~old")) == (0, 1), "for its second chunk"


def test_without_a_worker_of_its_environment_a_file_is_refused(files: FileJobs, redis: Redis) -> None:
    redis.delete("mg:pool~old")
    before = set(redis.keys("*"))
    with pytest.raises(NoWorker):
        files.submit(file_job("f", OLD), 10)
    assert set(redis.keys("*")) == before


@pytest.mark.parametrize("first", BOTH)
def test_an_owner_has_so_many_files_of_a_model_in_all_environments(
    files: FileJobs, lanes: dict[str, FileTasks], first: str
) -> None:
    (second,) = set(BOTH) - {first}
    assert files.submit(file_job("f", first, owner="x"), 2)
    assert lanes[first].take()
    assert files.submit(file_job("g", second, owner="x"), 2)
    for environment in BOTH:
        assert files.submit(file_job("h", environment, owner="x"), 2) is None
    assert files.submit(file_job("h", first, owner="y"), 2) == "h"


def test_files_of_all_environments_are_listed_and_counted(
    files: FileJobs, jobs: Jobs, redis: Redis, lanes: dict[str, FileTasks]
) -> None:
    for job_id, environment in zip("fg", BOTH, strict=True):
        assert files.submit(file_job(job_id, environment, owner="x"), 10)
    assert {job.id for job in jobs.list(JobFilter("sum", owner="x")).items} == {"f", "g"}
    assert {job.id for job in jobs.list(JobFilter("sum")).items} == {"f", "g"}
    assert MetricsReader(redis).read(["sum"]).values[FILE_QUEUE_JOBS] == {("sum",): 2}


def test_a_task_of_a_dead_scorer_rings_the_bell_of_its_pool(
    files: FileJobs, redis: Redis, leases: Leases, lanes: dict[str, FileTasks]
) -> None:
    assert files.submit(file_job("f", OLD), 10)
    assert lanes[OLD].take()
    redis.delete("mg:bell:lane~old")
    leases.give_back("w~old-0-x", [])
    assert (redis.llen("mg:bell:lane"), redis.llen("mg:bell:lane~old")) == (0, 1)
    redis.delete("mg:bell:lane~old", "mg:lane")
    assert files.submit(file_job("g", OLD), 10)
    redis.delete("mg:bell:lane~old", "mg:lane")
    leases.reconcile()
    assert (redis.llen("mg:bell:lane"), redis.llen("mg:bell:lane~old")) == (0, 1)


@pytest.mark.parametrize("environment", BOTH)
def test_a_full_redis_accepts_some_files_of_every_environment(files: FileJobs, redis: Redis, environment: str) -> None:
    redis.config_set("maxmemory", 1)
    try:
        assert files.submit(file_job("f", environment), 10) == "f"
    finally:
        redis.config_set("maxmemory", 0)
