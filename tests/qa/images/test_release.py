"""Modelgate as operators get it: images by tag and one file, without a checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.release import VERSION
from deploy.images import SERVICES, bake_file, compose_files
from tests.qa.system.load import Load
from tests.qa.system.stack import GATEWAYS, IRIS, ROOT, Stack, why_no_docker

SERVING = ("worker", *GATEWAYS, "trainer", "observer", "events")
NEXT = f"{VERSION}-next"
"""A release with the same code. Its images differ in their labels, so every container of ours is replaced."""
_HERE = {"prometheus", "alertmanager", "grafana"}
"""What the tests do not start, and whose base image may not be on this machine."""


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Modelgate from images, up and healthy."""
    if reason := why_no_docker():
        pytest.skip(reason)
    for version in (VERSION, NEXT):
        targets = bake_file(version, published=False)
        chosen = [name for name in targets["target"] if name not in _HERE]
        command = ["docker", "buildx", "bake", "--file", "-", "--load", *chosen]
        subprocess.run(command, cwd=ROOT, input=json.dumps(targets), text=True, check=True, stderr=subprocess.DEVNULL)
    folder = tmp_path_factory.mktemp("release")
    (folder / "compose.release.yml").write_text(compose_files()["compose.release.yml"])
    stack = Stack(Path("models"), os.getuid() or 1000, folder)
    with stack.changed(COMPOSE_FILE="compose.release.yml", TRAIN_ON_START="iris"):
        try:
            stack.up()
            yield stack
        finally:
            stack.down("--volumes")


def _versions(stack: Stack) -> dict[str, str]:
    """Return the tag of the image that each service runs."""
    return {
        container["Config"]["Labels"]["com.docker.compose.service"]: container["Config"]["Image"].rpartition(":")[2]
        for container in stack.containers()
    }


def test_one_file_and_env_start_it(release: Stack) -> None:
    assert release.prediction("iris", IRIS)["predictions"] == [0]
    versions = _versions(release)
    assert {versions[service] for service in SERVING} == {VERSION}
    assert {versions[service] for service in ("redis", "haproxy")}.isdisjoint({VERSION, "latest"})


def test_the_next_release_and_back_under_load_fail_nothing(release: Stack) -> None:
    before, (redis,) = _versions(release), release.containers("redis")
    with Load(release) as load:
        load.go_on()
        with release.changed(MODELGATE_VERSION=NEXT):
            release.upgrade()
            after = _versions(release)
            load.go_on()
        release.upgrade()
        load.go_on()
    assert load.failures == []
    assert {job["status"] for job in release.finished(load.polled[::10])} == {"succeeded"}
    assert after == before | dict.fromkeys(SERVING, NEXT)
    assert _versions(release) == before
    assert [container["Id"] for container in release.containers("redis")] == [redis["Id"]]


def test_images_are_no_larger_than_the_documentation_says(release: Stack) -> None:
    (page,) = re.findall(r"## Images\n(.*?)\n## ", (ROOT / "docs/how-to/scale.md").read_text() + "\n## ", re.S)
    documented = {name: int(size) for name, size in re.findall(rf"({'|'.join(SERVICES)}) (\d+) MB", page)}
    images = release.inspect(*(f"modelgate/{name}:{VERSION}" for name in SERVICES), "python:3.13-slim")
    base = images.pop()["Size"]
    sizes = {name: round((image["Size"] - base) / 1e6) for name, image in zip(SERVICES, images, strict=True)}
    assert set(documented) == set(SERVICES)
    assert all(documented[name] * 0.9 <= size <= documented[name] for name, size in sizes.items()), sizes


def test_images_say_what_they_are(release: Stack) -> None:
    for image in release.inspect(*(f"modelgate/{name}:{VERSION}" for name in SERVICES)):
        labels = image["Config"]["Labels"]
        assert labels["org.opencontainers.image.version"] == VERSION
        assert re.fullmatch("[0-9a-f]{40}", labels["org.opencontainers.image.revision"])
