"""The compose files: who owns the volumes, limits of memory, tags and health checks of other programs' images."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from deploy.images import _BASES
from tests.support import PROJECT

FILES = ("docker-compose.yml", "compose.scale.yml", "compose.sentinel.yml", "compose.machine.yml")


class _Loader(yaml.SafeLoader):
    """Reads `!override` and `!reset` as if they were not there."""


def _untagged(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else None


_Loader.add_multi_constructor("!", _untagged)


def services(file: str) -> dict[str, dict[str, Any]]:
    loaded: dict[str, dict[str, Any]] = yaml.load((PROJECT / file).read_text(), _Loader)["services"]
    return {name: service for name, service in loaded.items() if service}


def volumes(service: dict[str, Any]) -> dict[str, str]:
    """Return the target of each named volume that a service writes."""
    mounted = {}
    for volume in service.get("volumes", ()):
        if isinstance(volume, str):
            name, _, target = volume.partition(":")
            if re.match(r"[a-z]", name) and not target.endswith(":ro"):
                mounted[name] = target
        elif volume["type"] == "volume" and not volume.get("read_only"):
            mounted[volume["source"]] = volume["target"]
    return mounted


@pytest.mark.parametrize("file", FILES)
def test_all_that_the_services_write_is_given_to_their_user(file: str) -> None:
    all_services = services(file)
    given = volumes(all_services.pop("owner", {}))
    used = {
        name
        for service in all_services.values()
        if "UID" in service.get("user", "UID") and service.get("profiles") != ["monitoring"]
        for name, target in volumes(service).items()
        if not target.startswith("/users/")  # passwords that everybody in the container may read
    }
    assert used - given.keys() == set()


def test_a_release_with_the_same_redis_replaces_neither_it_nor_the_owner_of_its_volume() -> None:
    """Compose replaces a container when it replaces one on which that depends."""
    of_checkout = services("docker-compose.yml")
    assert of_checkout["owner"]["build"] == of_checkout["redis"]["build"]
    assert services("deploy/compose.images.yml")["owner"]["image"] == "@redis@"


@pytest.mark.parametrize("file", FILES)
def test_no_container_swaps(file: str) -> None:
    limits = {name: (s.get("mem_limit"), s.get("memswap_limit")) for name, s in services(file).items()}
    assert [name for name, (memory, swap) in limits.items() if memory != swap] == []
    if file == "docker-compose.yml":
        assert [name for name, (memory, _) in limits.items() if not memory] == ["grpc", *_environments()]


def _environments() -> list[str]:
    """Return the workers of environments, which extend the worker."""
    return [name for name in services("docker-compose.yml") if name.startswith("worker-")]


def test_images_of_other_programs_have_a_tag_and_a_health_check() -> None:
    others = {
        name: service
        for file in FILES
        for name, service in services(file).items()
        if "image" in service and "build" not in service
    }
    assert {name: service["image"] for name, service in others.items()} == _BASES
    assert [image for image in _BASES.values() if not re.search(r":v?\d+\.", image)] == []
    assert [name for name, service in others.items() if "healthcheck" not in service] == []


@pytest.mark.parametrize(("chosen", "receivers"), [("", [{"name": "nobody"}]), ("-url", None)])
def test_alertmanager_sends_only_with_a_url(chosen: str, receivers: object) -> None:
    command = services("docker-compose.yml")["alertmanager"]["command"][0]
    path = command.partition("=")[2].replace("${ALERTS_TO:+-url}", chosen)
    config = yaml.safe_load((PROJECT / path.replace("/etc/", "monitoring/")).read_text())
    url_file = [{"name": "url", "webhook_configs": [{"url_file": "/alerts-to"}]}]
    assert config["receivers"] == (receivers or url_file)
    assert config["route"]["receiver"] == config["receivers"][0]["name"] and config["inhibit_rules"]
