"""Two gateways behind HAProxy: what happens to one of them fails nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.qa.system.load import Load
from tests.qa.system.stack import IRIS, ROOT, Stack, until

TWO_GATEWAYS = "docker-compose.yml:compose.scale.yml"
GATEWAYS = ("gateway", "gateway-2")


@pytest.fixture(scope="module", autouse=True)
def _two_gateways(stack: Stack) -> Iterator[None]:
    with stack.settings(COMPOSE_FILE=TWO_GATEWAYS):
        stack.up("--build")
        yield
        stack.down()  # the network of the proxy as well, whose addresses the next stack needs


def _ids(stack: Stack, *services: str) -> set[str]:
    return {container["Id"] for service in services for container in stack.containers(service)}


def _reloads(stack: Stack) -> int:
    return stack.compose("logs", "haproxy").count("Former worker")


def test_an_upgrade_under_load_fails_nothing(stack: Stack) -> None:
    services = ("worker", *GATEWAYS, "trainer")
    before = _ids(stack, *services)
    with Load(stack) as load:
        load.go_on()
        with stack.changed(MAX_WAIT=59):
            said = stack.upgrade()
        load.go_on()
    assert load.failures == []
    assert {job["status"] for job in stack.finished(load.polled[::10])} == {"succeeded"}
    assert not before & _ids(stack, *services)
    lines = [line.rpartition(" ")[2] for line in said.splitlines() if "replacing" in line]
    assert lines == ["redis", "worker", "gateway", "gateway-2", "trainer", "events", "haproxy"]


def test_an_upgrade_replaces_one_worker_after_the_other(stack: Stack) -> None:
    stack.up("--scale", "worker=2")
    before = _ids(stack, "worker")
    replaced = 0

    def at_rest() -> bool:
        """Whether no worker is being replaced; at any time, one that is ready serves."""
        nonlocal replaced
        try:
            workers = stack.containers("worker")
        except AssertionError:  # one was removed between the two commands of Docker
            return False
        serving = [
            container for container in workers if container["State"].get("Health", {}).get("Status") == "healthy"
        ]
        assert serving, "no worker is ready"
        replaced = len({container["Id"] for container in serving} - before)
        return upgrade.done()

    with ThreadPoolExecutor(1) as pool, stack.changed(MAX_WAIT=58):
        upgrade = pool.submit(stack.upgrade)
        until(at_rest, 600)
        upgrade.result()
        assert at_rest()
    assert replaced == 2


def test_an_upgrade_lets_haproxy_read_its_configuration_and_loses_no_connection(stack: Stack, tmp_path: Path) -> None:
    folder, mounted = tmp_path / "haproxy", tmp_path / "mounted.yml"
    shutil.copytree(ROOT / "gateway" / "haproxy", folder)
    tmp_path.chmod(0o755)
    mounted.write_text(f'services: {{haproxy: {{volumes: ["{folder}:/usr/local/etc/haproxy:ro"]}}}}')
    configuration = folder / "haproxy.cfg"
    with stack.settings(COMPOSE_FILE=f"{TWO_GATEWAYS}:{mounted}"):
        stack.up()
        before = _ids(stack, "haproxy")
        with Load(stack) as load:
            load.go_on()
            changed = configuration.read_text().replace("timeout client 60s", "timeout client 61s")
            configuration.unlink()  # as git does it
            configuration.write_text(changed)
            stack.upgrade()
            until(lambda: _reloads(stack) > 0)
            load.go_on()
            for _ in range(10):  # a new process that does not know the gateways yet fails a request in some of them
                reloads = _reloads(stack)
                stack.compose("exec", "-T", "haproxy", "sh", "-c", "kill -USR2 1")
                until(lambda reloads=reloads: _reloads(stack) > reloads)
                load.go_on()
            configuration.write_text("nonsense")
            with pytest.raises(AssertionError, match=r"goes on with the old one"):
                stack.upgrade()
            load.go_on()
        assert load.failures == []
        assert _ids(stack, "haproxy") == before
        configuration.write_text(changed)
        (proxy,) = stack.containers("haproxy")
        stack.execute(proxy["Id"], "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)")
        until(lambda: stack.containers("haproxy")[0]["RestartCount"] > proxy["RestartCount"])
        until(lambda: stack.containers("haproxy")[0]["State"]["Health"]["Status"] == "healthy")


def test_a_killed_gateway_costs_only_the_requests_that_it_held(stack: Stack) -> None:
    with Load(stack) as load:
        load.go_on()
        stack.compose("kill", "gateway-2")
        load.go_on(300)
        held = len(load.failures)
        stack.compose("start", "gateway-2")
        load.go_on()
    assert len(load.failures) == held <= load.clients
    assert {job["status"] for job in stack.finished(load.accepted)} == {"succeeded"}


def test_a_gateway_that_is_gone_is_named(stack: Stack) -> None:
    until(lambda: "missing_gateways" not in stack.wrong(), 60)
    stack.compose("stop", "gateway-2")
    until(lambda: "missing_gateways" in stack.wrong(), 60)
    stack.compose("start", "gateway-2")
    until(lambda: "missing_gateways" not in stack.wrong(), 60)


def test_an_upgrade_stops_at_a_gateway_that_does_not_start(stack: Stack, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text('services: {gateway: {command: ["false"]}}')
    (second,) = _ids(stack, "gateway-2")
    with Load(stack) as load, stack.changed(COMPOSE_FILE=f"{TWO_GATEWAYS}:{broken}", MAX_WAIT=59):
        with pytest.raises(AssertionError, match=r"modelgate: the new gateway does not become healthy.*logs gateway"):
            stack.upgrade()
        assert _ids(stack, "gateway-2") == {second}
        load.go_on()
    assert load.failures == []


def test_haproxy_hands_on_the_events_of_a_job_as_they_come(stack: Stack) -> None:
    started = requests.post(f"http://127.0.0.1:{stack.port}/v1/models/iris/train", json={}, timeout=30).json()
    names = []
    with requests.get(
        f"http://127.0.0.1:{stack.port}/v1/jobs/{started['id']}/events", stream=True, timeout=120
    ) as events:
        assert events.headers["Content-Type"].startswith("text/event-stream")
        for line in events.iter_lines(chunk_size=1):
            if line.startswith(b"event: "):
                names.append(line.decode().removeprefix("event: "))
            if names[-1:] == ["end"]:
                break
    assert "progress" in names and names[-1] == "end"


def test_gateways_can_be_added(stack: Stack) -> None:
    stack.up("--scale", "gateway=2")
    assert len(stack.containers("gateway")) == 2
    with Load(stack) as load:
        load.go_on()
    assert load.failures == []


def test_without_any_gateway_the_answer_is_a_problem(stack: Stack) -> None:
    stack.compose("stop", *GATEWAYS)
    until(lambda: stack.predict("iris", IRIS).status_code == 503)
    answer = stack.predict("iris", IRIS)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.json()["code"], answer.headers["Retry-After"]) == ("no_gateway", "1")
