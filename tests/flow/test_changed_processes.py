"""What a model changes of its process reaches no other model, whether it is asked, loaded or only published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from contract.model.manifest import Golden
from contract.work.jobs import Status
from tests.flow import estimators
from tests.stacks.workers import Worker, WorkerCluster, worker_cluster
from tests.support import numbers, redis_server, until, write_version

ROWS = np.arange(6.0)[:, None]
PIPELINE = make_pipeline(FunctionTransformer(), LinearRegression()).fit(ROWS, 2 * ROWS[:, 0])
PIPELINE[0].func = estimators.change_process
HARMFUL = {
    "asked": estimators.ChangesItsProcess(at_loading=False),
    "loaded": estimators.ChangesItsProcess(at_loading=True),
    "published": PIPELINE,
}
GOLDEN = Golden(((1.0,), (2.0,)), (2.0, 4.0))


def answers(cluster: WorkerCluster, model: str, prefix: str, count: int = 1) -> list[Any]:
    jobs = cluster.ended(cluster.submit(model, map(float, range(count)), prefix))
    assert all(job.status is Status.SUCCEEDED for job in jobs), jobs
    return [value for job in jobs if job.output for value in job.output["predictions"]]


def start(cluster: WorkerCluster, workers: int) -> Worker:
    worker = cluster.start(workers=workers, predict_timeout=20).ready(workers)
    until(lambda: "loaded" in worker.log, "the template has loaded")
    return worker


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_model_changes_of_its_process_is_seen_by_no_other(tmp_path: Path, workers: int) -> None:
    folder = tmp_path / "models"
    write_version(folder, "witness", estimators.Witness(), numbers("x"), by_value=True)
    with redis_server(tmp_path) as url, worker_cluster(url, folder, tmp_path) as cluster:
        worker = start(cluster, workers)
        (before,) = set(answers(cluster, "witness", "before", 5))
        for name, estimator in HARMFUL.items():
            write_version(folder, name, estimator, numbers("x"), by_value=True, golden=GOLDEN)
        for number in range(3):
            for name in ("asked", "loaded"):
                assert answers(cluster, name, f"{name}{number}-", 3) == [0.0, 2.0, 4.0]
                assert set(answers(cluster, "witness", f"{name}{number}-after", 5)) == {before}
        assert "died" not in worker.log
        worker.process.terminate()
        assert worker.process.wait(30) == 0, "no scorer is deaf to SIGTERM"
        start(cluster, workers)
        assert set(answers(cluster, "witness", "restarted", 5)) == {before}, "although all were published"
        cluster.ended(cluster.submit("published", [1.0], "at last"))  # which fails, as warnings are errors
        assert set(answers(cluster, "witness", "end", 5)) == {before}
