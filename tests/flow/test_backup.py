"""`modelgate backup` saves a running server under load, and `modelgate restore` makes another go on from there."""

from __future__ import annotations

import gzip
import io
import os
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest

from broker.access.signatures import Signer
from broker.link.connection import connect
from contract.model.repository import Repository
from contract.settings import Settings
from launcher import backup
from launcher.welcome import remember
from tests.flow import estimators
from tests.stacks.gateways import Site, start_site
from tests.stacks.redis_process import RedisProcess
from tests.support import DEADLINE, numbers, until, write_version
from trainer.publishing.signing import make_keys


def modelgate(*arguments: object, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modelgate.command", *map(str, arguments), str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


@contextmanager
def served(folder: Path) -> Iterator[Site]:
    """Serve the models in `folder` as `modelgate up` does: with Redis' data and its socket below the state."""
    state = folder / ".modelgate"
    (state / "redis").mkdir(parents=True, exist_ok=True)
    (state / "redis.sock").symlink_to("redis/r.sock")
    held = (
        f"import fcntl, time; file = open({str(state / 'lock')!r}, 'w'); fcntl.flock(file, 2); print(); time.sleep(9e3)"
    )
    holder = subprocess.Popen([sys.executable, "-uc", held], stdout=subprocess.PIPE)
    assert holder.stdout and holder.stdout.readline()
    try:
        with start_site(state / "redis", folder / "models") as site:
            yield site
    finally:
        holder.kill()
        holder.wait()
        (state / "redis.sock").unlink()


def job(site: Site, model: str, value: float, wait: int | None = None) -> str:
    response = site.gateway.post(model, [value], wait=wait)
    assert response.status_code == (202 if wait is None else 200), response.text
    return str(response.json()["id"])


def result(site: Site, job_id: str) -> object:
    job = site.gateway.get(f"/v1/jobs/{job_id}?wait=30").json()
    return job["output"] and job["output"]["predictions"]


@pytest.mark.slow
def test_a_backup_of_a_running_server_goes_on_elsewhere(tmp_path: Path) -> None:
    first, second, file = tmp_path / "1", tmp_path / "2", tmp_path / "saved.tar.gz"
    models = first / "models"
    write_version(models, "quick", estimators.Slow(0.001), numbers("a"), by_value=True)
    write_version(models, "slow", estimators.Slow(0.3), numbers("a"), by_value=True)
    with served(first) as site:
        site.cluster.start(workers=1).ready(1)
        done = job(site, "quick", 1.0, wait=20)
        waiting = [job(site, "slow", float(value)) for value in range(4)]
        until(lambda: site.gateway.get(f"/v1/jobs/{waiting[0]}").json()["status"] == "running", "one is being scored")
        saved = modelgate("backup", file, folder=first)
        assert saved.stdout.startswith(f"{file}: 2 models, jobs and keys, "), saved
        write_version(models, "quick", estimators.Versioned(2, 0), numbers("a"), version=2, by_value=True)
        later = job(site, "quick", 1.0, wait=20)
        with connect(site.server.url) as redis:
            assert redis.config_get("auto-aof-rewrite-percentage")["auto-aof-rewrite-percentage"] == "100"
    assert file.stat().st_mode & 0o777 == 0o600
    restored = modelgate("restore", file, folder=second)
    assert restored.stdout == f"2 models, jobs and keys restored; start it: modelgate up {second}\n", restored
    with served(second) as site:
        site.cluster.start("another", workers=1).ready(1)
        assert result(site, done) == [2.0]
        assert [result(site, job_id) for job_id in waiting] == [[2.0 * value] for value in range(4)]
        assert site.gateway.get(f"/v1/jobs/{later}").status_code == 404
        assert site.gateway.get("/v1/models/quick").json()["version"] == 1
        assert [model["name"] for model in site.gateway.get("/v1/models").json()["items"]] == ["quick", "slow"]


def test_folders_of_the_environment_are_those_of_the_usual_home(tmp_path: Path) -> None:
    """As a job of cron would save a server that was started with them."""
    settings = {"STATE_DIR": str(tmp_path / "state"), "MODELS_DIR": str(tmp_path / "models")}
    write_version(tmp_path / "models", "quick", estimators.Slow(0), numbers("a"), by_value=True)
    (tmp_path / "state" / "redis").mkdir(parents=True)
    (tmp_path / "state" / "redis" / "appendonly.aof").touch()
    home = {"MODELGATE_HOME": str(tmp_path / "home")}
    file = tmp_path / "saved.tar.gz"
    saved = modelgate("backup", folder=file, **settings, **home)
    assert saved.stdout.startswith(f"{file}: 1 model, jobs and keys, "), saved
    named = modelgate("backup", file, folder=tmp_path / "typo", **settings, **home)
    assert (named.returncode, "no server was ever started there" in named.stderr) == (1, True), named
    started = modelgate("up", folder=tmp_path / "other", **settings, **home)
    assert (started.returncode, "STATE_DIR is set, and FOLDER says" in started.stderr) == (2, True), started
    assert not (tmp_path / "typo").exists() and not (tmp_path / "other").exists()


@pytest.fixture
def stopped(tmp_path: Path) -> Settings:
    """The settings of a server that does not run, with a model and a file of Redis."""
    models, state = tmp_path / "models", tmp_path / ".modelgate"
    write_version(models, "quick", estimators.Slow(0), numbers("a"), by_value=True)
    (state / "redis").mkdir(parents=True)
    (state / "redis" / "appendonly.aof").write_bytes(b"*1\r\n$4\r\nPING\r\n")
    (state / "closed").touch()
    return Settings(models_dir=models, state_dir=state)


def test_the_models_of_the_last_start_are_saved_wherever_they_are(stopped: Settings, tmp_path: Path) -> None:
    remember(stopped)
    backup.save(stopped, tmp_path / "saved.tar.gz")
    stopped.models_dir.rename(tmp_path / "moved")
    remember(replace(stopped, models_dir=tmp_path / "moved"))
    backup.save(stopped, tmp_path / "moved.tar.gz")
    for file in ("saved.tar.gz", "moved.tar.gz"):
        with tarfile.open(tmp_path / file) as archive:
            assert "models/quick/aliases.json" in archive.getnames()
    (tmp_path / "moved").rename(tmp_path / "gone")
    with pytest.raises(backup.BackupError, match="moved, which was the MODELS_DIR of this server"):
        backup.save(stopped, tmp_path / "gone.tar.gz")


def test_a_folder_without_a_server_is_not_saved_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(backup.BackupError, match="no server was ever started there; name its folder"):
        backup.save(elsewhere(tmp_path / "typo"), tmp_path / "saved.tar.gz")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".modelgate" / "redis").mkdir(parents=True)  # as docker compose would in another project
    with pytest.raises(backup.BackupError, match="no server was ever started there; name its folder"):
        backup.save(elsewhere(tmp_path), tmp_path / "saved.tar.gz")


def elsewhere(folder: Path, **settings: Path) -> Settings:
    return Settings(models_dir=folder / "models", state_dir=folder / ".modelgate", **settings)  # type: ignore[arg-type]


def test_a_version_published_during_a_backup_leaves_no_alias_without_its_version(
    stopped: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = backup._add

    def publish_meanwhile(archive: tarfile.TarFile, name: str, file: IO[bytes]) -> dict[str, object]:
        entry = added(archive, name, file)
        if name == "models/quick/aliases.json":
            write_version(stopped.models_dir, "quick", estimators.Slow(0), numbers("a"), version=2, by_value=True)
            write_version(stopped.models_dir, "later", estimators.Slow(0), numbers("a"), by_value=True)
        return entry

    monkeypatch.setattr(backup, "_add", publish_meanwhile)
    backup.save(stopped, tmp_path / "b.tar.gz")
    other = elsewhere(tmp_path / "other")
    backup.restore(other, tmp_path / "b.tar.gz")
    copy = Repository(other.models_dir)
    assert (copy.resolve("quick"), copy.versions("quick"), copy.names()) == (("quick", 1), [1], ["quick"])
    assert other.marker.exists() and (other.state_dir / "redis" / "appendonly.aof").exists()


def test_a_redis_that_rewrites_its_files_during_a_backup_is_saved_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = elsewhere(tmp_path / "1"), elsewhere(tmp_path / "2")
    added = backup._add

    def rewrite_meanwhile(archive: tarfile.TarFile, name: str, file: IO[bytes]) -> dict[str, object]:
        if ".base." in name:
            connection.set("later", "lost")
            connection.bgrewriteaof()
            until(lambda: not (first.state_dir / name).exists(), "Redis has removed the file")
        return added(archive, name, file)

    monkeypatch.setattr(backup, "_add", rewrite_meanwhile)
    for settings in (first, second):
        (settings.state_dir / "redis").mkdir(parents=True)
    (first.state_dir / "redis" / "redis.conf").write_text("replicaof 10.203.0.12 6379")
    with RedisProcess(first.state_dir / "redis") as redis, redis.connect() as connection:
        connection.mset({str(number): number for number in range(1000)})
        backup.save(first, tmp_path / "b.tar.gz")
    backup.restore(second, tmp_path / "b.tar.gz")
    with RedisProcess(second.state_dir / "redis") as redis, redis.connect() as connection:
        assert connection.dbsize() >= 1000 and connection.get("999") == b"999"
    assert not (second.state_dir / "redis" / "redis.conf").exists(), "whether it is a replica is decided anew"


def test_nothing_is_restored_over_models_or_jobs(stopped: Settings, tmp_path: Path) -> None:
    backup.save(stopped, tmp_path / "b.tar.gz")
    refused = modelgate("restore", tmp_path / "b.tar.gz", folder=tmp_path)
    assert refused.returncode == 1 and "is not empty" in refused.stderr
    other = elsewhere(tmp_path / "other")
    write_version(other.models_dir, "mine", estimators.Slow(0), numbers("a"), by_value=True)
    with pytest.raises(backup.BackupError, match="is not empty"):
        backup.restore(other, tmp_path / "b.tar.gz")


def rewritten(file: Path, change: str, data: bytes) -> None:
    """Replace the content of one member of a backup, as an attacker with access to the file would."""
    with tarfile.open(file) as archive:
        members = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    members[change] = data
    with tarfile.open(file, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_nobody_else_names_or_reads_the_file_that_is_being_written(stopped: Settings, tmp_path: Path) -> None:
    (tmp_path / "saved.tar.gz.part").symlink_to(tmp_path / "theirs")
    backup.save(stopped, tmp_path / "saved.tar.gz")
    assert not (tmp_path / "theirs").exists()
    assert stat.S_IMODE((tmp_path / "saved.tar.gz").lstat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"models", ".modelgate", "saved.tar.gz", "saved.tar.gz.part"}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
def test_what_root_restores_is_private_and_of_the_owner_of_its_folder(stopped: Settings, tmp_path: Path) -> None:
    Signer.from_settings(stopped)  # makes the secret
    backup.save(stopped, tmp_path / "b.tar.gz")
    with tempfile.TemporaryDirectory() as folder:  # that user cannot get into tmp_path
        os.chown(folder, 65534, 65534)
        restored = modelgate("restore", tmp_path / "b.tar.gz", folder=Path(folder))
        assert restored.returncode == 0, restored.stderr
        paths = {str(path.relative_to(folder)): path.stat() for path in Path(folder).rglob("*")}
        assert {(status.st_uid, status.st_gid) for status in paths.values()} == {(65534, 65534)}
        modes = {name: stat.S_IMODE(status.st_mode) for name, status in paths.items() if name.startswith(".modelgate")}
        assert (modes[".modelgate/shared"], modes[".modelgate/shared/trainer.secret"]) == (0o700, 0o600)
        assert not any(mode & 0o077 for mode in modes.values()), modes


def test_a_backup_that_is_damaged_changed_or_not_signed_is_refused_whole(stopped: Settings, tmp_path: Path) -> None:
    file = tmp_path / "b.tar.gz"
    private, public = make_keys(tmp_path / "keys")
    other_private, _ = make_keys(tmp_path / "others")
    backup.save(Settings(models_dir=stopped.models_dir, state_dir=stopped.state_dir, signing_key=private), file)
    whole, target = file.read_bytes(), elsewhere(tmp_path / "t", verify_key=public)

    def refusal() -> str:
        with pytest.raises(backup.BackupError) as refused:
            backup.restore(target, file)
        assert {path.name for path in (tmp_path / "t").rglob("*")} == {"models", ".modelgate", "lock"}
        return str(refused.value)

    # The archive goes on in a second gzip member, which the end of the first one hides from who reads only that.
    plain, planted = gzip.decompress(whole).rstrip(b"\0"), tarfile.TarInfo("redis/planted").tobuf()
    file.write_bytes(gzip.compress(plain + bytes(-len(plain) % 512)) + gzip.compress(planted))
    assert "is damaged" in refusal()
    file.write_bytes(whole + gzip.compress(planted))
    assert "goes on after its end" in refusal()
    file.write_bytes(whole + b"more")
    assert "no whole backup" in refusal()
    file.write_bytes(whole[:-2000])
    assert "no whole backup" in refusal()
    file.write_bytes(whole)
    rewritten(file, "models/quick/aliases.json", b'{"current": 2}')
    assert "is damaged" in refusal()
    file.write_bytes(whole)
    rewritten(file, "models/../../evil", b"")
    assert "outside the destination" in refusal()
    file.write_bytes(whole)
    rewritten(file, "backup.json", b'{"backup": 2, "release": "9.0.0", "files": {}}')
    assert "the format of the release 9.0.0" in refusal()
    with tarfile.open(file, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("backup.json"))
    assert "no whole backup" in refusal()
    backup.save(replace(stopped, signing_key=other_private), file)
    assert "not signed with a key of VERIFY_KEY" in refusal()
    file.write_bytes(whole)
    backup.restore(target, file)
    assert Repository(target.models_dir).names() == ["quick"]
