"""The shadow scorer is a process of the worker that is there for experiments alone, and nobody waits for it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from broker.state.load_status import load_statuses
from contract.model.environments import TODAY
from contract.model.experiments import Ending, ExperimentKind
from contract.work.jobs import PredictionJob
from tests.flow import estimators
from tests.stacks.workers import Worker, WorkerCluster, worker_cluster
from tests.support import DEADLINE, alive, numbers, redis_server, until, write_version
from tests.worker.shadows import experiment, logged, records, set_experiments, totals


class WaitsForAFile:
    """Doubles a number, once a file is there."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def predict(self, X: Any) -> Any:
        while not self.file.exists():
            time.sleep(0.01)
        return X[:, 0] * 2


class Computes:
    """Doubles a number, after `seconds` of a processor; never returns for a number below 0."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def predict(self, X: Any) -> Any:
        began = time.process_time()
        while X[0, 0] < 0 or time.process_time() - began < self.seconds:
            pass
        return X[:, 0] * 2


@pytest.fixture
def cluster(tmp_path: Path, models: Path) -> Iterator[WorkerCluster]:
    with redis_server(tmp_path) as url, worker_cluster(url, models, tmp_path, lease=60) as cluster:
        yield cluster


def write(models: Path, candidate: object, model: str = "sum") -> None:
    """Write a model with a candidate, and let it be tried."""
    write_version(models, model, estimators.Slow(0), numbers("a"), by_value=True)
    write_version(models, model, candidate, numbers("a"), version=2, by_value=True, current=False)
    set_experiments(models, model, experiment())


def submit(cluster: WorkerCluster, values: Any, prefix: str = "j", **members: Any) -> list[str]:
    """Submit one job for each value, whose row the candidate is to score, too."""
    now = datetime.now(UTC).isoformat()
    jobs = [
        PredictionJob(f"{prefix}{number}", now, "sum", 1, [[float(value)]], logged=logged(**members))
        for number, value in enumerate(values)
    ]
    cluster.jobs.submit(jobs)
    return [job.id for job in jobs]


def shadow_of(worker: Worker) -> psutil.Process | None:
    """The process of the shadow scorer: it alone has the lowest priority."""
    template = worker.template()
    for child in template.children() if template else ():
        with suppress(psutil.Error, ProcessLookupError):
            if os.sched_getscheduler(child.pid) == os.SCHED_IDLE:
                return child
    return None


def scored(cluster: WorkerCluster, rows: int) -> dict[str, float]:
    """What is said of all entries, once it is said of so many rows."""
    until(lambda: totals(cluster.redis)["rows"] >= rows, f"{rows} rows are scored: {cluster.workers[0].log}")
    return totals(cluster.redis)


@pytest.mark.slow
def test_it_is_there_while_a_shadow_experiment_of_a_served_model_runs(cluster: WorkerCluster, models: Path) -> None:
    write(models, estimators.Slow(0))
    write(models, estimators.Slow(0), "other")
    set_experiments(models, "sum")
    worker = cluster.start(worker_models="sum").ready()
    scorers = worker.scorers()
    set_experiments(models, "sum", experiment(kind=ExperimentKind.CANARY))
    until(
        lambda: any("sum@2" in status.loaded for status in load_statuses(cluster.redis, "sum", TODAY).values()),
        "the candidate is in memory",
    )
    assert shadow_of(worker) is None
    set_experiments(models, "sum", experiment("f"))
    shadow = until(lambda: shadow_of(worker), "the shadow scorer")
    assert worker.process.pid != shadow.pid not in scorers.values()
    assert len(cluster.redis.smembers("mg:incs")) == 2, "it has no lease"
    set_experiments(models, "sum", experiment("f", ending=Ending.STOPPED))
    until(lambda: not shadow.is_running(), "it has ended")
    assert "died" not in worker.log


def test_requests_are_answered_before_the_candidate_has_scored_a_row(
    cluster: WorkerCluster, models: Path, tmp_path: Path
) -> None:
    write(models, WaitsForAFile(tmp_path / "file"))
    cluster.start().ready()
    for rounds in range(3):
        ids = submit(cluster, range(10), f"{rounds}-")
        assert {job.status.value for job in cluster.ended(ids)} == {"succeeded"}
        assert records(cluster.redis, "sum@2") == []
    (tmp_path / "file").touch()
    assert scored(cluster, 30) == {"rows": 30, "failed": 0, "compared": 30, "same": 30, "dropped": 0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("candidate", "bad", "seconds"),
    [
        (estimators.Faulty(), estimators.ABORTS, 60),
        (estimators.Faulty(), estimators.NEVER_RETURNS, 2),
        (estimators.Faulty(), estimators.EATS_MEMORY, 60),
        (Computes(), -1.0, 2),
    ],
)
def test_rows_that_end_the_process_or_take_too_long_fail_and_the_others_are_scored(
    cluster: WorkerCluster, models: Path, candidate: object, bad: float, seconds: int
) -> None:
    write(models, candidate)
    worker = cluster.start(predict_timeout=seconds, scorer_memory_mb=300).ready()
    scorers = worker.scorers()
    for number, value in enumerate((1.0, bad, 2.0)):
        cluster.ended(submit(cluster, [value], f"{number}-"))
    assert scored(cluster, 3) == {"rows": 3, "failed": 1, "compared": 2, "same": 2, "dropped": 0}
    assert worker.scorers() == scorers, "no scorer was harmed"
    assert worker.log.count("the shadow scorer died, with sum@2") == 2


@pytest.mark.slow
def test_a_candidate_whose_load_kills_the_process_fails_all_rows(cluster: WorkerCluster, models: Path) -> None:
    write(models, estimators.AbortsWhenLoaded(0))
    cluster.start().ready()
    until(lambda: "so scorers load it on demand" in cluster.workers[0].log, "the template gives it up")
    cluster.ended(submit(cluster, [1.0, 2.0]))
    assert scored(cluster, 2)["failed"] == 2


@pytest.mark.slow
def test_it_gets_only_time_that_nobody_else_wants_and_waiting_for_it_is_no_failure(
    cluster: WorkerCluster, models: Path
) -> None:
    write(models, Computes(0.5))
    worker = cluster.start(predict_timeout=1).ready()
    shadow = until(lambda: shadow_of(worker), "the shadow scorer")
    processor = min(shadow.cpu_affinity())
    shadow.cpu_affinity([processor])
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            other_process = psutil.Process(other.pid)
            other_process.cpu_affinity([processor])
            cluster.ended(submit(cluster, [1.0]))
            until(lambda: other_process.cpu_times().user > 5, "another process has had the processor")
            assert totals(cluster.redis)["rows"] == 0
        finally:
            other.kill()
    assert scored(cluster, 1)["same"] == 1
    assert shadow.is_running()
    assert "died" not in worker.log


@pytest.mark.slow
def test_a_worker_that_stops_does_not_wait_for_it(cluster: WorkerCluster, models: Path, tmp_path: Path) -> None:
    write(models, WaitsForAFile(tmp_path / "file"))
    worker = cluster.start().ready()
    cluster.ended(submit(cluster, [1.0]))
    shadow = until(lambda: shadow_of(worker), "the shadow scorer")
    until(lambda: any(group["pending"] for group in cluster.redis.xinfo_groups("mg:shadow:e")), "it is at work")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(DEADLINE) == 0
    until(lambda: not alive(shadow.pid), "it is gone")
    (tmp_path / "file").touch()
    cluster.start().ready()
    assert scored(cluster, 1)["same"] == 1


@pytest.mark.slow
def test_each_pair_is_logged_once_whatever_is_killed(cluster: WorkerCluster, models: Path) -> None:
    write(models, estimators.Slow(0.002))
    worker = cluster.start(lease=2).ready()
    chance = random.Random(5)
    ids: list[str] = []
    for kill in range(12):
        before = totals(cluster.redis)["rows"]
        ids += submit(cluster, range(100), f"{kill}-")
        until(lambda b=before: totals(cluster.redis)["rows"] > b, "the last death is forgotten")
        victim = chance.choice(["shadow", "scorer", "supervisor", "all"])
        if victim == "shadow":
            until(lambda w=worker: shadow_of(w), "the shadow scorer").kill()
        elif victim == "scorer":
            os.kill(chance.choice(list(until(worker.scorers, "a scorer").values())), signal.SIGKILL)
        else:
            worker.process.kill() if victim == "supervisor" else worker.kill()
            worker.process.wait()
            worker = cluster.start(lease=2).ready()
    assert {job.status.value for job in cluster.ended(ids)} == {"succeeded"}
    assert scored(cluster, len(ids)) == {"rows": 1200, "failed": 0, "compared": 1200, "same": 1200, "dropped": 0}
    assert sorted(name for record in records(cluster.redis, "sum@2") for name in record["job_id"]) == sorted(ids)
    assert sorted(name for record in records(cluster.redis, "sum@1") for name in record["job_id"]) == sorted(ids)
