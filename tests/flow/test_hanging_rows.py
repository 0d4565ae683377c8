"""Rows that never return: their model cannot occupy every scorer, and the caller of others waits for none of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from broker.link.scripts import Durability, source
from broker.metrics import table
from broker.metrics.reading import MetricsReader
from broker.records.lease_groups import is_extra, place_of
from broker.sides.gateway.system_health import HealthCheck, ProcessReader
from contract.work.jobs import PredictionJob, Status
from tests.flow import estimators
from tests.flow.estimators import HANGS
from tests.stacks.workers import WorkerCluster, worker_cluster
from tests.support import DEADLINE, numbers, redis_server, until, write_version


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[WorkerCluster]:
    models = tmp_path / "models"
    write_version(models, "hangs", estimators.Poisonable(0, 0), numbers("a"), by_value=True)
    write_version(models, "quick", estimators.Slow(0), numbers("a"), by_value=True)
    with redis_server(tmp_path) as url, worker_cluster(url, models, tmp_path) as cluster:
        yield cluster


def workers_know(cluster: WorkerCluster) -> None:
    """Wait until each worker has asked twice what is slow, so that its scorers know the first answer."""
    script = f"EVALSHA {source('spare')[1]}"
    with cluster.redis.monitor() as monitor:
        calls = (entry for entry in islice(monitor.listen(), 20_000) if script in entry["command"])
        times = sum(1 for _ in islice(calls, 2 * len(cluster.workers) + 1))
    assert times > 2 * len(cluster.workers)


def hanging(cluster: WorkerCluster, *names: str) -> list[str]:
    """Submit jobs that hang, each of other rows; return their ids."""
    jobs = [
        PredictionJob(name, "2026-01-02T03:04:05.000006Z", "hangs", 1, [[HANGS], [float(number)]])
        for number, name in enumerate(names)
    ]
    assert all(submission.accepted for submission in cluster.jobs.submit(jobs))
    return list(names)


def quick_ones_are_answered(cluster: WorkerCluster, prefix: str) -> None:
    for number in range(5):
        (job,) = cluster.ended(cluster.submit("quick", [1.0], f"{prefix}{number}-"))
        assert job.status is Status.SUCCEEDED


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_rows_that_hang_leave_a_scorer_to_other_models(cluster: WorkerCluster, workers: int) -> None:
    for number in range(workers):
        cluster.start(f"w{number}", workers=2 // workers, predict_timeout=1000).ready(2 // workers)
    (first,) = hanging(cluster, "first")
    cluster.running(first)
    until(lambda: cluster.redis.exists("mg:slow"), "it counts as slow")
    workers_know(cluster)
    others = hanging(cluster, *"abcd")
    quick_ones_are_answered(cluster, "quick")
    assert {job.status for job in cluster.read(*others)} == {Status.QUEUED}
    assert cluster.read(first)[0].status is Status.RUNNING


@pytest.mark.parametrize("workers", [1, 2])
def test_while_rows_hang_in_all_scorers_an_extra_one_answers_others(cluster: WorkerCluster, workers: int) -> None:
    worker = cluster.start(workers=workers, predict_timeout=1000, stop_grace=1).ready(workers)
    for name in "ab"[:workers]:
        cluster.running(*hanging(cluster, name))
    more = hanging(cluster, "c", "d")
    quick_ones_are_answered(cluster, "quick")
    assert {job.status for job in cluster.read(*more)} == {Status.QUEUED}
    assert len(worker.scorers()) == workers + 1
    ((shown, *_), _) = ProcessReader(cluster.redis).read()
    assert (shown.busy, shown.idle) == (workers, 0), "it is nobody's capacity"
    scored = MetricsReader(cluster.redis).read(["quick", "hangs"]).values[table.SCORERS]
    assert scored == {("busy",): workers, ("idle",): 0, ("extra",): 1}
    assert HealthCheck(cluster.redis, 1000, Durability()).run().workers == workers
    os.kill(worker.scorers()[cluster.holder("a")], signal.SIGKILL)
    until(lambda: not any(map(is_extra, worker.scorers())), "it ends once another one is free")
    quick_ones_are_answered(cluster, "again")
    worker.process.terminate()
    assert worker.process.wait(DEADLINE) == 0
    assert not cluster.redis.exists("mg:incs")
    assert {job.status for job in cluster.read("a", *more)} == {Status.QUEUED}


@pytest.mark.slow
def test_a_job_that_was_cancelled_and_deleted_does_not_hide_its_scorer(cluster: WorkerCluster) -> None:
    cluster.start(workers=2, predict_timeout=1000).ready()
    (first,) = hanging(cluster, "first")
    cluster.running(first)
    assert cluster.jobs.cancel(first)
    assert cluster.jobs.delete(first)
    until(lambda: cluster.redis.exists("mg:slow"), "it counts as slow")
    workers_know(cluster)
    others = hanging(cluster, *"abcd")
    quick_ones_are_answered(cluster, "quick")
    assert {job.status for job in cluster.read(*others)} == {Status.QUEUED}


@pytest.mark.slow
def test_a_scorer_that_begins_while_the_other_hangs_takes_no_rows_of_its_model(cluster: WorkerCluster) -> None:
    worker = cluster.start(workers=2, predict_timeout=1000).ready()
    (first,) = hanging(cluster, "first")
    cluster.running(first)
    until(lambda: cluster.redis.exists("mg:slow"), "it counts as slow")
    holder = cluster.holder(first)
    (other,) = (pid for inc, pid in worker.scorers().items() if inc != holder)
    template = worker.template()
    assert template is not None
    template.suspend()  # nobody takes the other's place meanwhile
    os.kill(other, signal.SIGKILL)
    workers_know(cluster)
    others = hanging(cluster, *"abcd")
    template.resume()
    quick_ones_are_answered(cluster, "quick")
    assert {job.status for job in cluster.read(*others)} == {Status.QUEUED}


@pytest.mark.slow
def test_after_a_time_out_rows_that_come_at_once_do_not_hang_all_scorers(cluster: WorkerCluster) -> None:
    worker = cluster.start(predict_timeout=2).ready()
    first = cluster.ended(hanging(cluster, "first", "second"))
    assert {job.error.code for job in first if job.error} == {"timeout"}
    worker.ready()
    workers_know(cluster)
    places = set()
    for job in cluster.ended(hanging(cluster, *"abc")):
        assert job.error and job.error.code == "timeout"
        places.add(place_of(cluster.holder(job.id)))
    assert len(places) == 1, "the other scorer was left to other models"
    quick_ones_are_answered(cluster, "quick")
