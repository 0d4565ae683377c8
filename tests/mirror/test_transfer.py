"""A model repository goes from a folder into a bucket and into another folder, and a check finds what is missing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.model.repository import Repository
from storage.models.bucket import ModelBucket
from storage.models.mirrored import MirroredRepository
from storage.models.repository_writer import RepositoryWriter
from storage.objects import Objects
from tests.stacks.object_store import S3, s3_server
from tests.storage.models.test_mirrored import add, follow, seen
from tests.support import PROJECT
from trainer.publishing.aliases import change_settings, delete_version, move_alias


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def url(s3: S3) -> str:
    return s3.bucket()


@pytest.fixture
def bucket(s3: S3, url: str) -> ModelBucket:
    return ModelBucket(Objects.at("MODELS_URL", url, s3.options()))


class Command:
    """`modelgate repository …` for the folder of one server."""

    def __init__(self, url: str, options: Path) -> None:
        self._options = ["--store", url, "--store-options", str(options)]

    def __call__(self, verb: str, home: Path, *more: str) -> tuple[int, str]:
        command = [PROJECT / ".venv/bin/modelgate", "repository", verb, home, *self._options, *more]
        environment = {**os.environ, "MODELGATE_HOME": ""}
        ended = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment)
        return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture
def command(s3: S3, url: str) -> Command:
    return Command(url, s3.options())


@pytest.fixture
def server(tmp_path: Path) -> RepositoryWriter:
    """The model repository of a server on one machine, with a deleted version and two models."""
    (tmp_path / "server/models").mkdir(parents=True)
    repository = RepositoryWriter(tmp_path / "server/models")
    for model in ("sum", "sum", "sum", "other"):
        add(repository, model)
    delete_version(repository, "sum", 3)
    move_alias(repository, "sum", "current", 1)
    move_alias(repository, "sum", "current", 2)
    change_settings(repository, "sum", {"warn_unusual": False})
    return repository


def test_a_folder_is_pushed_with_its_numbers_and_pulled_as_it_was(
    server: RepositoryWriter, command: Command, bucket: ModelBucket, tmp_path: Path
) -> None:
    assert command("push", tmp_path / "server") == (0, "other: pushed 1 (0.0 MB)\nsum: pushed 1, 2 (0.0 MB)\n")
    assert command("push", tmp_path / "server") == (
        0,
        "other: the store has all versions\nsum: the store has all versions\n",
    )
    code, said = command("pull", tmp_path / "new")
    assert (code, said) == (0, "other: 1\nsum: 1, 2\n")
    assert seen(tmp_path / "new/models") == seen(server.root)
    mirror = MirroredRepository(server.root, bucket)
    assert follow(mirror) == ["other", "sum"]
    assert add(mirror) == 4, "the number 3 was used, and its version deleted"
    assert command("check", tmp_path / "server", "--contents")[0] == 0


@pytest.mark.slow
def test_a_push_overwrites_nothing(
    server: RepositoryWriter, command: Command, bucket: ModelBucket, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    elsewhere = MirroredRepository(tmp_path / "elsewhere", bucket)
    add(elsewhere)
    move_alias(elsewhere, "sum", "current", 1)
    text = elsewhere.files("sum", 1).manifest()
    manifest = server.files("sum", 1).folder / "manifest.json"
    manifest.write_bytes(text + b"\n")
    code, said = command("push", tmp_path / "server")
    assert code == 1
    assert "sum: not pushed: the store has used the numbers 1 for other versions" in said and "other: pushed 1" in said
    manifest.write_bytes(text)
    code, said = command("push", tmp_path / "server")
    assert code == 0 and "sum: pushed 2" in said
    assert bucket.head("sum")[0].live.aliases == {"current": 1}, "those of the store"


@pytest.mark.slow
def test_a_check_names_what_is_missing_or_damaged(
    server: RepositoryWriter, command: Command, bucket: ModelBucket, tmp_path: Path
) -> None:
    home = tmp_path / "server"
    command("push", home)
    assert command("check", home)[0] == 0
    whole, _ = bucket.objects.read("sum/versions/1/model.joblib", 10**6)
    bucket.objects.write("sum/versions/1/model.joblib", bytes(len(whole)))
    assert command("check", home)[0] == 0, "its size is right"
    code, said = command("check", home, "--contents")
    assert code == 1 and "sum: model.joblib of version 1 is damaged" in said
    bucket.objects.delete(["sum/versions/2/manifest.json"])
    code, said = command("check", home)
    assert code == 1 and "sum: version 2 lacks manifest.json" in said
    bucket.objects.write(".heads/other.json", b"{}")
    assert ".heads/other.json" in command("check", home)[1]


@pytest.mark.slow
def test_a_wrong_address_or_key_is_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "options.json").write_text('{"nonsense": 1}')
    for options in (
        ["--store", "ftp://x/y"],
        ["--store", "s3://bucket", "--store-options", "nowhere.json"],
        ["--store", "s3://bucket", "--store-options", "options.json"],
    ):
        ended = subprocess.run(
            [PROJECT / ".venv/bin/modelgate", "repository", "check", *options],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert ended.returncode == 1 and ended.stdout.count("\n") == 1, ended
        assert "Traceback" not in ended.stderr and (
            "MODELS_URL=" in ended.stdout or "STORE_OPTIONS_FILE=" in ended.stdout
        )
    assert not Repository(tmp_path).names()
