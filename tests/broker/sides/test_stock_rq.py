"""Stock RQ reads every job correctly, and RECONCILE repairs what its commands leave behind."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from redis import Redis
from rq import Queue, Worker
from rq.exceptions import InvalidJobOperation
from rq.job import Job as RQJob
from rq.job import JobStatus
from rq.registry import CanceledJobRegistry, FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from broker.records.job_kinds import PREDICTION
from broker.sides.gateway.job_client import Jobs
from broker.sides.scorer import ScorerQueue
from broker.sides.supervisor import Leases
from contract.errors import Failure
from contract.work.jobs import Status
from tests.broker.samples import job, outcome, read, take

QUEUE = "predict:sum"


def fetch(redis: Redis, job_id: str) -> RQJob:
    return RQJob.fetch(job_id, connection=redis, serializer=JSONSerializer)


def rq(url: str, *arguments: str) -> str:
    """Run the command line of RQ and return its output."""
    command = [sys.executable, "-m", "rq.cli", *arguments, "--url", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


@pytest.fixture
def ended(jobs: Jobs, queue: ScorerQueue) -> Jobs:
    """One job with each status: s(ucceeded), f(ailed), c(anceled), r(unning), q(ueued)."""
    jobs.submit([job(name) for name in "sfc"])
    take(queue, jobs=2)
    queue.finish({"s": outcome(3.0), "f": Failure("model_error", "raised ValueError: ä", {"row": 1})})
    jobs.cancel("c")
    jobs.submit([job("r"), job("q")])
    take(queue, jobs=1)
    return jobs


def test_rq_reads_a_waiting_job(jobs: Jobs, redis: Redis) -> None:
    jobs.submit([job("a", ids=["x"], expires_after=60, reply_to="mg:reply:x")])
    rq_job = fetch(redis, "a")
    assert (rq_job.func_name, rq_job.args) == (
        PREDICTION.function,
        [{"model": "sum", "version": 1, "rows": [[1.0, 2.0]]}],
    )
    assert (rq_job.get_status(), rq_job.timeout, rq_job.result_ttl, rq_job.failure_ttl) == (
        JobStatus.QUEUED,
        30,
        60,
        60,
    )
    assert (rq_job.origin, rq_job.description, rq_job.meta, rq_job.is_queued) == (QUEUE, "sum@1", {}, True)
    assert rq_job.enqueued_at is not None
    assert Queue(QUEUE, connection=redis).job_ids == ["a"]
    assert Queue.all(connection=redis) == [Queue(QUEUE, connection=redis)]


def test_rq_reads_a_running_job(ended: Jobs, redis: Redis) -> None:
    rq_job = fetch(redis, "r")
    assert (rq_job.get_status(), rq_job.worker_name) == (JobStatus.STARTED, "w-0-x")
    assert rq_job.started_at is not None
    assert StartedJobRegistry(QUEUE, connection=redis).get_job_ids() == ["r"]
    (worker,) = Worker.all(connection=redis)
    assert (worker.name, worker.get_state(), worker.queue_names()) == ("w-0-x", "busy", ["predict:*"])
    assert (worker.successful_job_count, worker.failed_job_count) == (1, 1)
    assert Worker.all(queue=Queue(QUEUE, connection=redis)) == []  # registered before there was a queue


@pytest.mark.parametrize(
    ("job_id", "status"), [("s", JobStatus.FINISHED), ("f", JobStatus.FAILED), ("c", JobStatus.CANCELED)]
)
def test_rq_reads_the_status_and_the_times_of_an_ended_job(
    ended: Jobs, redis: Redis, job_id: str, status: JobStatus
) -> None:
    rq_job = fetch(redis, job_id)
    assert (rq_job.get_status(), rq_job.origin) == (status, QUEUE)
    assert (rq_job.func_name, rq_job.args, rq_job.kwargs) == (PREDICTION.function, [], {})
    assert rq_job.created_at.isoformat() == "2026-01-02T03:04:05.000006+00:00"
    assert rq_job.enqueued_at and rq_job.ended_at and rq_job.enqueued_at <= rq_job.ended_at
    assert (rq_job.started_at is None) == (job_id == "c")
    assert (rq_job.return_value(), rq_job.latest_result()) == (None, None)


def test_rq_reads_an_expired_job_as_cancelled(jobs: Jobs, leases: Leases, redis: Redis) -> None:
    jobs.submit([job("a", expires_after=0)])
    leases.expire()
    assert fetch(redis, "a").get_status() == JobStatus.CANCELED


def test_only_ended_jobs_have_a_ttl(ended: Jobs, redis: Redis) -> None:
    assert all(0 < redis.ttl(f"rq:job:{name}") <= 60 for name in "sfc")
    assert [redis.ttl(f"rq:job:{name}") for name in "rq"] == [-1, -1]


def test_rq_info_is_right_and_changes_nothing(ended: Jobs, redis: Redis, redis_url: str, leases: Leases) -> None:
    leases.reconcile()
    shown = rq(redis_url, "info", "--raw")
    assert "queue predict:sum 1, 1 executing, 0 finished, 0 failed" in shown
    assert re.search(r"worker w-0-x \(.*\) busy predict:\*\. jobs: 1 finished, 1 failed", shown)
    statuses = [read(ended, name).status for name in "sfcrq"]
    assert statuses == [Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.RUNNING, Status.QUEUED]


def test_rq_info_shows_no_scorer_that_has_ended(ended: Jobs, redis: Redis, redis_url: str, leases: Leases) -> None:
    leases.reconcile()
    leases.give_back("w-0-x")
    assert "w-0-x" not in rq(redis_url, "info", "--raw")
    leases.reconcile()
    assert redis.keys("rq:worker*") == []


@pytest.mark.parametrize("job_id", ["s", "f", "c"])
def test_rq_requeues_no_ended_job(ended: Jobs, redis: Redis, job_id: str) -> None:
    for registry in (FailedJobRegistry, CanceledJobRegistry):
        with pytest.raises(InvalidJobOperation):
            registry(QUEUE, connection=redis, serializer=JSONSerializer).requeue(job_id)


def test_an_ended_job_that_rq_queues_again_fails_because_its_rows_are_gone(
    ended: Jobs, queue: ScorerQueue, redis: Redis
) -> None:
    queue.finish({"r": outcome(1.0)})
    Queue(QUEUE, connection=redis, serializer=JSONSerializer).enqueue_job(fetch(redis, "s"))
    assert take(queue) == ["q"]
    queue.finish({"q": outcome(1.0)})
    assert take(queue) == []
    job = read(ended, "s")
    assert (job.status, job.output, job.error and job.error.code) == (Status.FAILED, None, "job_refused")
    assert redis.zrange("mg:ended:finished:predict:sum", 0, -1) == [b"r", b"q"]
    assert set(redis.zrange("mg:ended:failed:predict:sum", 0, -1)) == {b"s", b"f"}


def test_a_waiting_job_that_rq_cancels_expires(ended: Jobs, redis: Redis, leases: Leases) -> None:
    fetch(redis, "q").cancel()
    assert read(ended, "q").status is Status.CANCELED
    leases.reconcile()
    assert 0 < redis.ttl("rq:job:q") <= 60
    assert redis.exists("mg:rows", "mg:ready", "mg:bell") == 0
    assert redis.zrange("mg:ended:canceled:predict:sum", 0, -1) == [b"c", b"q"]
    assert redis.exists("rq:canceled:predict:sum") == 0


def test_the_record_of_a_request_does_not_outlive_a_job_that_rq_cancels_and_is_deleted(
    jobs: Jobs, redis: Redis
) -> None:
    jobs.submit([job("a", idempotency="o:k f")])
    fetch(redis, "a").cancel()
    jobs.delete("a")
    assert 0 < redis.ttl("mg:idempotency:o:k") <= 60


@pytest.mark.parametrize("reconciled_first", [False, True])
def test_the_outcome_of_a_running_job_that_rq_cancels_is_dropped(
    ended: Jobs, queue: ScorerQueue, redis: Redis, leases: Leases, reconciled_first: bool
) -> None:
    fetch(redis, "r").cancel()
    if reconciled_first:
        leases.reconcile()
    assert queue.finish({"r": outcome(6.66)}) == ["r"]
    leases.reconcile()
    job = read(ended, "r")
    assert (job.status, job.output) == (Status.CANCELED, None)
    assert job.completed_at is not None
    assert redis.exists("rq:wip:predict:sum", "mg:held:w-0-x") == 0
    assert redis.ttl("rq:job:r") > 0


def test_only_the_new_owner_finishes_a_job_that_rq_cancels_and_requeues(
    ended: Jobs, queue: ScorerQueue, redis: Redis, leases: Leases
) -> None:
    ended.cancel("q")
    assert read(ended, "r").worker == "w"
    fetch(redis, "r").cancel()
    CanceledJobRegistry(QUEUE, connection=redis, serializer=JSONSerializer).requeue("r")
    assert read(ended, "r").worker == "", "nobody has taken it again"
    leases.reconcile()
    leases.register("w-1-x")
    other = ScorerQueue(redis, "w-1-x")
    assert take(other) == ["r"]
    assert queue.finish({"r": outcome(6.66)}) == ["r"]
    assert other.finish({"r": outcome(1.0)}) == []
    assert (read(ended, "r").output or {})["predictions"] == [1.0]


def test_a_queue_that_rq_empties_has_no_rows(ended: Jobs, queue: ScorerQueue, redis: Redis, leases: Leases) -> None:
    queue.finish({"r": outcome(1.0)})
    Queue(QUEUE, connection=redis).empty()
    assert take(queue) == []
    leases.reconcile()
    assert (ended.backlog("sum").rows, redis.exists("mg:ready", "mg:bell")) == (0, 0)


def test_a_waiting_job_that_rq_deletes_is_gone(ended: Jobs, queue: ScorerQueue, redis: Redis, leases: Leases) -> None:
    fetch(redis, "q").delete()
    leases.reconcile()
    assert ended.read(["q"]) == [None]
    assert redis.exists("mg:rows", "mg:ready") == 0
