"""A model is removed whole and restored whole, and no number of a version ever means two things."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path

import pytest

from contract.model.repository import REMOVED, Repository
from storage.models.repository_writer import STAGING, RepositoryWriter
from tests.support import Sum, numbers, write_version
from tests.trainer.fitting import fitted
from tests.trainer.publishing.test_aliases import refused
from trainer import recipes
from trainer.jobs.train_on_start import missing_models
from trainer.publishing.aliases import move_alias
from trainer.publishing.publish import publish
from trainer.publishing.signing import UNSIGNED


@pytest.fixture
def three(models: Path) -> Path:
    """A model repository with three versions of `sum`, of which the last is current."""
    for version in (1, 2, 3):
        write_version(models, "sum", Sum(), numbers("a"), version=version)
    move_alias(RepositoryWriter(models), "sum", "current", 3)
    return models


def published_again(root: Path) -> int:
    """Publish another model as `sum`, and return the number of its version."""
    estimator, draft = fitted(recipes.get("blobs"))
    return publish(RepositoryWriter(root), estimator, dataclasses.replace(draft, name="sum")).version


def age(root: Path, model: str, days: float) -> None:
    """Let what was removed of a model be older by `days`."""
    for folder in (root / REMOVED / model).iterdir():
        folder.rename(folder.with_name(str(int(folder.name) - round(days * 86_400_000))))


def test_a_removed_model_is_gone_for_readers_and_comes_back_as_it_was(three: Path) -> None:
    reader = Repository(three)
    aliases, manifest = reader.aliases("sum"), reader.manifest("sum", 3)
    RepositoryWriter(three).remove("sum")
    assert (reader.names(), reader.versions("sum"), reader.aliases("sum")) == ([], [], {})
    assert reader.was_removed("sum")
    assert refused(lambda: RepositoryWriter(three).remove("sum")) == "model_not_found"
    RepositoryWriter(three).restore("sum")
    assert (reader.versions("sum"), reader.aliases("sum")) == ([1, 2, 3], aliases)
    assert Repository(three).manifest("sum", 3) == manifest and not reader.was_removed("sum")
    assert refused(lambda: RepositoryWriter(three).restore("sum")) == "model_not_found"


@pytest.mark.parametrize("name", ["som", "../sum", "", "inbox", ".removed"])
def test_what_is_no_model_is_neither_removed_nor_restored(three: Path, name: str) -> None:
    assert refused(lambda: RepositoryWriter(three).remove(name)) == "model_not_found"
    assert refused(lambda: RepositoryWriter(three).restore(name)) == "model_not_found"
    assert Repository(three).versions("sum") == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("days", [0, 31])
def test_a_model_that_is_made_again_goes_on_counting(three: Path, days: int) -> None:
    """Although no lock recorded a number, because the versions were copied there; also once it is deleted for good."""
    RepositoryWriter(three).remove("sum")
    age(three, "sum", days)
    assert RepositoryWriter(three).forget(30) == (["sum"] if days else [])
    assert published_again(three) == 4


def test_versions_that_were_removed_count_even_if_the_locks_are_lost(three: Path) -> None:
    RepositoryWriter(three).remove("sum")
    shutil.rmtree(three / STAGING)
    assert published_again(three) == 4


def test_a_model_is_not_restored_over_another_one_and_each_removal_can_be_chosen(three: Path) -> None:
    RepositoryWriter(three).remove("sum")
    write_version(three, "sum", Sum(), numbers("a", "b"), version=4)
    assert refused(lambda: RepositoryWriter(three).restore("sum")) == "model_exists"
    assert Repository(three).versions("sum") == [4]
    time.sleep(0.002)  # two removals never share a millisecond, because commands take longer
    RepositoryWriter(three).remove("sum")
    assert refused(lambda: RepositoryWriter(three).restore("sum", 7)) == "model_not_found"
    RepositoryWriter(three).restore("sum", 2)
    assert Repository(three).versions("sum") == [1, 2, 3]
    assert [removed.versions for removed in Repository(three).removals("sum")] == [[4]]


def test_what_was_removed_is_kept_for_some_days_and_then_deleted(three: Path) -> None:
    RepositoryWriter(three).remove("sum")
    age(three, "sum", 29.9)
    assert RepositoryWriter(three).forget(30) == [] and Repository(three).removals("sum")
    age(three, "sum", 0.2)
    assert RepositoryWriter(three).forget(30) == ["sum"] and not Repository(three).removals("sum")
    assert not [entry for entry in (three / STAGING).iterdir() if entry.is_dir()]
    assert refused(lambda: RepositoryWriter(three).restore("sum")) == "model_not_found"


def test_a_model_that_was_removed_is_not_missing(three: Path) -> None:
    RepositoryWriter(three).remove("sum")
    for days in (0, 31):
        age(three, "sum", days)
        RepositoryWriter(three).forget(30)
        assert missing_models(RepositoryWriter(three), ["sum", "new"], UNSIGNED) == {"new": None}
