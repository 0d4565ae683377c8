"""A worker learns which of its sleeping pools have work."""

from __future__ import annotations

from redis import Redis

from broker.sides.file_tasks import FileTasks
from broker.sides.gateway.file_submission import FileJobs, FileSubmission
from broker.sides.gateway.job_client import Jobs
from broker.sides.scorer import ScorerQueue
from broker.sides.supervisor import Leases
from broker.state.load_status import LoadStatus, LoadStatusPublisher
from broker.state.pools import PoolWork, used_environments
from contract.model.environments import TODAY
from contract.rows.file_formats import FileFormat
from contract.work.jobs import FileRequest
from tests.broker.samples import job, outcome, take

POOLS = (TODAY, "old", "older")


def serve(redis: Redis) -> None:
    for environment in POOLS[1:]:
        LoadStatusPublisher(redis, 60).publish(f"w~{environment}", LoadStatus(environment=environment))


def file_job(job_id: str, environment: str) -> FileSubmission:
    file_request = FileRequest("sum", 1, FileFormat.CSV, FileFormat.CSV)
    return FileSubmission(job_id, "2026-01-02T03:04:05.000006Z", file_request, environment)


def test_a_pool_has_work_while_jobs_wait_for_it(redis: Redis, jobs: Jobs, leases: Leases) -> None:
    serve(redis)
    work = PoolWork(redis)
    assert work.waits_for(POOLS) == set()
    jobs.submit([job("a", environment="old"), job("b", environment="older")])
    assert work.waits_for(POOLS) == {"old", "older"}
    assert work.waits_for(["old"]) == {"old"}
    jobs.cancel("b")
    leases.register("w~old-0-x")
    queue = ScorerQueue(redis, "w~old-0-x")
    assert take(queue, environment="old") == ["a"]
    assert work.waits_for(POOLS) == set()
    leases.give_back("w~old-0-x", [])
    assert work.waits_for(POOLS) == {"old"}
    jobs.submit([job("c")])
    assert work.waits_for(POOLS) == {TODAY, "old"}


def test_a_pool_has_work_while_a_file_has_a_task_for_it(redis: Redis, leases: Leases) -> None:
    serve(redis)
    work, files = PoolWork(redis), FileJobs(redis, timeout=30, result_ttl=60)
    assert files.submit(file_job("f", "old"), 10)
    assert work.waits_for(POOLS) == {"old"}
    leases.register("w~old-0-x")
    lane = FileTasks(redis, "w~old-0-x", environment="old")
    task = lane.take()
    assert task
    assert work.waits_for(POOLS) == set(), "its only task runs"
    lane.finish(task, {"tasks": 2, "rows": 2})
    assert work.waits_for(POOLS) == {"old"}
    assert files.submit(file_job("g", TODAY), 10)
    redis.delete("rq:job:g")  # the lane may name a file that is gone
    assert work.waits_for(["older"]) == set()


def test_a_pool_has_no_work_with_models_that_its_worker_does_not_serve(redis: Redis, jobs: Jobs) -> None:
    serve(redis)
    work = PoolWork(redis, ["loan", "iris"])
    jobs.submit([job("a", environment="old")])
    assert FileJobs(redis, timeout=30, result_ttl=60).submit(file_job("f", "older"), 10)
    assert work.waits_for(POOLS) == set()
    assert PoolWork(redis, ["loan", "sum"]).waits_for(POOLS) == {"old", "older"}
    jobs.submit([job("b", model="iris", environment="old")])
    assert work.waits_for(POOLS) == {"old"}


def test_an_environment_is_used_once_it_has_had_a_job(redis: Redis, jobs: Jobs, leases: Leases) -> None:
    serve(redis)
    assert used_environments(redis) == {TODAY}
    jobs.submit([job("a", environment="old")])
    leases.register("w~old-0-x")
    queue = ScorerQueue(redis, "w~old-0-x")
    assert take(queue, environment="old") == ["a"]
    queue.finish({"a": outcome(1.0)})
    assert used_environments(redis) == {TODAY, "old"}
