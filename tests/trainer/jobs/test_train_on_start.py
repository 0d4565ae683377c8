"""`python -m trainer` trains the models of TRAIN_ON_START, restarts its processes, and stops on a signal."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from redis import Redis

from broker.records.job_kinds import TRAINING
from broker.sides.trainer import unfinished
from contract.model.repository import Repository
from runtime.health import ask
from storage.models.repository_writer import RepositoryWriter
from tests.support import DEADLINE, PROJECT, command_line, gone, until
from tests.trainer.fitting import fitted
from tests.trainer.trainers import GATED
from trainer import recipes
from trainer.jobs.train_on_start import RETRY, TrainOnStart, missing_models
from trainer.publishing.aliases import move_alias
from trainer.publishing.publish import publish
from trainer.publishing.signing import UNSIGNED

Run = subprocess.Popen[str]


@contextmanager
def trainer(root: Path, redis_url: str, *arguments: str, cwd: Path = PROJECT, **settings: str) -> Iterator[Run]:
    """Run `python -m trainer`, with its health sockets beside `root`, and kill it afterwards."""
    environment = {k: v for k, v in os.environ.items() if k != "DATA_DIR"}
    settings = {"STATE_DIR": str(root.absolute().parent), "STOP_GRACE": "5", **settings}
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", *arguments],
        cwd=cwd,
        env={**environment, "REDIS_URL": redis_url, "MODELS_DIR": str(root), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        kill(process)
        if process.stdout and not process.stdout.closed:
            sys.stdout.write(process.stdout.read())  # pytest shows it if the test fails


def kill(process: Run) -> None:
    """Kill it with its processes, as when its container is killed."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    for member in [process, *family]:
        with suppress(psutil.NoSuchProcess):  # it ends with the one that was killed before it
            member.kill()
    process.wait()
    until(lambda: gone(family), "all of it is gone")


def well(root: Path, name: str = "scheduler") -> bool:
    return ask(root.absolute().parent / f"{name}.health") == ""


def test_the_first_start_trains_missing_models_and_then_waits(root: Path, redis: Redis, redis_url: str) -> None:
    with trainer(root, redis_url, TRAIN_ON_START="blobs") as process:
        until(lambda: well(root), "every missing model has been tried")
        assert Repository(root).aliases("blobs") == {"current": 1}
        until(lambda: all(well(root, name) for name in ("training", "publishing", "inbox")), "all are well")
        until(lambda: not unfinished(redis, TRAINING), "the end of the training, which comes after its alias")
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    lines = [line.split(maxsplit=2)[2] for line in said.splitlines()]
    assert any(line.startswith("trainer: blobs: training on scikit-learn: make_classification") for line in lines)
    assert any(line.startswith("trainer: the training succeeded") for line in lines)
    assert "trainer: ready" in lines


def test_without_redis_or_a_secret_that_can_be_made_it_does_not_start(root: Path) -> None:
    for url, settings, reason in (
        ("", {}, "REDIS_URL is not set; the trainer needs the Redis that the gateway uses"),
        (
            "redis://127.0.0.1:1",
            {"STATE_DIR": "/proc"},
            "the secret of gateway and trainer, /proc/shared/trainer.secret, ",
        ),
    ):
        with trainer(root, url, TRAIN_ON_START="none", **settings) as process:
            said, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode == 2
        assert said.partition(" ERROR ")[2].startswith(f"trainer: {reason}")


@pytest.mark.slow
def test_all_processes_of_the_trainer_use_the_same_folder(tmp_path: Path, redis: Redis, redis_url: str) -> None:
    with trainer(
        Path("models"), redis_url, cwd=tmp_path, PYTHONPATH=str(PROJECT), TRAIN_ON_START="none", STATE_DIR=str(tmp_path)
    ):
        until((tmp_path / "models" / "inbox").is_dir, "the inbox")


@pytest.mark.slow
def test_a_process_that_dies_is_started_again(root: Path, redis: Redis, redis_url: str) -> None:
    with trainer(root, redis_url, TRAIN_ON_START="none") as process:
        for module in ("runner", "scheduler", "inbox"):

            def running(module: str = module) -> psutil.Process | None:
                children = psutil.Process(process.pid).children()
                return next((child for child in children if module in " ".join(command_line(child))), None)

            victim = until(running, module)
            victim.kill()
            until(lambda v=victim, r=running: (now := r()) and now.pid != v.pid, f"{module} is back")


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_in_the_middle_of_training_ends_it_at_once(
    root: Path, tmp_path: Path, redis: Redis, redis_url: str, number: signal.Signals
) -> None:
    with trainer(root, redis_url, **gated(tmp_path)) as process:
        assert said(process, "at the gate")
        process.send_signal(number)
        process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert Repository(root).versions("gated") == []


class Rounds:
    """Replaces the clock, the look into the repository and the queue, so that minutes pass at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path, plan: dict[int, set[str]]) -> None:
        """`plan`: the models that go missing, by second. A training takes two seconds."""
        self.now, self.plan, self.missing = 0, plan, set[str]()
        self.submitted: list[tuple[int, str]] = []
        self.ready: list[int] = []
        monkeypatch.setattr("trainer.jobs.train_on_start.missing_models", lambda *_: self._missing())
        self.on_start = TrainOnStart(RepositoryWriter(root), ["loan", "iris"], UNSIGNED, self._submit, lambda: self.now)

    def run(self, seconds: int, submits: bool = True) -> Rounds:
        for self.now in range(seconds):
            self.missing |= self.plan.pop(self.now, set())
            if ("iris" in self.missing) and "iris" not in self._unfinished() and self._last("iris") == self.now - 2:
                self.missing -= {"iris"}  # the other one cannot be trained
            self.on_start.look(self._unfinished, submits)
            self.ready += [self.now] if self.on_start.ready else []
        return self

    def _last(self, name: str) -> int | None:
        return max((second for second, submitted in self.submitted if submitted == name), default=None)

    def _missing(self) -> dict[str, str | None]:
        return {name: "it is broken" if name == "iris" else None for name in sorted(self.missing, reverse=True)}

    def _submit(self, name: str) -> None:
        self.submitted.append((self.now, name))

    def _unfinished(self) -> list[str]:
        return [name for second, name in self.submitted if self.now < second + 2]


def test_a_failed_training_is_retried_a_minute_after_its_end(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = Rounds(monkeypatch, root, {0: {"loan"}}).run(150)
    after = int(RETRY) + 1
    assert rounds.submitted == [(0, "loan"), (after, "loan"), (2 * after, "loan")]
    assert rounds.ready[0] == 2


def test_a_model_that_goes_missing_is_trained_at_the_next_look(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = Rounds(monkeypatch, root, {0: {"loan", "iris"}, 100: {"iris"}}).run(101)
    assert rounds.submitted == [(0, "loan"), (0, "iris"), (61, "loan"), (100, "iris")]
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == ["iris: it is broken"] * 2


def test_missing_models_are_left_to_the_trainer_that_schedules(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = Rounds(monkeypatch, root, {0: {"loan"}})
    assert rounds.run(10, submits=False).submitted == []
    assert rounds.run(10).submitted == [(0, "loan")]


def gated(folder: Path) -> dict[str, str]:
    """Return the settings with which a recipe `gated` is trained once the file `gate` exists."""
    (recipes := folder / "recipes").mkdir()
    (recipes / "gated.py").write_text(GATED)
    return {"RECIPES_DIR": str(recipes), "RECIPE_GATE": str(folder / "gate"), "TRAIN_ON_START": "gated"}


def said(process: Run, text: str) -> bool:
    """Read what the trainer prints until `text`."""
    assert process.stdout
    return any(text in line for line in process.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_of_two_trainers_one_trains_a_missing_model(
    root: Path, tmp_path: Path, redis: Redis, redis_url: str, killed: bool
) -> None:
    settings = gated(tmp_path)
    with trainer(root, redis_url, **settings) as first:
        assert said(first, "at the gate")
        with trainer(root, redis_url, "--health-dir", str(tmp_path / "recipes"), **settings) as second:
            if killed:
                kill(first)
                assert said(second, "at the gate")
            (tmp_path / "gate").touch()
            until(lambda: ask(tmp_path / "recipes" / "scheduler.health") == "", "the second is ready")
    assert Repository(root).versions("gated") == [1]


@pytest.fixture
def published(root: Path, unverified: None) -> Path:
    recipe = recipes.get("blobs")
    publish(RepositoryWriter(root), *fitted(recipe))
    move_alias(RepositoryWriter(root), "blobs", "current", 1)
    return root


def test_a_published_model_is_not_missing(published: Path) -> None:
    assert missing_models(RepositoryWriter(published), ["blobs"], UNSIGNED) == {}


def test_a_model_of_another_environment_is_not_missing(published: Path) -> None:
    file = published / "blobs/versions/1/manifest.json"
    manifest = json.loads(file.read_text())
    manifest |= {"environment": "sklearn-1.2", "libraries": {**manifest["libraries"], "numpy": "1.26.4"}}
    file.write_text(json.dumps(manifest))
    assert missing_models(RepositoryWriter(published), ["blobs"], UNSIGNED) == {}


def test_a_model_that_was_deleted_is_missing(published: Path) -> None:
    (published / "blobs").rename(published / "elsewhere")
    assert missing_models(RepositoryWriter(published), ["blobs"], UNSIGNED) == {"blobs": None}


def test_a_model_whose_current_version_is_gone_is_missing(published: Path) -> None:
    (published / "blobs/versions/1").rename(published / "elsewhere")
    assert "not in the model repository" in str(
        missing_models(RepositoryWriter(published), ["blobs"], UNSIGNED)["blobs"]
    )


def test_a_model_whose_manifest_does_not_parse_is_missing(published: Path) -> None:
    (published / "blobs/versions/1/manifest.json").write_text("{")
    assert "is not JSON" in str(missing_models(RepositoryWriter(published), ["blobs"], UNSIGNED)["blobs"])


def test_a_model_that_this_environment_cannot_load_is_missing(published: Path) -> None:
    manifest = Repository(published).manifest("blobs", 1)
    old = dataclasses.replace(manifest, libraries={**manifest.libraries, "scikit-learn": "0.19.0"})
    (published / "blobs/versions/1/manifest.json").write_text(old.dumps())
    assert "was made with scikit-learn 0.19.0" in str(
        missing_models(RepositoryWriter(published), ["blobs"], UNSIGNED)["blobs"]
    )
