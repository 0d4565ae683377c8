"""Fixtures of the trainer's tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import contract
import modelgate_artifacts
import runtime
import scoring
from scoring.artifacts import library_versions
from tests.leftovers import belonging_to
from trainer.forks import Forks
from trainer.importing.edits.signature_trial import try_edit
from trainer.importing.import_process import ARTIFACT, CODE, FILE, SAMPLE, ImportResult, ImportTask, SignatureEdit
from trainer.importing.trial.examine import examine

GOLDEN = """
import importlib.util, pathlib, sys
assert importlib.util.find_spec("trainer") is None
from contract.model.repository import Repository
from scoring.artifacts import load
from scoring.predict import predict
from scoring.trust import Trust
repository = Repository(pathlib.Path(sys.argv[1]))
name, version = repository.resolve(sys.argv[2])
manifest = repository.manifest(name, version)
answer = predict(load(manifest, repository.files(name, version), Trust()), manifest, manifest.golden.rows)
assert tuple(answer.values) == manifest.golden.predictions
"""


def check_without_trainer(models: Path, reference: str, folder: Path) -> None:
    """Check that a process without the trainer predicts the golden rows without a warning."""
    worker = folder / "worker"
    worker.mkdir()
    for package in (contract, runtime, scoring, modelgate_artifacts):
        (worker / package.__name__).symlink_to(Path(package.__path__[0]))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-c", GOLDEN, str(models), reference]
    done = subprocess.run(command, cwd=worker, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The path of a model repository that does not exist yet."""
    return tmp_path / "models"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the blog posts' CSV files. In CI it must exist; elsewhere tests are skipped without it."""
    folder = os.environ.get("DATA_DIR", "")
    if folder and (Path(folder) / "loan.csv").is_file():
        return Path(folder)
    reason = f"DATA_DIR ({folder or 'not set'}) does not hold the posts' CSV files"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishes without the fresh process, which takes over a second: for tests of something else."""
    monkeypatch.setattr("trainer.publishing.publish.verify", lambda *_: None)


class SharedForks(Forks):
    """Its templates are there until the end of `scope`, whichever test starts them."""

    def __init__(self, scope: str) -> None:
        super().__init__()
        self._scope = scope

    def _template(self, another_hash_seed: bool) -> Any:
        with belonging_to(self._scope):
            return super()._template(another_hash_seed)


@pytest.fixture(scope="session")
def template() -> Iterator[Forks]:
    with SharedForks("session") as forks:
        yield forks


@pytest.fixture(autouse=True)
def _one_template(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forks the fresh processes of all tests from one template: the start of a template takes over a second."""
    if "own_template" in request.fixturenames:
        return

    @contextmanager
    def shared(forks: Forks | None) -> Iterator[Forks]:
        yield forks or request.getfixturevalue("template")

    for module in ("importing.inbox.imports", "publishing.publish"):
        monkeypatch.setattr(f"trainer.{module}.forks_or_own", shared)


@pytest.fixture
def own_template() -> None:
    """Starts a template for each fresh process of a test that forks itself: a template has one owner."""


def leave_out_reports(patch: pytest.MonkeyPatch) -> None:
    """Write no reports, which saves several seconds of drawing."""
    patch.setattr("trainer.training.train.gather", lambda _: {})
    patch.setattr("trainer.training.train.draw_report", lambda _: lambda _: {})


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains without the report: for tests of something else."""
    leave_out_reports(monkeypatch)


@pytest.fixture
def examined_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports without the throwaway process, which takes over a second: for tests of something else."""

    def examine_in_process(folder: Path, task: ImportTask, _forks: Forks) -> ImportResult:
        rows = folder / SAMPLE if task.sample_sha256 else None
        code = folder / CODE if task.code_sha256 else None
        if task.edit is None:
            examined = examine(task.name, folder / FILE, rows, task.sha256, task.sample_sha256, code, task.code_sha256)
        else:
            examined = try_edit(folder / FILE, SignatureEdit.from_json(task.edit))
        if examined.artifact is not None:
            (folder / ARTIFACT).write_bytes(examined.artifact)
        facts = dict(examined.facts) if examined.facts else None
        return ImportResult(examined.draft, examined.sha256, facts, library_versions(), examined.background)

    for module in ("inbox.homes", "edits.signature_edits"):
        monkeypatch.setattr(f"trainer.importing.{module}.examine_in_process", examine_in_process)


@pytest.fixture
def own_signals() -> Iterator[None]:
    """Restores the signal handlers that an entry point changes."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in handlers.items():
        signal.signal(number, handler)
