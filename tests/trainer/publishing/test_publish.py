"""Readers of the model repository see complete versions only, whatever happens to publishers."""

from __future__ import annotations

import copy
import dataclasses
import fcntl
import hashlib
import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from contract.model.card_text import markdown
from contract.model.manifest import ArtifactFormat, ManifestDraft, ModelManifest
from contract.model.model_card import kept_card
from contract.model.repository import Repository
from scoring import artifacts
from scoring.predict import predict
from scoring.trust import Trust
from storage.models import repository_writer
from storage.models.repository_writer import STAGING, RepositoryWriter
from tests.trainer.conftest import check_without_trainer
from tests.trainer.fitting import fitted
from trainer import recipes
from trainer.publishing import publish as publishing
from trainer.publishing.aliases import move_alias
from trainer.publishing.publish import PublishRefused, publish


@pytest.fixture(scope="module")
def blobs() -> tuple[Any, ManifestDraft]:
    """A fitted estimator and the draft of its manifest."""
    recipe = recipes.get("blobs")
    return fitted(recipe)


def whole_versions(root: Path, name: str = "blobs") -> list[int]:
    """Return every version that a reader finds, after checking that it is complete."""
    repository = Repository(root)
    for version in repository.versions(name):
        manifest = repository.manifest(name, version)
        estimator = artifacts.load(manifest, repository.files(name, version), Trust())
        answer = predict(estimator, manifest, manifest.golden.rows)
        assert tuple(answer.values) == manifest.golden.predictions
    for version in repository.aliases(name).values():
        assert version in repository.versions(name)
    return repository.versions(name)


def leftovers(root: Path) -> list[str]:
    return [entry.name for entry in (root / STAGING).iterdir() if entry.is_dir()]


def forked(work: Callable[[], object]) -> int:
    """The pid of a copy of this process that does `work` and ends with 0, or 1 when it raises."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def publish_and_move(root: Path, estimator: Any, draft: ManifestDraft) -> None:
    move_alias(RepositoryWriter(root), draft.name, "current", publish(RepositoryWriter(root), estimator, draft).version)


def test_a_published_version_is_whole_and_waits_for_its_alias(root: Path, blobs: tuple[Any, ManifestDraft]) -> None:
    published = publish(RepositoryWriter(root), *blobs)
    assert whole_versions(root) == [1]
    assert Repository(root).aliases("blobs") == {}
    assert Repository(root).resolve("blobs@1") == ("blobs", 1)
    assert Repository(root).manifest("blobs", 1) == published
    assert published.libraries == artifacts.library_versions()
    assert published.created_at.endswith("Z")
    data = (root / "blobs/versions/1" / published.artifact.file).read_bytes()
    assert (published.artifact.size, published.artifact.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert leftovers(root) == []


@pytest.mark.usefixtures("unverified")
def test_a_second_version_leaves_the_aliases_where_they_are(root: Path, blobs: tuple[Any, ManifestDraft]) -> None:
    publish(RepositoryWriter(root), *blobs)
    move_alias(RepositoryWriter(root), "blobs", "current", 1)
    assert publish(RepositoryWriter(root), *blobs).version == 2
    assert Repository(root).aliases("blobs") == {"current": 1}
    assert whole_versions(root) == [1, 2]


@pytest.mark.usefixtures("unverified")
def test_a_report_is_published_with_its_version(root: Path, blobs: tuple[Any, ManifestDraft]) -> None:
    def report(manifest: ModelManifest) -> dict[str, bytes]:
        return {"roc.png": b"", "report.html": f"{manifest.name} {manifest.version}".encode()}

    publish(RepositoryWriter(root), *blobs, report=report)
    assert (root / "blobs/versions/1/report/report.html").read_text() == "blobs 1"
    assert (root / "blobs/versions/1/report/roc.png").exists()


@pytest.mark.usefixtures("unverified")
def test_a_version_is_published_with_its_card(root: Path, blobs: tuple[Any, ManifestDraft]) -> None:
    def report(manifest: ModelManifest) -> dict[str, bytes]:
        return {"report.json": json.dumps({"verdict": f"as good as version {manifest.version - 1}"}).encode()}

    first, second = publish(RepositoryWriter(root), *blobs), publish(RepositoryWriter(root), *blobs, report=report)
    cards = [json.loads(Repository(root).files("blobs", version).report("card.json")) for version in (1, 2)]
    assert cards == [kept_card(Repository(root), manifest) for manifest in (first, second)]
    assert cards[0]["figures"]["verdict"] is None
    assert cards[0]["limits"][0] == "Nothing shows how good it is: it has no report."
    assert cards[1]["figures"]["verdict"] == "as good as version 1"
    text = Repository(root).files("blobs", 2).report("card.md").decode()
    assert text == markdown(cards[1]) and text.startswith("# blobs, version 2\n")


@pytest.mark.usefixtures("unverified")
def test_a_report_that_fails_does_not_stop_the_publication(
    root: Path, blobs: tuple[Any, ManifestDraft], caplog: pytest.LogCaptureFixture
) -> None:
    def report(manifest: ModelManifest) -> dict[str, bytes]:
        raise ZeroDivisionError

    publish(RepositoryWriter(root), *blobs, report=report)
    assert whole_versions(root) == [1]
    kept = sorted(path.name for path in (root / "blobs/versions/1/report").iterdir())
    assert kept == ["card.json", "card.md"]
    assert "version 1 of blobs is published without a report" in caplog.text


@pytest.mark.usefixtures("unverified")
def test_a_number_is_not_used_again_when_a_model_was_deleted(root: Path, blobs: tuple[Any, ManifestDraft]) -> None:
    publish(RepositoryWriter(root), *blobs)
    publish(RepositoryWriter(root), *blobs)
    (root / "blobs").rename(root / "deleted")
    assert publish(RepositoryWriter(root), *blobs).version == 3


@pytest.mark.usefixtures("unverified")
def test_a_number_that_lies_on_disk_is_not_used_again(root: Path, blobs: tuple[Any, ManifestDraft]) -> None:
    (root / "blobs/versions/7").mkdir(parents=True)
    assert publish(RepositoryWriter(root), *blobs).version == 8


@pytest.mark.usefixtures("unverified")
def test_everyone_may_read_what_the_umask_lets_them(root: Path, blobs: tuple[Any, ManifestDraft]) -> None:
    before = os.umask(0o022)
    try:
        publish(RepositoryWriter(root), *blobs)
    finally:
        os.umask(before)
    for path in [root / "blobs", *(root / "blobs").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


@pytest.mark.usefixtures("unverified")
@pytest.mark.parametrize("before", [0, 1])
def test_a_publisher_killed_at_any_point_leaves_whole_versions_only(
    root: Path, blobs: tuple[Any, ManifestDraft], monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    for _ in range(before):
        publish_and_move(root, *blobs)

    def die_before(operation: int) -> None:
        """Die by SIGKILL instead of the disk operation with that number."""
        left = iter(range(operation))
        for name in ("mkdir", "open", "fsync", "rename", "replace", "rmdir"):
            real = getattr(os, name)

            def counted(*arguments: Any, real: Any = real, **more: Any) -> Any:
                if next(left, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **more)

            monkeypatch.setattr(os, name, counted)
        publish_and_move(root, *blobs)

    seen, served = set(whole_versions(root)), before
    for operation in range(100):
        _, status = os.waitpid(forked(lambda operation=operation: die_before(operation)), 0)
        versions = whole_versions(root)
        current = Repository(root).aliases("blobs").get("current", 0)
        assert seen <= set(versions), "a version that was there is gone"
        assert current >= served, "the version that was served is no longer"
        seen, served = seen | set(versions), current
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
    assert operation > 10
    assert status == 0
    assert served == max(seen)
    assert leftovers(root) == []


@pytest.mark.usefixtures("own_template")
def test_two_processes_that_publish_a_model_at_once_make_two_complete_versions(
    root: Path, blobs: tuple[Any, ManifestDraft]
) -> None:
    children = [forked(lambda: publish_and_move(root, *blobs)) for _ in range(2)]
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0]
    assert whole_versions(root) == [1, 2]
    aliases = Repository(root).aliases("blobs")
    assert {*aliases} == {"current", "previous"}
    assert {*aliases.values()} == {1, 2}


class Turncoat:
    """Predicts as `inner` until it is pickled, and differently after loading."""

    def __init__(self, inner: Any, pickled: Any) -> None:
        self.inner, self.pickled = inner, pickled

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __reduce__(self) -> Any:
        return copy.copy, (self.pickled,)


def test_a_model_that_answers_otherwise_after_loading_is_refused(root: Path, blobs: tuple[Any, ManifestDraft]) -> None:
    estimator, draft = blobs
    other = type(estimator)().fit([[0.0, 0.0], [1.0, 1.0]], [1, 0])
    with pytest.raises(PublishRefused, match=r"golden row 0 gave .* when the model was trained"):
        publish(RepositoryWriter(root), Turncoat(estimator, other), draft)
    assert Repository(root).versions("blobs") == []
    assert leftovers(root) == []


def test_a_model_that_draws_its_answers_is_refused_with_that_reason(
    root: Path, blobs: tuple[Any, ManifestDraft]
) -> None:
    estimator, draft = blobs
    random = DummyClassifier(strategy="uniform").fit([[0.0, 0.0], [1.0, 1.0]] * 9, estimator.classes_[[0, 1]].repeat(9))
    draft = dataclasses.replace(draft, golden=dataclasses.replace(draft.golden, probabilities=None))
    with pytest.raises(PublishRefused, match="answers the same rows differently each time, since it draws random"):
        publish(RepositoryWriter(root), random, draft)
    assert Repository(root).versions("blobs") == []


def test_an_artifact_that_is_damaged_on_its_way_to_the_disk_is_refused(
    root: Path, blobs: tuple[Any, ManifestDraft], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = repository_writer.write

    def damage(path: Path, data: bytes) -> None:
        real(path, data[:-1] + b"!" if path.suffix == ".joblib" else data)

    monkeypatch.setattr(repository_writer, "write", damage)
    with pytest.raises(PublishRefused, match="wrong checksum"):
        publish(RepositoryWriter(root), *blobs)
    assert Repository(root).versions("blobs") == []


def test_an_artifact_that_needs_its_recipe_is_refused_with_a_way_out(root: Path) -> None:
    recipe = dataclasses.replace(recipes.get("loan"), artifact_format=ArtifactFormat.JOBLIB)
    with pytest.raises(PublishRefused, match=r"trainer\.recipes.* needs artifact_format=CLOUDPICKLE"):
        publish(RepositoryWriter(root), *fitted(recipe))
    assert Repository(root).versions("loan") == []


def test_a_model_that_cannot_be_pickled_is_refused(root: Path, blobs: tuple[Any, ManifestDraft]) -> None:
    with pytest.raises(PublishRefused, match="cannot be written as joblib"):
        publish(RepositoryWriter(root), open(os.devnull), blobs[1])  # noqa: SIM115, PTH123


@pytest.mark.slow
@pytest.mark.usefixtures("unverified")
def test_an_artifact_loads_and_predicts_without_the_trainer(root: Path, tmp_path: Path) -> None:
    recipe = recipes.get("loan")
    manifest = publish(RepositoryWriter(root), *fitted(recipe))
    assert manifest.artifact.format is ArtifactFormat.CLOUDPICKLE
    check_without_trainer(root, "loan@1", tmp_path)


def test_sweeping_removes_folders_of_dead_publishers_only(root: Path) -> None:
    RepositoryWriter(root).sweep()
    for folder in ("loan-1234", "my-iris-5678"):
        (root / STAGING / folder).mkdir()
    with (root / STAGING / "my-iris.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        RepositoryWriter(root).sweep()
        assert leftovers(root) == ["my-iris-5678"]
    RepositoryWriter(root).sweep()
    assert leftovers(root) == []


def test_a_link_in_place_of_the_staging_area_leads_to_nothing_being_removed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "home" / "work").mkdir(parents=True)
    root.mkdir(exist_ok=True)
    (root / STAGING).symlink_to(tmp_path / "home")
    with pytest.raises(OSError, match="Not a directory"):
        RepositoryWriter(root).sweep()
    assert os.listdir(tmp_path / "home") == ["work"]


def test_a_link_in_place_of_a_lock_is_not_written_through(
    root: Path, tmp_path: Path, blobs: tuple[Any, ManifestDraft]
) -> None:
    RepositoryWriter(root).sweep()
    (tmp_path / "key").write_text("as it was")
    (root / STAGING / "blobs.lock").symlink_to(tmp_path / "key")
    with pytest.raises(OSError, match="symbolic link"):
        publish(RepositoryWriter(root), *blobs)
    assert (tmp_path / "key").read_text() == "as it was"


@pytest.mark.usefixtures("unverified")
def test_publishing_sweeps_its_own_model_only(root: Path, blobs: tuple[Any, ManifestDraft]) -> None:
    RepositoryWriter(root).sweep()
    for folder in ("blobs-1234", "blobs-two-5678"):
        (root / STAGING / folder).mkdir()
    publish(RepositoryWriter(root), *blobs)
    assert leftovers(root) == ["blobs-two-5678"]


def test_a_model_repository_that_cannot_be_made_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory"):
        RepositoryWriter(tmp_path / "file" / "models").sweep()


def test_a_model_that_takes_too_long_to_load_is_refused(
    root: Path, blobs: tuple[Any, ManifestDraft], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "VERIFY_TIMEOUT", 0.01)
    with pytest.raises(PublishRefused, match=r"loading takes over 0\.01 s"):
        publish(RepositoryWriter(root), *blobs)


def test_numbers_that_json_cannot_hold_are_not_published(root: Path, blobs: tuple[Any, ManifestDraft]) -> None:
    estimator, draft = blobs
    with pytest.raises(ValueError, match="JSON"):
        publish(RepositoryWriter(root), estimator, dataclasses.replace(draft, metrics={"r2": float(np.nan)}))
    assert Repository(root).versions("blobs") == []
    assert leftovers(root) == []
