"""The overlays in deploy/kubernetes fit together, and a mistake of each kind is found."""

from __future__ import annotations

import copy
import functools
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from contract.release import VERSION
from deploy.images import images
from tests.deploy.kubernetes.conduct import check_conduct
from tests.deploy.kubernetes.manifests import FOLDER, Cluster, Object, kustomize, secrets, users_overlay
from tests.deploy.kubernetes.mistakes import MISTAKES
from tests.deploy.kubernetes.references import BY_HAND, check_references
from tests.deploy.kubernetes.rules import RULES_OF_KUBERNETES, prometheus_rule
from tests.deploy.kubernetes.schemas import check_schemas
from tests.support import PROJECT

OVERLAYS = sorted(folder.name for folder in (FOLDER / "overlays").iterdir())
ADDITIONS = ("ingress", "gateway-api", "monitoring")
"""The components that an overlay of a user adds."""


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Object:
    return secrets(tmp_path_factory.mktemp("secrets"))


@functools.cache
def _rendered(overlay: str) -> list[Object]:
    return kustomize(FOLDER / "overlays" / overlay)


@pytest.fixture
def cluster(secret: Object) -> Callable[[str], Cluster]:
    """An overlay with the secrets that it needs, as objects that a test may change."""
    return lambda overlay: Cluster(copy.deepcopy([*_rendered(overlay), secret]))


def _egress_ports(policy: Object) -> list[dict[str, int]]:
    return [port for rule in policy["spec"].get("egress", ()) for port in rule.get("ports", ())]


def problems(cluster: Cluster) -> list[str]:
    return [*check_references(cluster), *check_conduct(cluster), *check_schemas(cluster)]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_has_no_problem(cluster: Callable[[str], Cluster], overlay: str) -> None:
    assert problems(cluster(overlay)) == []


@pytest.mark.parametrize("addition", ADDITIONS)
def test_an_overlay_of_a_user_adds_a_component_and_settings(tmp_path: Path, secret: Object, addition: str) -> None:
    hosts = "gateway,modelgate.example.org"
    overlay = f"""
        namespace: modelgate
        resources: [../deploy/kubernetes/overlays/small]
        components: [../deploy/kubernetes/components/{addition}]
        configMapGenerator:
          - {{ name: settings, behavior: merge, literals: [LOG_FORMAT=json, "ALLOWED_HOSTS={hosts}"] }}
        """
    cluster = Cluster([*users_overlay(tmp_path, textwrap.dedent(overlay)), secret])
    assert problems(cluster) == []
    environments = [cluster.environment(c)[0] for c in cluster.containers() if c.spec["name"] != "redis"]
    assert {environment["LOG_FORMAT"] for environment in environments} == {"json"}


def test_the_overlay_of_the_how_to_has_no_problem(tmp_path: Path, secret: Object) -> None:
    page = (PROJECT / "docs" / "how-to" / "kubernetes.md").read_text()
    text, network = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    overlay = yaml.safe_load(text)
    overlay["patches"] += yaml.safe_load(network)["patches"]
    cluster = Cluster([*users_overlay(tmp_path, yaml.safe_dump(overlay)), secret])
    assert problems(cluster) == []
    used = {container.spec["image"].rpartition("/")[0] for container in cluster.containers()}
    assert used == {"registry.example.org/team/modelgate"}, "the page names each image"
    ports = {port["port"] for policy in cluster.of("NetworkPolicy") for port in _egress_ports(policy)}
    assert ports == {5353, 9000, 6379, 26379, 6380}
    literals = {literal for entry in yaml.safe_load(text)["configMapGenerator"] for literal in entry["literals"]}
    (settings,) = cluster.of("ConfigMap")
    assert literals <= {f"{name}={value}" for name, value in settings["data"].items()}, "a component overrides them"
    assert {name for name in BY_HAND if name not in page} == set(), "the page says how to make these secrets"


def test_the_overlay_with_an_environment_has_no_problem(tmp_path: Path, secret: Object) -> None:
    page = (PROJECT / "docs" / "how-to" / "serve-an-old-release.md").read_text()
    (text,) = re.findall(r"^```yaml\n(namespace: .*?)^```$", page, re.MULTILINE | re.DOTALL)
    cluster = Cluster([*users_overlay(tmp_path, text), secret])
    assert problems(cluster) == []
    images_of = {container.workload["metadata"]["name"]: container.spec["image"] for container in cluster.containers()}
    assert images_of["worker"] == f"modelgate/worker:{VERSION}"
    assert images_of["worker-sklearn-1-2"] == f"modelgate/worker-sklearn-1.2:{VERSION}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_pods_run_the_images_of_this_release(cluster: Callable[[str], Cluster], overlay: str) -> None:
    built = {"mirror": f"modelgate/mirror:{VERSION}"} | images("modelgate", VERSION)
    used = {
        container.spec["image"].partition(":")[0]: container.spec["image"]
        for container in cluster(overlay).containers()
    }
    expected = {name: built[name.removeprefix("modelgate/")] for name in used}
    assert used == expected, "write these tags into deploy/kubernetes/components/release/kustomization.yaml"


def test_the_rules_are_those_of_prometheus() -> None:
    assert RULES_OF_KUBERNETES.read_text() == prometheus_rule(), (
        "run: python -m tests.deploy.kubernetes.rules >deploy/kubernetes/components/monitoring/rules.yaml"
    )


def test_each_service_has_a_password_that_the_others_do_not_get(cluster: Callable[[str], Cluster]) -> None:
    for overlay in OVERLAYS:
        for container in cluster(overlay).containers():
            if container.spec["name"] == "redis":
                continue
            volumes = [container.volume(mount) or {} for mount in container.spec["volumeMounts"]]
            keys = [item["key"] for volume in volumes for item in volume.get("secret", {}).get("items", ())]
            passwords = {key for key in keys if key.startswith("redis-")}
            assert passwords == {f"redis-{container.spec['name']}"}, container.name


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(cluster: Callable[[str], Cluster], mistake: str) -> None:
    overlay, change, sentence = MISTAKES[mistake]
    broken = cluster(overlay)
    change(broken)
    found = problems(broken)
    assert any(sentence in problem for problem in found), found


def test_a_route_needs_a_service_and_a_host_that_the_gateway_knows(cluster: Callable[[str], Cluster]) -> None:
    broken = cluster("small")
    backend = {"name": "gateways", "port": 80}
    spec = {"parentRefs": [{"name": "public"}], "hostnames": ["a.example.org"], "rules": [{"backendRefs": [backend]}]}
    route = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "a"}, "spec": spec}
    broken.objects = [*broken.objects, route]
    assert problems(broken) == [
        "httproute/a: there is no service gateways",
        "httproute/a: the gateway refuses the host a.example.org, which ALLOWED_HOSTS does not name",
    ]
