"""The trainer trains missing models, and stops on a signal."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract.repository import Repository
from tests.support import PROJECT, until
from tests.trainer.fitting import fitted
from tests.trainer.trainers import GATED
from trainer import missing, recipes
from trainer.publishing.aliases import move_alias
from trainer.publishing.disk import locked
from trainer.publishing.publish import publish
from trainer.publishing.signing import UNSIGNED, SigningPolicy
from trainer.stop_signal import StopSignal

Run = subprocess.Popen[str]


@contextmanager
def trainer(root: Path, *arguments: str, cwd: Path = PROJECT, **settings: str) -> Iterator[Run]:
    """Run `python -m trainer`, and kill it afterwards."""
    environment = {k: v for k, v in os.environ.items() if k not in ("DATA_DIR", "REDIS_URL")}
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", *arguments],
        cwd=cwd,
        env={**environment, "MODELS_DIR": str(root), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_first_start_trains_missing_models_and_then_waits(root: Path, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.touch()
    with trainer(root, "--ready-file", str(ready), TRAIN_ON_START="blobs") as process:
        until(lambda: Repository(root).names() == ["blobs"], "a model")
        until(ready.exists, "the ready file")
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        said, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    zeroth, first, second, third, last = (line.split(maxsplit=2)[2] for line in said.splitlines())
    assert zeroth == "trainer: REDIS_URL is not set, so no model can be trained over HTTP"
    assert first == "trainer: blobs: training on scikit-learn: make_classification (100 rows)"
    assert second.startswith("trainer: blobs: version 1 published, training accuracy 0.930, ")
    assert (third, last) == ("trainer: ready", "trainer: stopped")


def test_with_redis_and_a_secret_that_cannot_be_made_it_does_not_start(root: Path) -> None:
    with trainer(root, REDIS_URL="redis://127.0.0.1:1", STATE_DIR="/proc", TRAIN_ON_START="none") as process:
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said.partition(" ERROR ")[2].startswith(
        "trainer: the secret of gateway and trainer, /proc/shared/trainer.secret, cannot be read or created"
    )


def test_all_processes_of_the_trainer_use_the_same_folder(tmp_path: Path) -> None:
    with trainer(Path("models"), cwd=tmp_path, PYTHONPATH=str(PROJECT), TRAIN_ON_START="none"):
        until((tmp_path / "models" / "inbox").is_dir, "the inbox")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_training_ends_it_at_once(root: Path, number: signal.Signals) -> None:
    with trainer(root, TRAIN_ON_START="blobs,boston,iris,loan,sepals") as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert len(Repository(root).names()) < 5


class Rounds:
    """Replaces the clock, the stop signal and training, so that minutes pass at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path, plan: dict[float, set[str]]) -> None:
        """`plan`: the models that go missing, by second."""
        self.now, self.end = 0.0, 150.0
        self.plan, self.missing = plan, set[str]()
        self.trained: list[tuple[float, list[str]]] = []
        monkeypatch.setattr(missing, "missing_models", self.missing_models)
        monkeypatch.setattr(missing, "_train", self.train)
        monkeypatch.setattr(missing.time, "monotonic", lambda: self.now)
        missing.train_missing(root, ["loan", "iris"], UNSIGNED, None, self)

    def missing_models(self, root: Path, names: Sequence[str], signing: SigningPolicy) -> dict[str, str | None]:
        self.missing |= self.plan.pop(self.now, set())
        return {name: "it is broken" if name == "iris" else None for name in names if name in self.missing}

    def train(self, names: Sequence[str], lock: int, stop: StopSignal) -> bool:
        self.trained.append((self.now, list(names)))
        self.missing -= {"iris"}  # the other one cannot be trained
        return True

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return self.now >= self.end


def test_a_failed_training_is_retried_after_a_minute(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = Rounds(monkeypatch, root, {0: {"loan"}}).trained
    assert trained == [(0, ["loan"]), (60, ["loan"]), (120, ["loan"])]


def test_a_model_that_goes_missing_is_trained_at_the_next_look(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trained = Rounds(monkeypatch, root, {0: {"loan", "iris"}, 20: {"iris"}, 25: {"iris"}}).trained
    assert trained[:3] == [(0, ["loan", "iris"]), (20, ["iris"]), (25, ["iris"])]
    assert caplog.messages == ["iris: it is broken"] * 3


def test_missing_models_are_left_to_another_trainer_that_trains_some(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with locked(root, missing.LOCK):
        assert Rounds(monkeypatch, root, {0: {"loan"}}).trained == []
    assert Rounds(monkeypatch, root, {0: {"loan"}}).trained[0] == (0, ["loan"])


def said(process: Run, *texts: str) -> str | None:
    """Return the first of `texts` that the trainer prints."""
    assert process.stdout
    return next((text for line in process.stdout for text in texts if text in line), None)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_of_two_trainers_one_trains_a_missing_model(root: Path, tmp_path: Path, killed: bool) -> None:
    gate, files = tmp_path / "gate", [tmp_path / "first", tmp_path / "second"]
    (own := tmp_path / "recipes").mkdir()
    (own / "gated.py").write_text(GATED)
    settings = {"RECIPES_DIR": str(own), "RECIPE_GATE": str(gate), "TRAIN_ON_START": "gated"}
    with trainer(root, "--ready-file", str(files[0]), **settings) as first:
        assert said(first, "at the gate")
        with trainer(root, "--ready-file", str(files[1]), **settings) as second:
            assert said(second, "another trainer trains", "at the gate") == "another trainer trains"
            if killed:
                first.kill()
                assert said(second, "at the gate")
            gate.touch()
            until(lambda: all(file.exists() for file in files[killed:]), "each trainer that is left is ready")
    assert Repository(root).versions("gated") == [1]


@pytest.fixture
def published(root: Path, unverified: None) -> Path:
    recipe = recipes.get("blobs")
    publish(root, *fitted(recipe))
    move_alias(root, "blobs", "current", 1)
    return root


def test_a_published_model_is_not_missing(published: Path) -> None:
    assert missing.missing_models(published, ["blobs"], UNSIGNED) == {}


def test_a_model_that_was_deleted_is_missing(published: Path) -> None:
    (published / "blobs").rename(published / "elsewhere")
    assert missing.missing_models(published, ["blobs"], UNSIGNED) == {"blobs": None}


def test_a_model_whose_current_version_is_gone_is_missing(published: Path) -> None:
    (published / "blobs/versions/1").rename(published / "elsewhere")
    assert "not in the model repository" in str(missing.missing_models(published, ["blobs"], UNSIGNED)["blobs"])


def test_a_model_whose_manifest_does_not_parse_is_missing(published: Path) -> None:
    (published / "blobs/versions/1/manifest.json").write_text("{")
    assert "is not JSON" in str(missing.missing_models(published, ["blobs"], UNSIGNED)["blobs"])


def test_a_model_that_this_environment_cannot_load_is_missing(published: Path) -> None:
    manifest = Repository(published).manifest("blobs", 1)
    old = dataclasses.replace(manifest, libraries={**manifest.libraries, "scikit-learn": "0.19.0"})
    (published / "blobs/versions/1/manifest.json").write_text(old.dumps())
    assert "was made with scikit-learn 0.19.0" in str(missing.missing_models(published, ["blobs"], UNSIGNED)["blobs"])
