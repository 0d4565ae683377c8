"""compose.machine.yml: a gateway, a worker and a trainer, each in a network of its own, with a route to Redis and to an
object store, and nothing else in common."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.qa.system.load import Load
from tests.qa.system.stack import IRIS, ROOT, Stack, until, why_no_docker
from tests.stacks.object_store import S3, s3_server
from tests.stacks.ports import free_port
from tests.support import SECRET

FILES = "docker-compose.yml:compose.machine.yml"
REDIS = os.environ.get("REDIS_IMAGE") or "redis:8"


@dataclass(frozen=True)
class Machines:
    gateway: Stack
    worker: Stack
    trainer: Stack


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    if reason := why_no_docker():
        pytest.skip(reason)
    folder, owner = tmp_path_factory.mktemp("machines"), os.getuid() or 1000
    folder.chmod(0o755)  # containers with other users read it
    # The address of this machine for all containers.
    (network,) = json.loads(_run("docker", "network", "inspect", "bridge"))
    addresses = network["IPAM"]["Config"][0]  # without a gateway until the engine has started a second time
    host = addresses.get("Gateway") or str(ipaddress.ip_network(addresses["Subnet"])[1])
    with ExitStack() as stack:
        s3 = stack.enter_context(s3_server(folder, host))
        settings = {
            "COMPOSE_FILE": FILES,
            "REDIS_ADDRESS": stack.enter_context(redis_with_tls(folder, host)),
            "REDIS_CA": str(folder / "ca.pem"),
            "REDIS_PASSWORDS": str(folder / "redis-passwords"),
            **settings_of_the_store(s3, folder),
        }
        for path in folder.rglob("*"):
            os.chown(path, owner, owner)
        yield Machines(*(stack.enter_context(machine(name, folder, owner, settings)) for name in PARTS))


PARTS = ("gateway", "worker", "trainer")


def settings_of_the_store(s3: S3, folder: Path) -> dict[str, str]:
    secret = folder / "trainer.secret"
    secret.write_text(SECRET)
    return {
        "MODELS_URL": s3.bucket(),
        "SPOOL_URL": s3.bucket(),
        "STORE_OPTIONS_FILE": str(s3.options()),
        "TRAINER_SECRET_FILE": str(secret),
    }


@contextmanager
def redis_with_tls(folder: Path, host: str) -> Iterator[str]:
    """Run a Redis that has Modelgate's users, as the how-to says; return its address."""
    with (folder / "users.acl").open("w") as file:
        command = ["sh", str(ROOT / "broker" / "acl" / "users"), str(folder / "redis-passwords")]
        subprocess.run(command, stdout=file, check=True, timeout=60)
    certificate = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=redis"]
    certificate += ["-addext", f"subjectAltName=IP:{host}"]
    _run(*certificate, "-keyout", str(folder / "redis.key"), "-out", str(folder / "ca.pem"))
    (folder / "redis.key").chmod(0o644)
    name, port = f"modelgate-test-redis-{uuid.uuid4().hex[:8]}", free_port()
    _run(
        *("docker", "run", "--detach", "--name", name, "--publish", f"{host}:{port}:6379"),
        *("--volume", f"{folder}:/of:ro", REDIS, "redis-server", "--port", "0", "--tls-port", "6379"),
        *("--tls-cert-file", "/of/ca.pem", "--tls-key-file", "/of/redis.key", "--tls-auth-clients", "no"),
        *("--aclfile", "/of/users.acl", "--appendonly", "yes", "--maxmemory-policy", "noeviction", "--save", ""),
    )
    try:
        yield f"{host}:{port}"
    finally:
        _run("docker", "rm", "--force", "--volumes", name)


@contextmanager
def machine(part: str, folder: Path, owner: int, settings: dict[str, str]) -> Iterator[Stack]:
    """Run one part in a compose project of its own: its own networks and volumes."""
    stack = Stack(folder, owner)
    with stack.changed(**settings, TRAIN_ON_START="iris"):
        try:
            stack.compose("build", part, "mirror", timeout=900)
            stack.up(part)
            yield stack
        finally:
            stack.down("--volumes", "--rmi", "local")


def test_no_two_machines_have_a_network_or_a_volume_in_common(machines: Machines) -> None:
    def shared(stack: Stack) -> set[str]:
        containers = stack.containers()
        assert {c["Config"]["Labels"]["com.docker.compose.service"] for c in containers} >= {"mirror"}
        networks = {network for c in containers for network in c["NetworkSettings"]["Networks"]}
        return networks | {mount["Name"] for c in containers for mount in c["Mounts"] if mount["Type"] == "volume"}

    a, b, c = map(shared, (machines.gateway, machines.worker, machines.trainer))
    assert a.isdisjoint(b | c)
    assert b.isdisjoint(c)


def test_a_mirror_may_do_no_more_than_other_containers(machines: Machines) -> None:
    (mirror,) = machines.worker.containers("mirror")
    assert mirror["HostConfig"]["ReadonlyRootfs"]
    assert mirror["HostConfig"]["CapDrop"] == ["ALL"]
    assert mirror["HostConfig"]["Memory"] > 0
    assert machines.worker.execute(mirror["Id"], "id", "-u").strip() != "0"
    (worker,) = machines.worker.containers("worker")
    assert {m["Destination"]: m["RW"] for m in worker["Mounts"]}["/models"] is False


def test_what_one_machine_trains_the_others_serve_without_a_failed_request(machines: Machines) -> None:
    gateway = machines.gateway
    until(lambda: gateway.get("/v1/models/iris").ok)
    assert gateway.prediction("iris", IRIS)["predictions"] == [0]
    first = gateway.get("/v1/models/iris").json()["version"]
    with Load(gateway, clients=4) as load:
        accepted = requests.post(f"{gateway.url}/v1/models/iris/train", timeout=60)
        (job,) = gateway.finished([accepted.json()["id"]])
        assert job["status"] == "succeeded", job
        load.go_on()
    assert load.failures == []
    assert gateway.get("/v1/models/iris").json()["version"] == job["output"]["version"] > first


def test_a_file_that_one_machine_receives_another_scores(machines: Machines) -> None:
    gateway = machines.gateway
    names = list(IRIS)
    rows = "\n".join([",".join(names), *[",".join(str(IRIS[name]) for name in names)] * 500])
    url, header = f"{gateway.url}/v1/models/iris/predict-file", {"Content-Type": "text/csv"}
    accepted = requests.post(url, data=rows + "\n", headers=header, timeout=60)
    assert accepted.status_code == 202, accepted.text
    (job,) = gateway.finished([accepted.json()["id"]])
    assert job["status"] == "succeeded", job
    output = gateway.get(f"/v1/jobs/{job['id']}/output").text
    assert len(output.splitlines()) == 501


def test_a_machine_serves_while_its_mirror_is_stopped(machines: Machines) -> None:
    machines.gateway.compose("stop", "mirror")
    try:
        assert machines.gateway.prediction("iris", IRIS)["predictions"] == [0]
    finally:
        machines.gateway.up("gateway")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout
