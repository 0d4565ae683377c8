"""Two models whose scripts define different classes of one name, imported with their code and served by one scorer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contract.model.repository import Repository
from contract.settings import Settings
from contract.work.jobs import Status
from tests.stacks.workers import worker_cluster
from trainer.importing.inbox.inbox import Inbox

SCRIPT = '''
"""Trains a model, as its author runs it."""
import pickle
from sklearn.base import BaseEstimator

FACTOR = {factor}

def scaled(matrix):
    return matrix * FACTOR

class Model(BaseEstimator):
    n_features_in_ = 1
    def fit(self, X, y=None):
        return self
    def predict(self, X):
        return scaled(X)[:, 0]

if __name__ == "__main__":
    with open("{name}.pkl", "wb") as file:
        pickle.dump(Model().fit(None), file)
'''
FACTORS = {"small": 2.0, "large": 7.0}


@pytest.mark.slow
def test_classes_of_one_name_do_not_disturb_each_other(
    redis: Any, redis_url: str, models: Path, tmp_path: Path
) -> None:
    inbox = models / "inbox"
    inbox.mkdir(parents=True)
    for name, factor in FACTORS.items():
        script = inbox / f"{name}.py"
        script.write_text(SCRIPT.format(name=name, factor=factor))
        subprocess.run([sys.executable, script.name], cwd=inbox, check=True)
    said: list[str] = []
    watched = Inbox(Settings(models_dir=models), lambda *_: None, said.append)
    for _ in range(2):
        watched.import_files()
    assert all(Repository(models).versions(name) == [1] for name in FACTORS), said
    with worker_cluster(redis_url, models, tmp_path) as cluster:
        cluster.start(workers=1).ready(1)
        for turn in range(2):
            ids = {name: cluster.submit(name, [1.0, 3.0], prefix=f"{name}{turn}") for name in FACTORS}
            for name, factor in FACTORS.items():
                jobs = cluster.ended(ids[name])
                assert [job.status for job in jobs] == [Status.SUCCEEDED] * 2
                assert [job.output["predictions"] for job in jobs if job.output] == [[factor], [3 * factor]]
