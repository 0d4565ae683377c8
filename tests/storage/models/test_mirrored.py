"""Two machines that share nothing but a bucket have the same model repository."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from modelgate.buckets import Bucket

from contract.errors import ModelgateError
from contract.model.repository import Repository, RepositoryWithRemoved
from storage.disk import StoreError
from storage.models.bucket import ModelBucket
from storage.models.mirrored import MirroredRepository
from storage.models.repository_writer import RepositoryWriter
from storage.models.states import NumberTaken
from storage.objects import Objects
from tests.stacks.object_store import S3, s3_server
from tests.support import Sum, numbers, write_version
from trainer.publishing.aliases import change_settings, delete_version, move_alias, retain, roll_back


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


class Machines:
    """Machines with a folder each, and one bucket."""

    def __init__(self, url: str, options: Path, folder: Path) -> None:
        self.bucket = ModelBucket(Objects.at("MODELS_URL", url, options))
        self._folder = folder

    def __getitem__(self, name: str) -> MirroredRepository:
        root = self._folder / name
        root.mkdir(exist_ok=True)
        return MirroredRepository(root, self.bucket)


@pytest.fixture
def machines(s3: S3, tmp_path: Path) -> Machines:
    return Machines(s3.bucket(), s3.options(), tmp_path)


def add(repository: RepositoryWriter, model: str = "sum", estimator: object = None) -> int:
    """Publish a version as the trainer does, without trying it, and return its number."""
    with repository.locked(model) as lock:
        while True:
            version = repository.next_number(model, lock)
            with repository.staged(model) as staged, suppress(NumberTaken):
                made = repository.root / "made" / str(version)
                write_version(made, model, estimator or Sum(), numbers("a"), version=version, current=False)
                shutil.copytree(made / model / "versions" / str(version), staged.folder, dirs_exist_ok=True)
                staged.write_report({"report.html": b"<p>", "report.json": b"{}"})
                shutil.rmtree(repository.root / "made")
                repository.add(staged, model, version, lock)
                return version


def follow(mirror: MirroredRepository) -> list[str]:
    """Bring a mirror up to date, and return what changed."""
    changed = list(mirror.changed())
    for model in changed:
        assert mirror.refresh(model) == []
    return changed


def seen(root: Path) -> dict[str, object]:
    """What readers see of all models."""
    reader = Repository(root)
    return {
        name: (
            reader.aliases(name),
            reader.versions(name),
            reader.settings(name).warn_unusual,
            [reader.manifest(name, version) for version in reader.versions(name)],
            [reader.files(name, version).report("report.html") for version in reader.versions(name)],
            [removed.versions for removed in reader.removals(name)],
            reader.was_removed(name),
        )
        for name in ("sum", "other")
    }


def test_what_one_machine_changes_the_others_have(machines: Machines) -> None:
    north, south = machines["north"], machines["south"]
    changes = [
        lambda: add(north),
        lambda: move_alias(north, "sum", "current", 1),
        lambda: add(south, "other"),
        lambda: add(south),
        lambda: move_alias(south, "sum", "current", 2),
        lambda: move_alias(north, "sum", "canary", 1),
        lambda: change_settings(north, "sum", {"warn_unusual": False}),
        lambda: roll_back(south, "sum", 1, 2),
        lambda: delete_version(north, "sum", 2),
        lambda: add(north),
        lambda: south.remove("sum"),
        lambda: add(north, "other"),
        lambda: north.restore("sum"),
        lambda: north.remove("sum"),
        lambda: add(south),
        lambda: move_alias(south, "sum", "current", 4),
        lambda: retain(south, "sum", 1),
    ]
    for number, change in enumerate(changes):
        change()
        for mirror in (north, south):
            follow(mirror)
        assert seen(north.root) == seen(south.root), number
        assert not follow(north) and not follow(south)
    assert Repository(south.root).aliases("sum") == {"current": 4}
    assert [removed.versions for removed in Repository(north.root).removals("sum")] == [[1, 3]]


def test_a_new_machine_gets_everything_and_one_that_starts_again_nothing(machines: Machines) -> None:
    for model in ("sum", "sum", "other"):
        add(machines["north"], model)
    move_alias(machines["north"], "sum", "current", 2)
    assert follow(machines["south"]) == ["other", "sum"]
    assert seen(machines["north"].root) == seen(machines["south"].root)
    assert follow(machines["south"]) == []


def test_deleting_the_last_version_frees_no_number(machines: Machines) -> None:
    north = machines["north"]
    assert [add(north), add(north)] == [1, 2]
    delete_version(north, "sum", 2)
    assert add(machines["south"]) == 3
    machines["south"].remove("sum")
    assert machines["north"].forget(0) == []  # of what this machine knows
    follow(machines["north"])
    assert machines["north"].forget(0) == ["sum"]
    assert add(machines["south"]) == 4
    assert not list(machines.bucket.objects.entries("sum/versions/3/"))


def test_versions_of_a_removed_model_answer_jobs_that_were_accepted_before(machines: Machines) -> None:
    add(machines["north"])
    follow(machines["south"])
    machines["north"].remove("sum")
    for name in ("south", "started later"):
        follow(machines[name])
        assert Repository(machines[name].root).versions("sum") == []
        assert RepositoryWithRemoved(machines[name].root).read_manifest("sum", 1).version == 1


@pytest.mark.parametrize("name", ["model.joblib", "manifest.json", "report/report.html"])
def test_a_damaged_version_is_not_shown_and_no_alias_names_it(machines: Machines, name: str) -> None:
    north, south = machines["north"], machines["south"]
    add(north)
    move_alias(north, "sum", "current", 1)
    follow(south)
    add(north)
    move_alias(north, "sum", "current", 2)
    whole, _ = machines.bucket.objects.read(f"sum/versions/2/{name}", 10**6)
    machines.bucket.objects.write(f"sum/versions/2/{name}", whole[:-1])
    (problem,) = south.refresh("sum")
    assert problem.startswith("sum@2 cannot be fetched: ") and "is damaged" in problem
    assert (south.aliases("sum"), south.versions("sum")) == ({"current": 1}, [1])
    assert list(south.changed()) == ["sum"]
    machines.bucket.objects.delete([f"sum/versions/2/{name}"])
    (problem,) = south.refresh("sum")
    assert "not found" in problem.lower()
    machines.bucket.objects.write(f"sum/versions/2/{name}", whole)
    follow(south)
    assert seen(south.root) == seen(north.root)


def test_versions_that_the_store_has_never_known_stay_and_nothing_is_published_over_them(machines: Machines) -> None:
    north = machines["north"]
    write_version(north.root, "sum", Sum(), numbers("a"), version=3)
    for change in (lambda: add(north), lambda: move_alias(north, "sum", "b", 3), lambda: north.remove("sum")):
        with pytest.raises(ModelgateError, match="modelgate repository push") as error:
            change()
        assert error.value.failure.code == "not_published"
    assert north.versions("sum") == [3] and north.aliases("sum") == {"current": 3}
    add(machines["south"])
    assert north.refresh("sum") == []
    assert north.versions("sum") == [1, 3]


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"[]",
        b"{" * 10_000,
        b'{"format": 2}',
        b'{"format": 1, "last": -1, "live": {}, "removed": {}, "writes": [], "was_removed": false}',
        "../../x",
        "report/../../x",
        "/etc/passwd",
        "model.joblib\n",
        "manifest.json/x",
    ],
)
def test_a_head_that_is_none_changes_nothing(machines: Machines, head: bytes | str) -> None:
    add(machines["north"])
    follow(machines["south"])
    if isinstance(head, str):
        data = json.loads(machines.bucket.objects.read(".heads/sum.json", 10**6)[0])
        data["live"]["versions"]["1"][head] = [1, "0" * 64]
        head = json.dumps(data).encode()
    machines.bucket.objects.write(".heads/sum.json", head)
    with pytest.raises(StoreError, match=r"\.heads/sum\.json .* cannot be used"):
        machines["south"].refresh("sum")
    assert machines["south"].versions("sum") == [1]


@pytest.mark.parametrize("named", ["aws_endpoint_url", "AWS_ENDPOINT_URL"])
def test_a_store_without_tls_is_reached_by_options_and_by_the_environment(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    url, options, endpoint = s3.bucket(), tmp_path / "options.json", f"http://{s3.host}:{s3.port}"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    for name, value in {**keys, named: endpoint}.items():
        monkeypatch.setenv(name, value)
    if named.islower():
        monkeypatch.delenv(named)
    options.write_text(json.dumps({named: endpoint} if named.islower() else {}))
    Objects.at("MODELS_URL", url, options).create("note", b"there")
    assert Bucket(url, options).read("note") == b"there"


def test_without_the_store_readers_go_on_and_writers_say_why_they_do_not(
    machines: Machines, s3: S3, tmp_path: Path
) -> None:
    add(machines["north"])
    move_alias(machines["north"], "sum", "current", 1)
    away = ModelBucket(Objects.at("MODELS_URL", "s3://nowhere/models", s3.options(1)))
    north = MirroredRepository(machines["north"].root, away)
    with pytest.raises(StoreError, match=r"cannot read \.heads/sum\.json of s3://nowhere/models: "):
        move_alias(north, "sum", "canary", 1)
    with pytest.raises(StoreError):
        add(north)
    assert north.resolve("sum") == ("sum", 1) and north.versions("sum") == [1]
