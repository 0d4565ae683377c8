"""A version of an old environment is tried in newer ones, and published where it answers the same."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest

from contract.errors import ModelgateError
from contract.model.repository import Repository
from contract.settings import Settings
from runtime.environments import Environments
from runtime.limits import ONE_THREAD
from scoring.trust import Trust
from tests.stacks.environments import MADE, environment_for_tests
from trainer.forks import Forks
from trainer.importing.edits.migration import Migration
from trainer.importing.inbox.imports import import_file
from trainer.publishing.asking import ask

FIT = """
import pickle, sys
import numpy as np, pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
rng = np.random.default_rng(0)
X = pd.DataFrame({"age": rng.normal(40, 10, 300), "km": rng.exponential(1, 300)})
line = LinearRegression().fit(X, 3 * X["age"] - X["km"])
forest = RandomForestClassifier(5, max_depth=4, random_state=0).fit(X, np.where(X["age"] > 40, "yes", "no"))
for name, model in (("line", line), ("forest", forest)):
    pickle.dump(model, open(f"{sys.argv[1]}/{name}.pkl", "wb"))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    command = [str(environment_for_tests("sklearn-1.2").interpreter), "-c", FIT, str(folder)]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, check=True, env={**variables, **ONE_THREAD})
    return folder


@pytest.mark.slow
def test_a_version_moves_to_the_newest_release_that_answers_the_same(saved: Path, tmp_path: Path, root: Path) -> None:
    environment_for_tests("sklearn-1.5")
    state = tmp_path / "state"
    state.mkdir()
    (state / "environments").symlink_to(MADE)
    settings = Settings(state_dir=state, models_dir=root)
    with Forks() as forks:
        line, forest = (import_file(settings, name, saved / f"{name}.pkl", forks=forks) for name in ("line", "forest"))
        rows = [[age, age / 10] for age in range(50)]
        of_line, of_forest = Migration(settings, line, forks, rows), Migration(settings, forest, forks)
        assert "sklearn-1.5" in of_line.newer() and of_line.newer()[-1] == ""
        trials = {trial.environment: trial for trial in of_line.trials(["sklearn-1.5", ""])}
        assert [trial.outcome for trial in trials.values()] == ["identical", "identical"]
        assert trials[""].detail == "answers 50 rows identically"
        moved = of_line.publish(trials[""], accept_differences=False)
        files = Repository(root).files("line", moved.version)
        there = forks.of(Environments(settings.environments_dir), "sklearn-1.2")
        before = ask(Repository(root).files("line", 1), rows, Trust(), there)
        assert ask(files, rows, Trust(), forks).prediction == before.prediction
        (trial,) = of_forest.trials([""])
        assert (trial.outcome, trial.different) == ("does_not_answer", 0)
        assert "node array from the pickle" in trial.detail
        with pytest.raises(ModelgateError, match=r"cannot live there: it does not answer.*fit it again where it was"):
            of_forest.publish(trial, accept_differences=True)
        trained = dataclasses.replace(of_forest, manifest=dataclasses.replace(forest, recipe="trees"))
        assert trained.other_way == "train it again: modelgate train forest --recipe trees"
    assert (moved.version, moved.environment, line.environment) == (2, "", "sklearn-1.2")
    assert moved.artifact.sha256 == line.artifact.sha256
    assert moved.libraries["scikit-learn"] != line.libraries["scikit-learn"]
    assert "version 1 of the environment sklearn-1.2" in moved.notes
