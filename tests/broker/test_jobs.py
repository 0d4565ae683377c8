"""Jobs in and out of a real Redis, and as stock RQ sees them."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError
from rq import Queue
from rq.job import Job as RQJob
from rq.job import JobStatus
from rq.serializers import JSONSerializer

from broker.connection import connect
from broker.jobs import Jobs
from contract.jobs import PREDICT, PredictionJob, Status


@pytest.fixture
def jobs(redis: Redis) -> Jobs:
    return Jobs(redis, max_queue_rows=10, timeout=30, result_ttl=60)


def job(job_id: str, rows: int = 1, model: str = "sum", **changes: Any) -> PredictionJob:
    return PredictionJob(job_id, "2026-01-02T03:04:05.000006Z", model, 1, [[1.0, 2.0]] * rows, **changes)


def test_a_submitted_job_reads_as_queued(jobs: Jobs) -> None:
    assert jobs.submit([job("a", ids=["x"], warnings=["w"])]) == [True]
    (read,) = jobs.read(["a"])
    assert read is not None
    assert (read.status, read.model, read.version, read.warnings) == (Status.QUEUED, "sum", 1, ["w"])
    assert read.created_at == "2026-01-02T03:04:05.000006Z"
    assert read.output is read.error is read.started_at is read.completed_at is None


def test_stock_rq_reads_a_submitted_job(jobs: Jobs, redis: Redis) -> None:
    jobs.submit([job("a")])
    fetched = RQJob.fetch("a", connection=redis, serializer=JSONSerializer)
    assert (fetched.func_name, fetched.args) == (PREDICT, [{"model": "sum", "version": 1, "rows": [[1.0, 2.0]]}])
    assert (fetched.get_status(), fetched.timeout, fetched.result_ttl) == (JobStatus.QUEUED, 30, 60)
    assert Queue("predict:sum", connection=redis).job_ids == ["a"]
    assert Queue.all(connection=redis) == [Queue("predict:sum", connection=redis)]


def test_submitting_twice_queues_once(jobs: Jobs, redis: Redis) -> None:
    assert jobs.submit([job("a"), job("b")]) == jobs.submit([job("a"), job("b")]) == [True, True]
    assert Queue("predict:sum", connection=redis).job_ids == ["a", "b"]
    assert redis.hgetall("mg:rows") == {b"predict:sum": b"2"}


def test_a_full_queue_refuses_by_rows_and_another_model_is_not_affected(jobs: Jobs) -> None:
    assert jobs.submit([job("a", rows=8), job("b", rows=3), job("c", rows=2)]) == [True, False, True]
    assert jobs.submit([job("d")]) == [False]
    assert jobs.submit([job("e", model="other")]) == [True]
    assert jobs.read(["b"]) == [None]


def test_unknown_jobs_read_as_none(jobs: Jobs) -> None:
    jobs.submit([job("a")])
    assert [read is None for read in jobs.read(["x", "a", "y"])] == [True, False, True]


def test_a_full_redis_refuses_a_job_whole(jobs: Jobs, redis: Redis) -> None:
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            jobs.submit([job("a")])
    finally:
        redis.config_set("maxmemory", 0)
    assert redis.keys("*") == []


def test_nobody_alive_means_no_workers(jobs: Jobs, redis: Redis) -> None:
    redis.sadd("rq:workers", "rq:worker:gone")
    assert jobs.workers() == 0


def test_a_redis_that_is_not_there_is_given_up_soon() -> None:
    with pytest.raises(RedisConnectionError):
        connect("redis://127.0.0.1:1").ping()
