"""Trainings on a Dask cluster: real processes with TLS, whose workers have nothing of ours."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from broker.sides.gateway.job_client import Jobs
from broker.sides.gateway.trainer_client import TrainerClient
from contract.errors import SettingsError
from contract.settings import Settings
from contract.work.jobs import Status
from contract.work.training import TrainingRequest
from tests.stacks.dask_cluster import DaskCluster
from tests.stacks.packages import installed
from tests.support import PROJECT, SIGNER, alive, until
from tests.trainer.trainers import TrainerHost, Training, trainer_host
from trainer.training.cluster import check_cluster_client

RECIPE = """
import os
import time
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from contract.model.signature import Field, Kind
from trainer.recipe import RecipeError, Table, recipe


def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 4))
    y = X[:, 0] + rng.normal(size=4000) > 0
    return Table("made up", ("a", "b", "c", "d", "y"), [[*row, int(label)] for row, label in zip(X.tolist(), y)])


class Patient(ClassifierMixin, BaseEstimator):
    def __init__(self, C=1.0, folder="", fails=False):
        self.C, self.folder, self.fails = C, folder, fails

    def fit(self, X, y):
        if self.fails:
            raise RecipeError(f"no fit in the process {os.getppid()}")
        while self.folder and not Path(self.folder, "go").exists():
            Path(self.folder, f"alive-{os.getpid()}").write_text(str(time.time()))
            time.sleep(0.01)
        self.inner = LogisticRegression(C=self.C).fit(X, y)
        self.classes_ = self.inner.classes_
        return self

    def predict(self, X):
        return self.inner.predict(X)

    def predict_proba(self, X):
        return self.inner.predict_proba(X)


@recipe(inputs=[Field(n, Kind.NUMBER) for n in "abcd"], target=Field("y", Kind.INTEGER), data=data)
def fit(X, y, *, folder: str = "", fails: bool = False):
    search = GridSearchCV(Patient(folder=folder, fails=fails), {"C": [0.01, 1.0]}, cv=3, error_score="raise")
    found = search.fit(X, y).best_estimator_
    found.folder = ""
    return found
"""
"""A recipe with a class of its own, which tries values for it. With `folder` each fit waits for the file `go` there."""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Dask, which no environment of ours has."""
    return installed("cluster.txt", tmp_path_factory.mktemp("packages"))


@pytest.fixture
def cluster(tmp_path: Path, packages: Path) -> Iterator[DaskCluster]:
    (tmp_path / "cluster").mkdir()
    with DaskCluster(tmp_path / "cluster", packages) as cluster:
        yield cluster


@pytest.fixture
def host(redis: Redis, redis_url: str, tmp_path: Path) -> Iterator[TrainerHost]:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/patient.py").write_text(RECIPE)
    with trainer_host(redis, redis_url, tmp_path) as host:
        host.environment["RECIPES_DIR"] = str(tmp_path / "recipes")
        yield host


@contextmanager
def trainer(host: TrainerHost, settings: Mapping[str, str]) -> Iterator[None]:
    """Run the real process of trainings."""
    with (host.folder / "trainer.log").open("ab") as log:
        command = [sys.executable, "-m", "trainer.jobs.runner", "training"]
        process = subprocess.Popen(
            command, cwd=PROJECT, env={**os.environ, **host.environment, **settings}, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def train(host: TrainerHost, recipe: str = "patient", **parameters: Any) -> Training:
    trainings = TrainerClient(host.redis, SIGNER, timeout=300, result_ttl=200)
    job_id = trainings.submit(TrainingRequest("m", recipe, parameters=parameters)).id
    return Training(job_id, Jobs(host.redis, max_queue_rows=1, timeout=1, result_ttl=60), trainings)


def wait_for_both(training: Training, gate: Path) -> None:
    """Wait until each worker fits."""

    def both_fit() -> bool:
        assert not training.read().status.final, training.log()
        return len(list(gate.glob("alive-*"))) == 2

    until(both_fit, "both workers fit")


def metrics(training: Training) -> dict[str, float]:
    ended = training.ended()
    assert ended.status is Status.SUCCEEDED, (ended, training.log())
    found: dict[str, float] = (ended.output or {})["metrics"]
    return found


def test_a_trainer_without_dask_says_at_its_start_what_to_install() -> None:
    check_cluster_client(Settings())
    with pytest.raises(SettingsError, match=r"Dask is not installed; install requirements/cluster\.txt"):
        check_cluster_client(Settings(train_cluster="tls://scheduler:8786"))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["patient", "iris"])
def test_scores_are_the_same_on_a_cluster_whose_workers_have_no_recipes(
    host: TrainerHost, cluster: DaskCluster, recipe: str
) -> None:
    with trainer(host, {}):
        here = metrics(train(host, recipe))
    with trainer(host, cluster.client_settings):
        training = train(host, recipe)
        assert metrics(training) == here
    assert f"on the cluster {cluster.address}: 2 cores on 2 workers" in training.log()
    assert [name for name in here if name.startswith("cv_")]


@pytest.mark.slow
def test_a_killed_worker_delays_a_training_and_does_not_end_it(host: TrainerHost, cluster: DaskCluster) -> None:
    gate = host.folder / "gate"
    gate.mkdir()
    with trainer(host, cluster.client_settings):
        training = train(host, folder=str(gate))
        wait_for_both(training, gate)
        cluster.workers[0].kill()
        (gate / "go").touch()
        assert metrics(training)["cv_accuracy"] > 0.7


@pytest.mark.slow
def test_a_cancelled_training_ends_its_tasks_on_the_workers_and_leaves_them_to_others(
    host: TrainerHost, cluster: DaskCluster
) -> None:
    gate, free = host.folder / "gate", host.folder / "free"
    gate.mkdir()
    free.mkdir()
    (free / "go").touch()
    with trainer(host, cluster.client_settings):
        training = train(host, folder=str(gate))
        wait_for_both(training, gate)
        training.jobs.cancel(training.id)
        until(lambda: training.read().status is Status.CANCELED, "it is cancelled")
        until(lambda: not _changes(gate), "the tasks on the workers end", 20)
        assert all(alive(worker.pid) for worker in cluster.workers)
        assert metrics(train(host, folder=str(free)))["cv_accuracy"] > 0.7


def _changes(folder: Path) -> bool:
    """Whether a task still writes its file: all of them are as old as the processes' turns take."""
    return any(time.time() - file.stat().st_mtime < 2 for file in folder.glob("alive-*"))


@pytest.mark.slow
def test_an_error_of_a_recipe_comes_back_from_a_worker(host: TrainerHost, cluster: DaskCluster) -> None:
    with trainer(host, cluster.client_settings):
        error = train(host, fails=True).ended().error
    assert error and error.message.startswith("no fit in the process")


@pytest.mark.slow
def test_a_lost_cluster_fails_the_training_with_its_address(host: TrainerHost, cluster: DaskCluster) -> None:
    gate = host.folder / "gate"
    gate.mkdir()
    with trainer(host, cluster.client_settings):
        training = train(host, folder=str(gate))
        wait_for_both(training, gate)
        for process in (cluster.scheduler, *cluster.workers):
            process.kill()
        error = training.ended().error
        assert error and f"the cluster {cluster.address} (TRAIN_CLUSTER) was lost" in error.message
        error = train(host).ended().error
        assert error and f"the cluster {cluster.address} (TRAIN_CLUSTER) cannot be reached" in error.message


@pytest.mark.slow
def test_a_trainer_without_a_certificate_is_refused(host: TrainerHost, cluster: DaskCluster) -> None:
    without = {name: text for name, text in cluster.client_settings.items() if not name.startswith("DASK_")}
    with trainer(host, without):
        error = train(host).ended().error
    assert error and "DASK_DISTRIBUTED__COMM__TLS__" in error.message
