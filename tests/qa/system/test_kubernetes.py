"""The overlay `small` in containers, without a cluster: it serves, trains, and survives each container being killed."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import textwrap
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.deploy.kubernetes.manifests import Object, secrets, users_overlay
from tests.qa.system.kubelet import Node, docker
from tests.qa.system.stack import FINAL, IRIS, ROOT, until, why_no_docker
from tests.stacks.object_store import s3_server

SERVICES = ("redis", "gateway", "worker", "trainer", "observer", "events")
IMAGES = (*SERVICES, "mirror")
DOCKERFILES = {"redis": "broker/acl/Dockerfile"}


STORED = """
resources: [../deploy/kubernetes/base]
components:
  - ../deploy/kubernetes/components/redis
  - ../deploy/kubernetes/components/object-store
  - ../deploy/kubernetes/components/release
"""
"""As `available`, but with a Redis beside it and one pod of each."""


@pytest.fixture(scope="module")
def images() -> Iterator[str]:
    """Build the images, for these tests alone; return what stands before their names."""
    reason = why_no_docker() or ("only root gives files to groups" if os.getuid() else None)
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    names = [f"k8s-modelgate/{service}:test" for service in IMAGES]
    for service, name in zip(IMAGES, names, strict=True):
        dockerfile = DOCKERFILES.get(service, f"{service}/Dockerfile")
        docker("build", "--quiet", "--tag", name, "--file", str(ROOT / dockerfile), str(ROOT), timeout=900)
    yield "k8s-modelgate"
    subprocess.run(["docker", "image", "rm", *names], capture_output=True)


def _rendered(folder: Path, images: str, parts: str, *settings: str) -> list[Object]:
    """Return the objects of a user's overlay with `parts` of ours, and the secrets."""
    tags = [f"{{ name: modelgate/{s}, newName: {images}/{s}, newTag: test }}" for s in IMAGES]
    overlay = f"""
        namespace: modelgate
        {parts}
        images: [{", ".join(tags)}]
        configMapGenerator:
          - {{ name: settings, behavior: merge, literals: [{", ".join(settings)}] }}
        """
    return [*users_overlay(folder, textwrap.dedent(overlay)), secrets(folder / "keys")]


@pytest.fixture(scope="module")
def node(images: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The overlay `small`, ready."""
    folder = tmp_path_factory.mktemp("node")
    parts = "resources: [../deploy/kubernetes/overlays/small]"
    node = Node(_rendered(folder, images, parts, "TRAIN_ON_START=iris"), folder, f"{images}/redis:test")
    try:
        node.start()
        node.wait()
        yield node
    finally:
        node.remove()


@pytest.fixture(scope="module")
def mirrored(images: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """STORED, ready: models and files are in an object store, and each pod has a mirror."""
    folder = tmp_path_factory.mktemp("mirrored")
    name = f"k8s-{uuid.uuid4().hex[:8]}"
    docker("network", "create", name)
    try:
        (network,) = json.loads(docker("network", "inspect", name))
        with s3_server(folder, network["IPAM"]["Config"][0]["Gateway"]) as s3:
            stored = folder / "stored"
            stored.mkdir()
            (stored / "kustomization.yaml").write_text(STORED)
            urls = [f"{name}={s3.bucket()}" for name in ("MODELS_URL", "SPOOL_URL")]
            objects = _rendered(folder, images, "resources: [../stored]", *urls, "TRAIN_ON_START=iris")
            options = base64.b64encode(s3.options().read_bytes()).decode()
            made = {"kind": "Secret", "metadata": {"name": "object-store"}, "data": {"options.json": options}}
            node = Node([*objects, made], folder, f"{images}/redis:test", name)
            try:
                node.start()
                node.wait()
                yield node
            finally:
                node.remove()
    finally:
        subprocess.run(["docker", "network", "rm", name], capture_output=True)


class Client:
    """Asks the gateway as the administrator."""

    def __init__(self, node: Node) -> None:
        self._node = node
        key = (node.folder / "keys" / "admin").read_text().strip()
        self._headers = {"Authorization": f"Bearer {key}"}

    def ask(self, method: str, path: str, **arguments: Any) -> requests.Response:
        headers = self._headers | arguments.pop("headers", {})
        return requests.request(
            method, self._node.containers["gateway"].url + path, headers=headers, timeout=90, **arguments
        )

    def predict(self, wait: int = 0) -> dict[str, Any]:
        response = self.ask("POST", "/v1/models/iris/predict", json=IRIS, headers={"Prefer": f"wait={wait}"})
        assert response.status_code in (200, 202), response.text
        return dict(response.json())

    def accepted(self, count: int) -> list[str]:
        """Return the ids of `count` jobs that were accepted. Repeats requests that were refused or got no answer."""

        def submit(_: int) -> str:
            job: dict[str, Any] = {}

            def taken() -> bool:
                try:
                    job.update(self.predict())
                except (requests.RequestException, AssertionError):
                    return False
                return True

            until(taken, 120)
            return str(job["id"])

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(submit, range(count)))

    def ended(self, ids: list[str]) -> set[str]:
        """Return the statuses of the jobs, once all have ended."""

        def status(job_id: str) -> str:
            response = self.ask("GET", f"/v1/jobs/{job_id}?wait=5")
            return str(response.json()["status"]) if response.status_code == 200 else f"{response.status_code}"

        with ThreadPoolExecutor(8) as pool:
            until(lambda: {*pool.map(status, ids)} <= FINAL | {"404"}, 120)
            return {*pool.map(status, ids)}


@pytest.fixture(scope="module")
def client(node: Node) -> Client:
    return Client(node)


def test_it_serves_and_trains(node: Node, client: Client) -> None:
    _serves_and_trains(node, client)


def _serves_and_trains(node: Node, client: Client) -> None:
    assert client.predict(wait=30)["output"]["predictions"] == [0]
    assert requests.get(f"{node.containers['gateway'].url}/v1/models", timeout=30).status_code == 401, "without a key"
    training = client.ask("POST", "/v1/models/iris/train", json={}).json()
    until(lambda: client.ask("GET", f"/v1/jobs/{training['id']}").json()["status"] in FINAL)
    job = client.ask("GET", f"/v1/jobs/{training['id']}").json()
    assert (job["status"], job["output"]["version"]) == ("succeeded", 2), job
    make = "python -m gateway key add --name prometheus --scopes read"
    key = node.containers["gateway"].execute(*make.split())
    assert client.ask("GET", "/metrics", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    until(lambda: client.ask("GET", "/v1/system").json()["alerts"] == [], 120)


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_has_no_rights_and_writes_to_its_volumes_alone(node: Node, service: str) -> None:
    pod = node.containers[service]
    lines = [line.split() for line in pod.execute("sh", "-c", "cat /proc/[0-9]*/status || true").splitlines()]
    assert {line[1] for line in lines if line and line[0] in ("CapEff:", "CapPrm:", "CapBnd:")} == {"0" * 16}
    assert {line[1] for line in lines if line and line[0] == "NoNewPrivs:"} == {"1"}
    assert "0" not in {line[1] for line in lines if line and line[0] == "Uid:"}
    mounts = pod.execute("cat", "/proc/mounts").splitlines()
    assert "ro" in next(mount.split()[3] for mount in mounts if mount.split()[1] == "/").split(",")
    assert "Z" not in {line[1] for line in lines if line and line[0] == "State:"}, "it reaps its children"


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_container_loses_no_job(node: Node, client: Client, service: str) -> None:
    pod = node.containers[service]
    before, ids = pod.restarts, client.accepted(50)
    pod.kill()
    ids += client.accepted(50)
    until(lambda: pod.restarts > before and pod.ready, 300)
    assert client.ended(ids) == {"succeeded"}
    assert client.predict(wait=30)["status"] == "succeeded"


def test_nothing_is_restarted_while_redis_is_away(node: Node, client: Client) -> None:
    others = [pod for name, pod in node.containers.items() if name != "redis"]
    before = [pod.restarts for pod in others]
    node.containers["redis"].pause()
    try:
        until(lambda: client.ask("GET", "/health/ready").status_code == 503, 60)
        probes = [
            (pod.name, kind) for pod in others for kind in ("startupProbe", "livenessProbe") if not pod.probe(kind)
        ]
        assert probes == []
        assert node.containers["gateway"].ready, "callers learn why"
    finally:
        node.containers["redis"].go_on()
    node.wait()
    assert client.predict(wait=30)["status"] == "succeeded"
    assert [pod.restarts for pod in others] == before


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_stops_within_its_time(node: Node, client: Client, service: str) -> None:
    pod = node.containers[service]
    ids = client.accepted(50)
    pod.pause()
    try:
        exit_code, seconds = pod.ended
        assert (exit_code, seconds < pod.grace) == (0, True), pod.logs()
    finally:
        pod.go_on()
    node.wait()
    assert client.ended(ids) == {"succeeded"}


@pytest.mark.slow
def test_pods_with_mirrors_serve_train_and_survive(mirrored: Node) -> None:
    client = Client(mirrored)
    _serves_and_trains(mirrored, client)
    assert {name for name in mirrored.containers if "/" in name} == {
        f"{service}/mirror" for service in ("gateway", "worker", "trainer", "observer", "events")
    }
    for name in ("worker", "worker/mirror", "trainer/mirror", "gateway"):
        container = mirrored.containers[name]
        before, ids = container.restarts, client.accepted(20)
        container.kill()
        ids += client.accepted(20)
        until(lambda: container.restarts > before and container.ready, 300)  # noqa: B023
        assert client.ended(ids) == {"succeeded"}, name
    job = client.ask("POST", "/v1/models/iris/train", json={}).json()
    until(lambda: client.ask("GET", f"/v1/jobs/{job['id']}").json()["status"] in FINAL)
    assert client.ask("GET", f"/v1/jobs/{job['id']}").json()["output"]["version"] == 3
