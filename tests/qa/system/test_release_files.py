"""What a release tells Docker, without building it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.release import VERSION
from deploy.images import SERVICES, bake_file, compose_files
from tests.qa.system.stack import why_no_docker

pytestmark = pytest.mark.skipif(bool(why_no_docker()), reason="needs Docker")


# What has no default, as each machine has to say it.
MACHINE = {"MODELS_URL": "s3://b/models", "SPOOL_URL": "s3://b/uploads", "REDIS_ADDRESS": "redis:6379"}


@pytest.mark.parametrize(
    ("name", "settings", "services"),
    [
        ("compose.release.yml", {}, {"gateway", "gateway-2", "worker", "trainer", "observer", "events"}),
        ("compose.machine.release.yml", MACHINE, {"gateway", "worker", "trainer", "observer", "events", "mirror"}),
    ],
)
def test_a_compose_file_of_a_release_needs_no_checkout(
    tmp_path: Path, name: str, settings: dict[str, str], services: set[str]
) -> None:
    (tmp_path / name).write_text(compose_files("1.2.3")[name])
    command = ["docker", "compose", "--file", name, "--profile", "monitoring", "config"]
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")} | settings
    environment |= dict.fromkeys(("REDIS_PASSWORDS", "TRAINER_SECRET_FILE"), "/dev/null")
    read = subprocess.run(
        [*command, "--format", "json"], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    found = json.loads(read.stdout)["services"]
    assert not [name for name, service in found.items() if "build" in service]
    mounted = {
        mount["source"] for service in found.values() for mount in service.get("volumes", ()) if mount["type"] == "bind"
    }
    assert {source for source in mounted if not source.startswith("/dev/null")} == set()
    used = {name: service["image"] for name, service in found.items()}
    assert {name: used[name] for name in services} == {
        name: f"modelgate/{name.removesuffix('-2')}:1.2.3" for name in services
    }
    assert ("redis" in used, "mirror" in used) == ((False, True) if settings else (True, False))
    assert all(image.startswith("modelgate/") for image in used.values())


def test_buildx_takes_the_targets_of_a_release() -> None:
    targets = bake_file(published=True)
    printed = subprocess.run(
        ["docker", "buildx", "bake", "--file", "-", "--print"],
        input=json.dumps(targets),
        check=True,
        capture_output=True,
        text=True,
    )
    read = json.loads(printed.stdout)["target"]
    assert set(read) == set(targets["target"])
    for name, target in read.items():
        assert target["platforms"] == ["linux/amd64", "linux/arm64"]
        assert {kind.partition(",")[0] for kind in target["attest"]} == {"type=provenance", "type=sbom"}
        assert name not in SERVICES or target["tags"] == [f"modelgate/{name}:{VERSION}"]


def test_a_release_with_environments_has_a_worker_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENTS", "sklearn-1.2,sklearn-1.5")
    targets = bake_file(published=False)["target"]
    assert targets["trainer"]["args"]["ENVIRONMENTS"] == "sklearn-1.2 sklearn-1.5"
    assert targets["worker-sklearn-1-2"]["args"]["ENVIRONMENT"] == "sklearn-1.2"
    image = f"modelgate/worker-sklearn-1.2:{VERSION}"
    assert targets["worker-sklearn-1-2"]["tags"] == [image]
    file = tmp_path / "compose.release.yml"
    file.write_text(compose_files()[file.name])
    command = ["docker", "compose", "--env-file", "/dev/null", "--file", file, "config", "--format", "json"]
    environment = {"PATH": os.environ["PATH"], "COMPOSE_PROFILES": "sklearn-1.2,sklearn-1.5,sklearn-1.6"}
    read = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    services = json.loads(read.stdout)["services"]
    assert {name for name in services if name.startswith("worker")} == {
        "worker",
        "worker-sklearn-1.2",
        "worker-sklearn-1.5",
    }
    assert services["worker-sklearn-1.2"] == services["worker"] | {"profiles": ["sklearn-1.2"], "image": image}


def test_images_of_an_unknown_environment_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENTS", "auto")
    with pytest.raises(SystemExit, match="'auto' is no environment"):
        bake_file(published=False)


def test_an_upgrade_says_where_the_file_of_docker_compose_has_to_be(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modelgate.command", "upgrade", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert f"in {tmp_path}, COMPOSE_FILE in .env must name the file of Modelgate" in ended.stderr
