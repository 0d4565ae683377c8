"""Our code in environments with older releases of scikit-learn: models answer as in the process that fitted them, to
the last bit. `make zoo RELEASES=all` asks every kind in every release."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from contract.model.manifest import ManifestDraft
from runtime.limits import ONE_THREAD
from storage.models.repository_writer import RepositoryWriter
from tests.qa.zoo.releases.verdicts import SAME
from tests.scoring.old_releases import ENVIRONMENTS, run, variables
from tests.stacks.environments import environment_for_tests
from tests.support import PROJECT
from trainer import forks
from trainer.forks import Forks, ForkTask, TaskTemplate
from trainer.importing.import_process import FILE, ImportTask
from trainer.processes import ContainedProcess
from trainer.publishing.publish import publish

KINDS = (
    "AdaBoostClassifier",
    "ColumnTransformer (with an imputer)",
    "GradientBoostingClassifier",
    "HistGradientBoostingRegressor",
    "IsolationForest",
    "MultiOutputClassifier",
    "PLSRegression",
    "RandomForestClassifier",
    "RandomForestClassifier (several outputs)",
    "SVC (probability=True)",
    "TfidfVectorizer",
    "a class around a forest (cloudpickle)",
    "a step of one's own (code beside)",
)
FOREST = "RandomForestClassifier"


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def python(request: pytest.FixtureRequest) -> Path:
    return environment_for_tests(request.param).interpreter


@pytest.fixture(scope="module")
def saved(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files that the release has saved."""
    folder = tmp_path_factory.mktemp("saved")
    command = [str(python), str(PROJECT / "tests/qa/zoo/releases/fit.py"), str(folder), *KINDS]
    subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD})  # without our code
    return folder


def test_models_answer_under_their_own_release_as_where_they_were_fitted(python: Path, saved: Path) -> None:
    printed = run(python, saved, "-m", "tests.qa.zoo.releases.verdicts", str(saved), "--exactly")
    assert dict(map(json.loads, printed.splitlines())) == dict.fromkeys(KINDS, SAME)


def test_the_trial_of_an_environment_examines_a_file_and_verifies_its_version(
    python: Path, saved: Path, tmp_path: Path
) -> None:
    shutil.copy(saved / f"{FOREST}.pkl", tmp_path / FILE)
    data = (tmp_path / FILE).read_bytes()
    task = ImportTask("m", hashlib.sha256(data).hexdigest(), None, None, 60, 0, 100)
    asked = "import json, scoring.artifacts as a; print(json.dumps(a.library_versions()))"
    libraries = json.loads(run(python, tmp_path, "-c", asked))
    with Forks(template=_template(python, tmp_path)) as trial:
        ended = trial.run(ForkTask.EXAMINE, {"folder": str(tmp_path), "task": dataclasses.asdict(task)}, 60)
        draft = ManifestDraft.loads(json.dumps(json.loads(json.loads(ended.answer)["draft"])))
        assert draft.artifact.kernels is None  # kernels are compared with today's release
        assert not any("scikit-learn" in remark for remark in draft.warnings)
        (tmp_path / "models").mkdir()
        published = publish(RepositoryWriter(tmp_path / "models"), data, draft, forks=trial, libraries=libraries)
    assert f"sklearn-{published.libraries['scikit-learn']}".startswith(python.parents[1].name)


def _template(python: Path, links: Path) -> TaskTemplate:
    control, theirs = socket.socketpair()
    with theirs:
        process = ContainedProcess(
            [str(python), "-m", forks.FILES, str(theirs.fileno())],
            env=variables(links),
            pass_fds=(theirs.fileno(),),
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    return TaskTemplate(control, process)
