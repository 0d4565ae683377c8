"""The commands of docs/how-to/back-up-and-restore.md back up a running Modelgate and restore it elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from broker.link.connection import connect
from contract.model.repository import Repository
from launcher.redis_server import executable
from tests.flow import estimators
from tests.stacks.gateways import Site, start_site
from tests.support import PROJECT, numbers, until, write_version

PAGE = (PROJECT / "docs" / "how-to" / "back-up-and-restore.md").read_text()


def commands(heading: str) -> list[list[str]]:
    """The blocks of commands under a heading."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert section
    blocks = re.findall(r"```console\n(.*?)```", section[1], re.DOTALL)
    return [re.findall(r"^\$ (.*)$", block, re.MULTILINE) for block in blocks]


def run(lines: list[str], folder: Path) -> None:
    tools = Path(executable()).parent
    if not (tools / "redis-cli").exists():
        assert shutil.which("redis-cli"), "redis-cli is not installed"
    script = "\n".join(["set -e", *lines])
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def redis_folder(folder: Path) -> Path:
    """Create the folder of a Redis as `make up` does."""
    redis = folder / ".modelgate/redis"
    redis.mkdir(parents=True, exist_ok=True)
    (redis / "redis.sock").symlink_to("r.sock")
    return redis


def job(site: Site, model: str, value: float, wait: int | None = None) -> str:
    response = site.gateway.post(model, [value], wait=wait)
    assert response.status_code == (202 if wait is None else 200), response.text
    return str(response.json()["id"])


def result(site: Site, job_id: str) -> object:
    job = site.gateway.get(f"/v1/jobs/{job_id}?wait=30").json()
    return job["output"] and job["output"]["predictions"]


@pytest.mark.slow
def test_a_backup_of_a_running_modelgate_continues_elsewhere(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    (back_up,), (restore, *_) = commands("Back up while it runs"), commands("Restore")
    models = first / "models"
    write_version(models, "quick", estimators.Slow(0.001), numbers("a"), by_value=True)
    write_version(models, "slow", estimators.Slow(0.3), numbers("a"), by_value=True)
    with start_site(redis_folder(first), models) as site:
        site.cluster.start(workers=1).ready(1)
        done = job(site, "quick", 1.0, wait=20)
        waiting = [job(site, "slow", float(value)) for value in range(4)]
        until(lambda: site.gateway.get(f"/v1/jobs/{waiting[0]}").json()["status"] == "running", "one is being scored")
        run(back_up, first)
        write_version(models, "quick", estimators.Versioned(2, 0), numbers("a"), version=2, by_value=True)
        later = job(site, "quick", 1.0, wait=20)
        with connect(site.server.url) as redis:
            assert redis.config_get("auto-aof-rewrite-percentage")["auto-aof-rewrite-percentage"] == "100"
    second.mkdir()
    (first / "backup").rename(second / "backup")
    run(restore, second)
    with start_site(redis_folder(second), second / "models") as site:
        site.cluster.start("another", workers=1).ready(1)
        assert result(site, done) == [2.0]
        assert [result(site, job_id) for job_id in waiting] == [[2.0 * value] for value in range(4)]
        assert site.gateway.get(f"/v1/jobs/{later}").status_code == 404
        assert site.gateway.get("/v1/models/quick").json()["version"] == 1
        assert [model["name"] for model in site.gateway.get("/v1/models").json()["items"]] == ["quick", "slow"]


def test_a_version_published_during_a_backup_leaves_no_alias_without_its_version(
    tmp_path: Path,
) -> None:
    write_version(tmp_path / "models", "quick", estimators.Slow(0), numbers("a"), by_value=True)
    first, second = [line for line in commands("Back up while it runs")[0] if line.startswith("tar")]
    run(["mkdir -p backup/models", first], tmp_path)
    write_version(tmp_path / "models", "quick", estimators.Slow(0), numbers("a"), version=2, by_value=True)
    write_version(tmp_path / "models", "later", estimators.Slow(0), numbers("a"), by_value=True)
    run([second], tmp_path)
    copy = Repository(tmp_path / "backup/models")
    assert (copy.resolve("quick"), copy.versions("quick")) == (("quick", 1), [1, 2])
    assert (copy.names(), copy.versions("later")) == (["quick"], [1])
