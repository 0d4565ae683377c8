"""An upgrade of the containers, one after the other: it fails no request."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.qa.system.load import Load
from tests.qa.system.stack import GATEWAYS, ROOT, TWO_GATEWAYS, Stack, until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("two_gateways")]


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
    assert lines == ["redis", "observer", "worker", "gateway", "gateway-2", "trainer", "events", "haproxy"]


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
        until(at_rest, 600, pause=1)
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
