"""Aliases move atomically, versions with an alias stay, and readers see every change."""

from __future__ import annotations

import errno
import json
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from contract.errors import ModelgateError
from contract.model.repository import Repository
from contract.settings import Settings
from contract.work.training import RepositoryAction, RepositoryCommand
from storage.disk import write
from storage.models.repository_writer import HISTORY, STAGING, RepositoryWriter
from tests.support import Sum, numbers, until, write_version
from trainer.jobs.commands import CommandParts, carry_out
from trainer.publishing.aliases import delete_alias, delete_version, move_alias, previous, retain, roll_back


@pytest.fixture
def three(models: Path) -> Path:
    """A model repository with three versions of `sum`, of which the first is current."""
    for version in (3, 2, 1):
        write_version(models, "sum", Sum(), numbers("a"), version=version)
    return models


def refused(change: Callable[[], object]) -> str:
    """The code with which `change` is refused."""
    with pytest.raises(ModelgateError) as error:
        change()
    return error.value.failure.code


def test_moving_current_keeps_the_old_one_as_previous(three: Path) -> None:
    assert move_alias(RepositoryWriter(three), "sum", "current", 2) == {"current": 2, "previous": 1}
    assert move_alias(RepositoryWriter(three), "sum", "canary", 3) == {"current": 2, "previous": 1, "canary": 3}
    assert move_alias(RepositoryWriter(three), "sum", "current", 3) == {"current": 3, "previous": 2, "canary": 3}
    assert Repository(three).aliases("sum") == {"current": 3, "previous": 2, "canary": 3}


def test_moving_an_alias_to_its_own_version_changes_nothing(three: Path) -> None:
    move_alias(RepositoryWriter(three), "sum", "current", 2)
    assert move_alias(RepositoryWriter(three), "sum", "current", 2) == {"current": 2, "previous": 1}


def test_an_alias_that_is_not_current_leaves_previous_alone(three: Path) -> None:
    move_alias(RepositoryWriter(three), "sum", "canary", 2)
    assert move_alias(RepositoryWriter(three), "sum", "canary", 3) == {"current": 1, "canary": 3}


def test_a_command_that_finds_no_room_changes_nothing_and_says_so(
    three: Path, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("storage.models.repository_writer.write", no_room)
    command = RepositoryCommand(RepositoryAction.MOVE_ALIAS, "sum", version=2, alias="canary")
    settings = Settings(models_dir=three)
    assert refused(lambda: carry_out(command.to_json(), CommandParts(settings, redis))) == "models_full"
    assert Repository(three).aliases("sum") == {"current": 1}


def test_an_alias_moves_on_a_full_disk_in_the_room_that_is_kept(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository, reserve = RepositoryWriter(three), three / STAGING / ".reserve"
    move_alias(repository, "sum", "current", 2)

    def write_if_possible(path: Path, data: bytes) -> None:
        if reserve.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, data)

    assert reserve.stat().st_size == 65_536
    monkeypatch.setattr("storage.models.repository_writer.write", write_if_possible)
    assert move_alias(repository, "sum", "current", 1) == {"current": 1, "previous": 2}
    assert not reserve.exists()
    assert move_alias(repository, "sum", "current", 2) == {"current": 2, "previous": 1}, "in the room of the first"


@pytest.mark.parametrize("alias", ["", "2", "007", "A", "a b", "../x", "a" * 65, "é", "a\n"])
def test_an_invalid_alias_is_refused(three: Path, alias: str) -> None:
    assert refused(lambda: move_alias(RepositoryWriter(three), "sum", alias, 2)) == "invalid_alias"


@pytest.mark.parametrize(("model", "version"), [("sum", 4), ("sum", 0), ("sum", -1), ("som", 1), ("../sum", 1)])
def test_an_alias_cannot_name_a_version_that_does_not_exist(three: Path, model: str, version: int) -> None:
    assert refused(lambda: move_alias(RepositoryWriter(three), model, "canary", version)) == "model_not_found"
    assert Repository(three).aliases("sum") == {"current": 1}


def test_an_alias_is_deleted_but_not_current(three: Path) -> None:
    move_alias(RepositoryWriter(three), "sum", "canary", 2)
    assert delete_alias(RepositoryWriter(three), "sum", "canary") == {"current": 1}
    assert refused(lambda: delete_alias(RepositoryWriter(three), "sum", "canary")) == "alias_not_found"
    assert refused(lambda: delete_alias(RepositoryWriter(three), "sum", "current")) == "current_required"
    assert Repository(three).aliases("sum") == {"current": 1}


def test_a_rollback_without_a_previous_version_is_refused(three: Path) -> None:
    assert refused(lambda: previous(RepositoryWriter(three), "sum")) == "no_previous"
    move_alias(RepositoryWriter(three), "sum", "current", 2)
    assert previous(RepositoryWriter(three), "sum") == 1


def test_a_rollback_goes_to_the_last_version_that_was_not_rolled_back_from(models: Path) -> None:
    for version in range(6, 0, -1):
        write_version(models, "sum", Sum(), numbers("a"), version=version)
    for version in (2, 3, 4):
        move_alias(RepositoryWriter(models), "sum", "current", version)
    assert roll_back(RepositoryWriter(models), "sum", 3, 4) == {"current": 3, "previous": 2}
    assert move_alias(RepositoryWriter(models), "sum", "current", 5) == {"current": 5, "previous": 3}
    assert roll_back(RepositoryWriter(models), "sum", 3, 5) == {"current": 3, "previous": 2}
    assert roll_back(RepositoryWriter(models), "sum", 2, 3) == {"current": 2, "previous": 1}
    assert roll_back(RepositoryWriter(models), "sum", 1, 2) == {"current": 1}
    assert refused(lambda: roll_back(RepositoryWriter(models), "sum", 2, 1)) == "no_previous"
    for version in (2, 3, 1, 6):
        move_alias(RepositoryWriter(models), "sum", "current", version)
    assert json.loads((models / "sum/aliases.json").read_text()) == {"current": 6, "previous": 1, HISTORY: [2, 3]}
    delete_version(RepositoryWriter(models), "sum", 3)
    assert roll_back(RepositoryWriter(models), "sum", 1, 6) == {"current": 1, "previous": 2}, "the third is gone"


def test_a_rollback_from_or_to_another_version_than_expected_is_refused(three: Path) -> None:
    for version in (2, 3):
        move_alias(RepositoryWriter(three), "sum", "current", version)
    for to, before in ((2, 1), (1, 3), (2, None)):
        assert (
            refused(lambda to=to, before=before: roll_back(RepositoryWriter(three), "sum", to, before)) == "alias_moved"
        )  # type: ignore[misc]
    assert refused(lambda: move_alias(RepositoryWriter(three), "sum", "current", 1, before=2)) == "alias_moved"
    assert Repository(three).aliases("sum") == {"current": 3, "previous": 2}
    assert move_alias(RepositoryWriter(three), "sum", "current", 1, before=3)["current"] == 1


def test_aliases_without_a_history_are_read_and_the_history_is_bounded(three: Path) -> None:
    file = three / "sum/aliases.json"
    for text in ('{"current": 2, "previous": 1}', '{"current": 2, "previous": 1, "_history": {"a": 1}}'):
        file.write_text(text)
        assert roll_back(RepositoryWriter(three), "sum", 1, 2) == {"current": 1}
    for version in range(39, 3, -1):
        write_version(three, "sum", Sum(), numbers("a"), version=version)
    for version in range(5, 40):
        move_alias(RepositoryWriter(three), "sum", "current", version)
    assert json.loads(file.read_text())[HISTORY] == list(range(18, 38))


def test_a_version_is_deleted_unless_an_alias_names_it(three: Path) -> None:
    move_alias(RepositoryWriter(three), "sum", "current", 2)
    reader = Repository(three)
    reader.manifest("sum", 3)
    assert refused(lambda: delete_version(RepositoryWriter(three), "sum", 1)) == "version_in_use"
    assert refused(lambda: delete_version(RepositoryWriter(three), "sum", 2)) == "version_in_use"
    delete_version(RepositoryWriter(three), "sum", 3)
    assert reader.versions("sum") == [1, 2]
    assert not reader.has_version("sum", 3)
    assert refused(lambda: delete_version(RepositoryWriter(three), "sum", 3)) == "model_not_found"
    assert not [entry for entry in (three / STAGING).iterdir() if entry.is_dir()]


def test_the_newest_and_the_named_versions_are_retained(models: Path) -> None:
    for version in range(8, 0, -1):
        write_version(models, "sum", Sum(), numbers("a"), version=version)
    move_alias(RepositoryWriter(models), "sum", "canary", 4)
    assert retain(RepositoryWriter(models), "sum", 2) == [2, 3, 5, 6]
    assert Repository(models).versions("sum") == [1, 4, 7, 8]
    assert retain(RepositoryWriter(models), "sum", 2) == []


def test_versions_that_never_were_current_do_not_replace_what_a_rollback_goes_to(models: Path) -> None:
    for version in range(1, 10):
        write_version(models, "sum", Sum(), numbers("a"), version=version)
    for version in (1, 2, 3, 4):
        move_alias(RepositoryWriter(models), "sum", "current", version)
    assert retain(RepositoryWriter(models), "sum", 4) == [5, 6, 7]
    assert Repository(models).versions("sum") == [1, 2, 3, 4, 8, 9]


def test_no_version_is_removed_while_the_aliases_cannot_be_read(three: Path) -> None:
    (three / "sum/aliases.json").write_text("{")
    assert refused(lambda: delete_version(RepositoryWriter(three), "sum", 3)) == "version_in_use"
    assert refused(lambda: retain(RepositoryWriter(three), "sum", 1)) == "version_in_use"
    assert move_alias(RepositoryWriter(three), "sum", "current", 2) == {"current": 2}
    assert retain(RepositoryWriter(three), "sum", 1) == [1]


def test_a_reader_sees_a_move_at_once(three: Path) -> None:
    """Even if the file has the same size and the clock of the file system has not advanced."""
    reader = Repository(three)
    for move in range(60):
        move_alias(RepositoryWriter(three), "sum", "current", 1 + move % 3)
        if move % 2:  # the file between has given its inode to the next one
            assert reader.resolve("sum") == ("sum", 1 + move % 3)


def test_an_alias_moves_while_a_version_is_being_published(three: Path) -> None:
    with RepositoryWriter(three).locked("sum"):
        assert move_alias(RepositoryWriter(three), "sum", "current", 3) == {"current": 3, "previous": 1}


def test_changes_at_the_same_time_are_made_one_after_the_other(three: Path) -> None:
    def name(number: int) -> None:
        for turn in range(10):
            move_alias(RepositoryWriter(three), "sum", f"a{number}-{turn}", 1 + turn % 3)

    threads = [threading.Thread(target=name, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Repository(three).aliases("sum")) == 41


def test_a_process_that_dies_while_deleting_leaves_no_incomplete_version(three: Path) -> None:
    """Wherever it is killed, the version is complete or gone."""
    chance = random.Random(1)
    for version in (2, 3):
        pid = os.fork()
        if not pid:
            real = os.unlink

            def die(*arguments: object, real: Callable[..., None] = real, **more: object) -> None:
                if chance.random() < 0.5:
                    os.kill(os.getpid(), 9)
                real(*arguments, **more)

            os.unlink = die
            delete_version(RepositoryWriter(three), "sum", version)
            os._exit(0)
        os.waitpid(pid, 0)
        assert version not in Repository(three).versions("sum")
        assert json.loads((three / "sum/aliases.json").read_text()) == {"current": 1}
    until(lambda: Repository(three).versions("sum") == [1], "only the first is left")
