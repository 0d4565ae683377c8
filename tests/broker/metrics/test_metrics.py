"""What processes count arrives in Redis once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from redis import Redis

from broker.link.outbox import Outbox
from broker.link.scripts import Scripts, parts
from broker.metrics import table
from broker.metrics.counts import Counts
from broker.metrics.reading import MetricsReader
from broker.metrics.table import documentation
from broker.sides.gateway.job_client import Jobs
from broker.sides.scorer import BatchLimits, ScorerQueue
from broker.sides.supervisor import Leases
from contract.errors import Failure
from contract.work.jobs import Status
from tests.broker.samples import job, outcome, read
from tests.support import PROJECT


def test_the_page_of_the_reference_is_made_from_the_table() -> None:
    page = PROJECT / "docs" / "reference" / "metrics.md"
    assert page.read_text() == documentation(), "run: python -m broker.metrics > docs/reference/metrics.md"


def test_no_metric_has_a_label_that_a_caller_chooses() -> None:
    labels = {label for metric in table.METRICS for label in metric.labels}
    assert labels <= {
        *("route", "method", "status", "code", "model", "alias", "version"),
        *(
            "worker",
            "part",
            "queue",
            "group",
            "became",
            "left",
            "result",
            "purpose",
            "state",
            "outcome",
            "kind",
            "folder",
            "field",
            "owner",
        ),
    }


def test_the_counts_of_several_processes_add_up(redis: Redis) -> None:
    for _ in range(2):
        counts, outbox = Counts(), Outbox(redis)
        outbox.add_source(counts.steps)
        for seconds in (0.0002, 0.002, 100.0):
            counts.observe(table.BATCH_SECONDS, seconds)
        counts.add(table.BATCHES, ("rows",), 3)
        counts.add(table.ROWS, ("iris",), 7)
        outbox.flush()
        outbox.flush()
    snapshot = MetricsReader(redis).read(["iris"])
    assert snapshot.values[table.BATCHES] == {("rows",): 6}
    assert snapshot.values[table.ROWS] == {("iris",): 14}
    histogram = snapshot.histograms[table.BATCH_SECONDS][()]
    assert dict(zip((*table.BATCH_SECONDS.buckets, None), histogram.counts, strict=True)) == {
        **dict.fromkeys((*table.BATCH_SECONDS.buckets, None), 0),
        0.00025: 2,
        0.0025: 2,
        None: 2,
    }
    assert histogram.sum == pytest.approx(200.0044)


def test_a_report_whose_reply_was_lost_counts_once(redis: Redis) -> None:
    counts = Counts()
    for _ in range(3):
        counts.add(table.UPLOADS)
        steps = counts.steps()
        for _ in range(2):
            Scripts(redis).send(steps)
    assert MetricsReader(redis).read([]).total(table.UPLOADS) == 3


def test_a_process_that_is_gone_leaves_nothing_for_ever(redis: Redis) -> None:
    for _ in range(3):
        counts = Counts()
        counts.add(table.ROWS, ("iris",))
        Scripts(redis).send(counts.steps())
    left: Any = redis.keys()
    assert len(left) == 4
    assert all(0 < redis.ttl(key) <= 604800 for key in left)


def test_what_is_counted_in_an_outage_arrives_after_it(redis: Redis) -> None:
    counts = Counts()
    outbox = Outbox(redis)
    outbox.add_source(counts.steps)
    for _ in range(1000):
        counts.add(table.REFUSALS, ("queue_full",))
    outbox.flush()
    assert MetricsReader(redis).read([]).values[table.REFUSALS] == {("queue_full",): 1000}


def test_a_full_redis_counts_on(redis: Redis) -> None:
    counts = Counts()
    counts.add(table.UPLOADS)
    steps = counts.steps()
    redis.config_set("maxmemory", 1)
    try:
        Scripts(redis).send(steps)
    finally:
        redis.config_set("maxmemory", 0)
    assert MetricsReader(redis).read([]).total(table.UPLOADS) == 1


def ended(redis: Redis, *models: str) -> dict[tuple[str, ...], float]:
    return MetricsReader(redis).read(models).values[table.JOBS]


def test_each_end_of_a_job_counts_once(redis: Redis, jobs: Jobs, queue: ScorerQueue, leases: Leases) -> None:
    jobs.submit([job("a"), job("b"), job("c"), job("d", expires_after=0)])
    jobs.cancel("c")
    leases.expire()
    queue.take(BatchLimits(jobs=2))
    for _ in range(2):  # the reply of the first one was lost
        queue.finish({"a": outcome(3.0), "b": Failure("model_error", "it hurts")})
    jobs.cancel("a")
    assert ended(redis, "sum") == {
        ("sum", "succeeded"): 1,
        ("sum", "failed"): 1,
        ("sum", "canceled"): 1,
        ("sum", "expired"): 1,
    }
    waits = MetricsReader(redis).read([]).histograms[table.QUEUE_SECONDS][()]
    assert sum(waits.counts) == 2
    assert 0 < waits.sum < 60
    assert 0 < redis.ttl("mg:counts:model:sum") <= 604800


def test_the_end_of_a_job_counts_for_its_version(redis: Redis) -> None:
    jobs, leases = Jobs(redis, max_queue_rows=10, timeout=30, result_ttl=60), Leases(redis)
    leases.register("w-0-x")
    queue = ScorerQueue(redis, "w-0-x")
    jobs.submit([job("a", version=2), job("b", version=2), job("c", version=3), job("d", version=3)])
    assert queue.take(BatchLimits())
    queue.finish({"a": outcome(3.0), "b": outcome(3.0)})
    assert queue.take(BatchLimits())
    redis.hset("rq:job:d", "version", "a worker wrote this")
    queue.finish({"c": outcome(3.0), "d": outcome(3.0)})
    assert MetricsReader(redis).read(["sum"]).values[table.JOBS_BY_VERSION] == {
        ("sum", "2", "succeeded"): 2,
        ("sum", "3", "succeeded"): 1,
    }


def test_the_newest_versions_count_and_the_fields_of_others_are_outdated(redis: Redis) -> None:
    counts, outbox = Counts(), Outbox(redis)
    outbox.add_source(counts.steps)
    for version in (10, 9, 3, 12, 8, 11, 100):
        counts.add_rows("sum", version, 2)
        counts.observe(table.SECONDS_BY_VERSION, 0.02, ("sum", str(version)))
    outbox.flush()
    redis.hset("mg:counts:model:sum", f"rows_by_version_total|{'9' * 5000}", 1)
    snapshot = MetricsReader(redis).read(["sum"])
    newest = {("sum", version) for version in ("9", "10", "11", "12", "100")}
    assert set(snapshot.values[table.ROWS_BY_VERSION]) == set(snapshot.histograms[table.SECONDS_BY_VERSION]) == newest
    assert snapshot.values[table.ROWS] == {("sum",): 14}
    (outdated,) = snapshot.outdated.values()
    assert {name.split(b"|")[1] for name in outdated} == {b"3", b"8", b"9" * 5000}


def test_the_wait_of_a_job_is_in_its_bucket(redis: Redis, jobs: Jobs, queue: ScorerQueue) -> None:
    for number, (enqueued, started) in enumerate(
        [
            ("2026-01-02T10:00:00.000000Z", "2026-01-02T10:00:00.004000Z"),
            ("2026-01-02T23:59:59.000000Z", "2026-01-03T00:00:01.500000Z"),
            ("2026-01-02T10:00:00.000000Z", "2026-01-02T12:00:00.000000Z"),
            ("nonsense", "2026-01-02T12:00:00.000000Z"),
        ]
    ):
        jobs.submit([job(f"j{number}")])
        queue.take(BatchLimits())
        redis.hset(f"rq:job:j{number}", mapping={"enqueued_at": enqueued, "started_at": started})
        queue.finish({f"j{number}": outcome(3.0)})
    histogram = MetricsReader(redis).read([]).histograms[table.QUEUE_SECONDS][()]
    buckets = (*table.QUEUE_SECONDS.buckets, None)
    assert {bound: count for bound, count in zip(buckets, histogram.counts, strict=True) if count} == {
        0.005: 1,
        2.5: 1,
        None: 1,
    }
    assert histogram.sum == pytest.approx(7202.504)


def test_the_script_has_the_buckets_of_the_table() -> None:
    listed = re.search(r"WAITS = \{ (.*) \}", parts("finish")["endings"])
    assert listed
    assert tuple(float(bound) for bound in listed[1].split(", ")) == table.QUEUE_SECONDS.buckets


def test_deaths_and_returned_jobs_count(redis: Redis) -> None:
    jobs, leases = Jobs(redis, max_queue_rows=10, timeout=30, result_ttl=60), Leases(redis)
    for name in ("w-0-x", "w-1-y"):
        leases.register(name)
    jobs.submit([job("a"), job("b")])
    for name in ("w-0-x", "w-1-y"):
        ScorerQueue(redis, name).take(BatchLimits(jobs=1))
    leases.give_back("w-0-x", ["a"])
    leases.give_back("w-0-x", ["a"])  # the reply was lost
    leases.give_back("w-1-y", [])
    values = MetricsReader(redis).read([]).values
    assert values[table.DEATHS][("scorers",)] == 1
    assert values[table.GIVEN_BACK] == {("queued",): 2, ("failed",): 0, ("expired",): 0}
    assert values[table.LEASES_LOST].get(("scorers",), 0) == 0
    leases.register("w-2-z")
    ScorerQueue(redis, "w-2-z").take(BatchLimits())
    redis.delete("mg:lease:w-2-z")
    leases._unbroken_since = float("-inf")
    leases.reap()
    values = MetricsReader(redis).read([]).values
    assert values[table.DEATHS][("scorers",)] == 2
    assert values[table.LEASES_LOST][("scorers",)] == 1


@pytest.mark.parametrize("command", ["SET mg:counts:jobs x", "HSET mg:counts:jobs queue_seconds|sum x"])
def test_what_a_worker_writes_into_the_counters_fails_no_job(redis: Redis, command: str) -> None:
    jobs, leases = Jobs(redis, max_queue_rows=10, timeout=30, result_ttl=60), Leases(redis)
    leases.register("w-0-x")
    jobs.submit([job("a")])
    queue = ScorerQueue(redis, "w-0-x")
    queue.take(BatchLimits())
    redis.execute_command(*command.split())
    assert queue.finish({"a": outcome(3.0)}) == []
    assert read(jobs, "a").status is Status.SUCCEEDED
    assert MetricsReader(redis).read(["sum"]).total(table.REDIS_UP) == 1


def test_a_batch_says_what_ended_it(redis: Redis) -> None:
    jobs, leases = Jobs(redis, max_queue_rows=100, timeout=30, result_ttl=60), Leases(redis)
    leases.register("w-0-x")
    queue = ScorerQueue(redis, "w-0-x")

    def left(**limits: Any) -> str | None:
        batch = queue.take(BatchLimits(**limits))
        if batch is None:
            return None
        queue.finish({job.id: outcome(3.0) for job in batch.jobs})
        return batch.left

    jobs.submit([job(name) for name in "abcde"] + [job("f", version=2), job("g", version=2)])
    redis.hset("rq:job:g", "deaths", 1)
    assert left(jobs=2) == "jobs"
    assert left(rows=2) == "rows"
    assert left(rows=50) == "version"
    assert left(rows=50) == "death"
    jobs.submit([job("h", version=2)])
    assert left(rows=50) == "death"
    assert left(rows=50) == "empty"
    jobs.submit([job("i")])
    assert queue.take(BatchLimits())
    again = queue.take(BatchLimits())  # the reply was lost
    assert again and again.left == "again"
