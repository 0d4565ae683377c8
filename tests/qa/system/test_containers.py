"""What a container may do, and what of it can be reached."""

from __future__ import annotations

import pytest

from tests.qa.system.stack import Stack

SERVICES = ["events", "gateway", "observer", "redis", "trainer", "worker"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_runs_without_root_and_without_capabilities(stack: Stack, service: str) -> None:
    (container,) = stack.containers(service)
    assert stack.execute(container["Id"], "id", "-u").strip() != "0"
    # No process has any, and none can gain any (CapBnd).
    status = stack.execute(container["Id"], "sh", "-c", "cat /proc/[0-9]*/status || true")
    lines = [line.split() for line in status.splitlines()]
    assert {line[1] for line in lines if line and line[0] in ("CapEff:", "CapPrm:", "CapBnd:")} == {"0" * 16}
    assert {line[1] for line in lines if line and line[0] == "NoNewPrivs:"} == {"1"}
    assert "0" not in {line[1] for line in lines if line and line[0] == "Uid:"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_cannot_write_to_its_own_files(stack: Stack, service: str) -> None:
    (container,) = stack.containers(service)
    assert container["HostConfig"]["ReadonlyRootfs"]
    mounts = stack.execute(container["Id"], "cat", "/proc/mounts").splitlines()
    (options,) = [options for _, target, _, options, *_ in map(str.split, mounts) if target == "/"]
    assert "ro" in options.split(",")


@pytest.mark.parametrize("service", SERVICES)
def test_logs_are_rotated(stack: Stack, service: str) -> None:
    (container,) = stack.containers(service)
    assert {"max-size", "max-file"} <= container["HostConfig"]["LogConfig"]["Config"].keys()


def test_only_the_trainer_writes_to_the_model_repository(stack: Stack) -> None:
    def writable(service: str) -> bool | None:
        (container,) = stack.containers(service)
        return next((m["RW"] for m in container["Mounts"] if m["Destination"] == "/models"), None)

    assert {service: writable(service) for service in SERVICES} == {
        "events": False,
        "gateway": False,
        "observer": False,
        "redis": None,
        "trainer": True,
        "worker": False,
    }


def test_the_models_belong_to_the_user_and_not_to_root(stack: Stack) -> None:
    (trainer,) = stack.containers("trainer")
    user = stack.execute(trainer["Id"], "id", "-u").strip()
    owners = stack.execute(trainer["Id"], "find", "/models", "-printf", "%U\n").split()
    assert len(owners) > 5
    assert set(owners) == {user}


def test_only_the_gateway_is_published_and_on_loopback_only(stack: Stack) -> None:
    published = {
        (container["Config"]["Labels"]["com.docker.compose.service"], binding["HostIp"], binding["HostPort"])
        for container in stack.containers()
        for bindings in container["NetworkSettings"]["Ports"].values()
        for binding in bindings or []
    }
    assert published == {("gateway", "127.0.0.1", str(stack.port))}


def test_services_that_run_models_or_recipes_cannot_reach_the_internet(stack: Stack) -> None:
    for service in ("observer", "redis", "trainer", "worker"):
        (container,) = stack.containers(service)
        networks = container["NetworkSettings"]["Networks"]
        inside = [name for name in networks if name == "none" or stack.inspect(name)[0]["Internal"]]
        assert inside == list(networks)


@pytest.mark.parametrize("service", ["gateway", "events"])
def test_a_service_that_the_internet_reaches_cannot_unpickle_a_model(stack: Stack, service: str) -> None:
    (container,) = stack.containers(service)
    packages = ["numpy", "pandas", "sklearn", "joblib", "cloudpickle"]
    packages += ["modelgate_kernels", "scoring", "worker", "trainer"]
    program = f"import importlib.util as u; print([p for p in {packages} if u.find_spec(p)])"
    assert stack.execute(container["Id"], "python", "-c", program).strip() == "[]"
