"""Explanations on real workers: predictions go on beside them, and one whose scorer dies is done once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.records.job_kinds import EXPLANATION, indexes_of
from contract.model.manifest import Golden
from contract.rows.background import BACKGROUND_FILE
from contract.work.explanations import ExplainRequest
from contract.work.jobs import PredictionJob, Status
from tests.flow import estimators
from tests.stacks.workers import WorkerCluster, worker_cluster
from tests.support import numbers, redis_server, until, write_version

ROWS = 12


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[WorkerCluster]:
    models = tmp_path / "models"
    for name, seconds in (("slow", 0.1), ("quick", 0.0)):
        estimator = estimators.Slow(seconds)
        write_version(models, name, estimator, numbers("a"), by_value=True, golden=Golden(((1.0,),), ()))
        (models / name / "versions/1/report").mkdir()
        (models / name / "versions/1/report" / BACKGROUND_FILE).write_text("[[1.0], [2.0], [3.0]]")
    with redis_server(tmp_path) as url, worker_cluster(url, models, tmp_path) as cluster:
        yield cluster


def explain(cluster: WorkerCluster, *names: str) -> None:
    jobs = [
        PredictionJob(
            name,
            "2026-01-02T03:04:05.000006Z",
            "slow",
            1,
            [[float(number)] for number in range(ROWS)],
            explain=ExplainRequest(),
            counts=ROWS * 2,
        )
        for name in names
    ]
    assert all(submission.accepted for submission in cluster.jobs.submit(jobs))


@pytest.mark.slow
def test_predictions_are_answered_while_every_scorer_explains(cluster: WorkerCluster) -> None:
    cluster.start(workers=2).ready()
    explain(cluster, "a", "b")
    cluster.running("a")
    cluster.running("b")
    ids = cluster.submit("quick", map(float, range(20)))
    assert {job.status for job in cluster.ended(ids)} == {Status.SUCCEEDED}
    assert {job.status for job in cluster.ended(["a", "b"])} == {Status.SUCCEEDED}


@pytest.mark.slow
def test_an_explanation_whose_scorer_is_killed_is_done_once(cluster: WorkerCluster) -> None:
    worker = cluster.start(workers=2).ready()
    explain(cluster, "a")
    cluster.running("a")
    holder = str(cluster.redis.hget("rq:job:a", "worker_name").decode())
    os.kill(worker.scorers()[holder], signal.SIGKILL)
    (job,) = cluster.ended(["a"])
    assert (job.status, job.kind) == (Status.SUCCEEDED, "explanation")
    assert job.output is not None
    assert len(job.output["predictions"]) == ROWS  # type: ignore[arg-type]
    assert cluster.holder("a") != holder
    assert sum(cluster.redis.zcard(index) for index in indexes_of(EXPLANATION.queue_of("slow"), "finished")) == 1
    until(lambda: cluster.redis.hget("mg:counts:model:slow", "explanations_total|succeeded") == b"1", "one has ended")


def test_an_explanation_that_kills_its_scorers_fails(cluster: WorkerCluster) -> None:
    estimator = estimators.Poisonable(0, 0)
    write_version(cluster.models, "deadly", estimator, numbers("a"), by_value=True, golden=Golden(((1.0,),), ()))
    cluster.start(workers=2).ready()
    job = PredictionJob(
        "d", "2026-01-02T03:04:05.000006Z", "deadly", 1, [[estimators.POISON]], explain=ExplainRequest()
    )
    assert cluster.jobs.submit([job])[0].accepted
    (ended,) = cluster.ended(["d"])
    assert ended.error is not None
    assert ended.error.code == "worker_crashed"
    assert cluster.ended(cluster.submit("quick", [1.0]))[0].status is Status.SUCCEEDED
