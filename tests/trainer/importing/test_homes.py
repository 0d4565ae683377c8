"""An import finds the environment of its file: there it is examined, verified, compared and asked."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from contract.errors import ModelgateError
from contract.model.environments import TODAY
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.settings import Settings
from runtime.environments import Environments
from runtime.limits import ONE_THREAD
from scoring.trust import Trust
from storage.models.repository_writer import RepositoryWriter
from tests.stacks.environments import MADE, environment_for_tests
from trainer.forks import Forks
from trainer.importing import LivesElsewhere
from trainer.importing.inbox import homes
from trainer.importing.inbox.imports import import_file
from trainer.importing.inbox.judging import Wish, promote_if_passed
from trainer.publishing.aliases import move_alias
from trainer.publishing.asking import NotAnswered, ask
from trainer.training import ROW_HASHES_FILE
from trainer.training.row_hashes import hashes

FIT = """
import json, pickle, sys
import numpy as np, pandas as pd, sklearn
from sklearn.ensemble import RandomForestClassifier
rng = np.random.default_rng(0)
X = pd.DataFrame({"age": rng.normal(40, 10, 600), "km": rng.exponential(1, 600)})
y = np.where(X["age"] + 8 * X["km"] + rng.normal(0, 8, 600) > 48, "yes", "no")
model = RandomForestClassifier(12, max_depth=5, random_state=0).fit(X[:400], y[:400])
folder = sys.argv[1]
pickle.dump(model, open(f"{folder}/risk.pkl", "wb"))
X[400:].assign(target=y[400:]).to_csv(f"{folder}/risk.csv", index=False)
rows = X[400:420].to_numpy().tolist()
json.dump([rows, model.predict_proba(X[400:420]).tolist()], open(f"{folder}/answers.json", "w"))
"""


@pytest.fixture
def settings(tmp_path: Path, root: Path) -> Settings:
    environment_for_tests("sklearn-1.2")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "environments").symlink_to(MADE)
    return Settings(state_dir=tmp_path / "state", models_dir=root, train_on_start=())


def fitted(folder: Path, python: str) -> Path:
    """Fit the model under this interpreter and return the file."""
    folder.mkdir()
    command, environment = [python, "-c", FIT, str(folder)], {**os.environ, **ONE_THREAD}
    subprocess.run(command, check=True, env={k: v for k, v in environment.items() if k != "PYTHONPATH"})
    return folder / "risk.pkl"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old") / "1.2"
    return fitted(folder, str(environment_for_tests("sklearn-1.2").interpreter))


def imported(settings: Settings, file: Path, forks: Forks) -> ModelManifest:
    return import_file(settings, "risk", file, file.with_suffix(".csv"), forks=forks)


@pytest.mark.slow
def test_a_file_lives_in_the_release_that_made_it_and_answers_as_there(settings: Settings, old: Path) -> None:
    with Forks() as forks:
        manifest = imported(settings, old, forks)
        rows, wanted = json.loads(old.with_name("answers.json").read_text())
        files, trust = Repository(settings.models_dir).files("risk", 1), Trust()
        there = forks.of(Environments(settings.environments_dir), "sklearn-1.2")
        answer = ask(files, rows, trust, there).prediction
        with pytest.raises(NotAnswered, match="node array from the pickle"):
            ask(files, rows, trust, forks)
    assert (manifest.environment, manifest.libraries["scikit-learn"]) == ("sklearn-1.2", "1.2.2")
    assert manifest.artifact.kernels is None
    assert not any("scikit-learn" in warning for warning in manifest.warnings)
    assert answer.probabilities == [dict(zip(("no", "yes"), row, strict=True)) for row in wanted]


@pytest.mark.slow
def test_versions_of_two_environments_are_compared_each_in_its_own(
    settings: Settings, old: Path, tmp_path: Path
) -> None:
    today = fitted(tmp_path / "today", sys.executable)
    with Forks() as forks:
        for file, other in ((old, today), (today, old)):
            before = imported(settings, file, forks)
            _record_one_row(settings, before)
            move_alias(RepositoryWriter(settings.models_dir), "risk", "current", before.version)
            new = imported(settings, other, forks)
            assert new.environment != before.environment
            judged = promote_if_passed(settings, new, other.with_suffix(".csv"), Wish(), lambda *_: None, forks)
            assert f"on 200 sample rows that are new to version {before.version}" in judged.verdict


def _record_one_row(settings: Settings, manifest: ModelManifest) -> None:
    """Write that the version has learnt from a row, which is not in the sample: imports have no record."""
    folder = Repository(settings.models_dir).files("risk", manifest.version).folder
    known = hashes([(0.0, 0.0)], ["no"], manifest.training_data.fingerprint)
    (folder / "report").mkdir(exist_ok=True)
    (folder / "report" / ROW_HASHES_FILE).write_bytes(np.sort(known, axis=None).astype("<u8").tobytes())
    file = folder / "manifest.json"
    file.write_text(file.read_text().replace('"rows": 0,', '"rows": 1,'))


def test_todays_environment_can_be_asked_for(settings: Settings, old: Path) -> None:
    with pytest.raises(ModelgateError, match=r"was made with scikit-learn 1\.2\.2, which .* here cannot read"):
        import_file(settings, "risk", old, environment=TODAY)


@pytest.mark.slow
def test_an_environment_that_is_not_here_is_named_with_what_makes_it(settings: Settings, old: Path) -> None:
    (settings.state_dir / "environments").unlink()
    with pytest.raises(ModelgateError) as refused, Forks() as forks:
        imported(settings, old, forks)
    assert "was made with scikit-learn 1.2.2" in str(refused.value)
    assert "`modelgate environment make sklearn-1.2`" in str(refused.value)
    with pytest.raises(ModelgateError, match="cannot live in the environment 'risk', which is not here"):
        import_file(settings, "risk", old, environment="risk")


@pytest.mark.parametrize("wish", ["../../tmp", "sklearn-1.1", "", "/"])
def test_what_examines_a_file_cannot_choose_an_environment_that_the_operator_has_not_made(
    settings: Settings, old: Path, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    def lie(*_: object) -> None:
        raise LivesElsewhere(wish)

    monkeypatch.setattr(homes, "examine_in_process", lie)
    with pytest.raises(ModelgateError, match="cannot live in the environment"):
        import_file(settings, "risk", old)


@pytest.mark.environments
def test_an_import_makes_the_environment_if_the_operator_has_allowed_it(
    settings: Settings, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (settings.state_dir / "environments").unlink()
    monkeypatch.setenv("STATE_DIR", str(settings.state_dir))
    caplog.set_level("INFO", logger="trainer")
    with Forks() as forks:
        manifest = imported(dataclasses.replace(settings, environments="auto"), old, forks)
    assert (manifest.environment, manifest.libraries["scikit-learn"]) == ("sklearn-1.2", "1.2.2")
    assert any("sklearn-1.2: ready after" in record.getMessage() for record in caplog.records)
