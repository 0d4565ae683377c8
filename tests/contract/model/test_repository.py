"""The model repository as its readers see it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from contract.errors import ModelgateError
from contract.model.repository import NotInRepository, Repository, valid_name
from tests.support import Sum, numbers, write_version


@pytest.fixture
def repository(models: Path) -> Repository:
    for version in (1, 2, 10):
        write_version(models, "sum", Sum(), numbers("a"), version=version)
    (models / "sum" / "aliases.json").write_text('{"current": 2, "previous": 1, "canary": 10}')
    return Repository(models)


@pytest.mark.parametrize(
    ("reference", "version"), [("sum", 2), ("sum@10", 10), ("sum@canary", 10), ("sum@previous", 1), ("sum@current", 2)]
)
def test_a_reference_names_one_version(repository: Repository, reference: str, version: int) -> None:
    assert repository.resolve(reference) == ("sum", version)


@pytest.mark.parametrize(
    "reference", ["", "su", "sum@", "sum@3", "sum@01", "sum@-1", "sum@1/../2", "../sum", "sum@@2", "SUM", "inbox"]
)
def test_a_reference_to_nothing_is_refused(repository: Repository, reference: str) -> None:
    with pytest.raises(NotInRepository):
        repository.resolve(reference)


def test_only_complete_versions_are_listed_in_numeric_order(repository: Repository, models: Path) -> None:
    (models / "sum" / "versions" / "11").mkdir()
    (models / "sum" / "versions" / ".staging").mkdir()
    assert repository.versions("sum") == [1, 2, 10]


def test_a_moved_alias_is_seen_at_once(repository: Repository, models: Path) -> None:
    assert repository.resolve("sum") == ("sum", 2)
    replacement = models / "sum" / ".aliases"
    replacement.write_text('{"current": 1}')
    os.replace(replacement, models / "sum" / "aliases.json")  # noqa: PTH105
    assert repository.resolve("sum") == ("sum", 1)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"current": "2"}', '{"current": true}'])
def test_numbered_versions_resolve_without_valid_aliases(repository: Repository, models: Path, text: str) -> None:
    (models / "sum" / "aliases.json").write_text(text)
    with pytest.raises(NotInRepository, match="no current version"):
        repository.resolve("sum")
    assert repository.resolve("sum@1") == ("sum", 1)
    assert repository.names() == []


def test_a_candidate_is_in_use_while_its_experiment_runs(repository: Repository, models: Path) -> None:
    shadow, since = {"kind": "shadow"}, "2026-01-01T00:00:00Z"
    runs = {"id": "x1", "baseline": 2, "candidate": 9, "plan": shadow, "share": 1.0}
    runs |= dict.fromkeys(("started_at", "until", "share_since"), since)
    (models / "sum/aliases.json").write_text('{"current": 2, "canary": 1}')
    (models / "sum/settings.json").write_text(json.dumps({"experiments": [runs]}))
    assert repository.in_use("sum") == [2, 1, 9]
    (models / "sum/settings.json").write_text(json.dumps({"experiments": [{**runs, "ending": "stopped"}]}))
    (models / "sum/aliases.json").write_text('{"current": 2, "canary": 1} ')
    assert repository.in_use("sum") == [2, 1]


def test_only_models_with_a_current_version_are_listed(repository: Repository, models: Path) -> None:
    (models / "empty").mkdir()
    (models / "inbox").mkdir()
    (models / ".staging").mkdir()
    (models / "README.md").write_text("")
    assert repository.names() == ["sum"]


def test_a_missing_folder_holds_no_models(tmp_path: Path) -> None:
    assert Repository(tmp_path / "nowhere").names() == []


def test_the_last_known_aliases_stay_while_the_folder_cannot_be_read(repository: Repository, models: Path) -> None:
    assert (repository.names(), repository.resolve("sum")) == (["sum"], ("sum", 2))
    away = models.rename(models.with_name("away"))
    models.symlink_to(models)  # "too many levels of symbolic links"
    assert (repository.names(), repository.resolve("sum")) == (["sum"], ("sum", 2))
    models.unlink()
    assert repository.names() == []
    away.rename(models)
    assert repository.names() == ["sum"]


def test_the_cache_of_manifests_is_bounded(
    repository: Repository, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contract.model.repository._MAX_MANIFESTS", 2)
    first = repository.manifest("sum", 1)
    assert repository.manifest("sum", 1) is first
    kept = [repository.manifest("sum", version) for version in (2, 10)]
    assert [repository.manifest("sum", version) for version in (2, 10)] == kept
    assert repository.manifest("sum", 10) is kept[1]
    assert repository.manifest("sum", 1) is not first


def test_a_manifest_of_another_version_is_refused(repository: Repository, models: Path) -> None:
    path = models / "sum" / "versions" / "2" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 1}))
    with pytest.raises(ModelgateError, match="its manifest is of 'sum' version 1"):
        repository.manifest("sum", 2)


def test_a_manifest_that_does_not_parse_names_model_and_cause(repository: Repository, models: Path) -> None:
    (models / "sum" / "versions" / "2" / "manifest.json").write_text("{")
    with pytest.raises(ModelgateError, match=r"version 2 of the model 'sum' cannot be used: the manifest is not JSON"):
        repository.manifest("sum", 2)


@pytest.mark.parametrize(
    ("name", "valid"),
    [("a", True), ("loan-2_x", True), ("0", True), ("a" * 64, True), ("a" * 65, False), ("-a", False), ("A", False)]
    + [("a/b", False), ("", False), ("a\n", False), ("inbox", False), ("é", False), (".", False), ("..", False)],
)
def test_names_are_checked(name: str, valid: bool) -> None:
    assert valid_name(name) is valid


def test_a_pipe_instead_of_a_file_does_not_block(repository: Repository, models: Path) -> None:
    manifest = models / "sum/versions/1/manifest.json"
    manifest.unlink()
    os.mkfifo(manifest)
    with pytest.raises(ModelgateError, match="version 1 of the model 'sum' is not in the model repository"):
        repository.manifest("sum", 1)
    (models / "sum/aliases.json").unlink()
    os.mkfifo(models / "sum/aliases.json")
    assert repository.aliases("sum") == {}
