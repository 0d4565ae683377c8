"""What a release tells Docker, without building it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.release import VERSION
from deploy.images import SERVICES, bake_file, compose_file
from tests.qa.system.stack import why_no_docker

pytestmark = pytest.mark.skipif(bool(why_no_docker()), reason="needs Docker")


def test_the_compose_file_of_a_release_needs_no_checkout(tmp_path: Path) -> None:
    (tmp_path / "compose.release.yml").write_text(compose_file("1.2.3"))
    command = ["docker", "compose", "--file", "compose.release.yml", "--profile", "monitoring", "config"]
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}  # no setting
    read = subprocess.run(
        [*command, "--format", "json"], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    services = json.loads(read.stdout)["services"]
    assert not [name for name, service in services.items() if "build" in service]
    mounted = {
        mount["source"]
        for service in services.values()
        for mount in service.get("volumes", ())
        if mount["type"] == "bind"
    }
    assert mounted == {"/dev/null"}
    images = {name: service["image"] for name, service in services.items()}
    assert {name: images[name] for name in SERVICES} == {name: f"modelgate/{name}:1.2.3" for name in SERVICES}
    assert images["gateway-2"] == images["gateway"]
    assert all(image.startswith("modelgate/") for image in images.values())


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


def test_an_upgrade_says_where_the_file_of_docker_compose_has_to_be(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modelgate.command", "upgrade", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert f"in {tmp_path}, COMPOSE_FILE in .env must name the file of Modelgate" in ended.stderr
