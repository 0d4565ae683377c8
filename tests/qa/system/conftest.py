"""One compose stack for all tests that a process runs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

import pytest

from tests.qa.system.stack import KEYS_PAGE, TWO_GATEWAYS, Stack, why_no_docker


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Built, up and healthy. A test that scales or stops a service restores it with `up`."""
    reason = why_no_docker()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    models_dir = tmp_path_factory.mktemp("models")
    owner = os.getuid() or 1000  # the services must not be root, even where the tests are
    if os.getuid() == 0:
        os.chown(models_dir, owner, owner)
    stack = Stack(models_dir, owner)
    try:
        with (tmp_path_factory.getbasetemp().parent / "build.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the next process finds all in the cache
            stack.compose("build", timeout=900)
        stack.up()
        yield stack
    finally:
        stack.down("--volumes", "--rmi", "local")


@pytest.fixture(scope="module")
def two_gateways(stack: Stack) -> Iterator[None]:
    """Lets the stack have two gateways behind HAProxy."""
    with stack.settings(COMPOSE_FILE=TWO_GATEWAYS):
        stack.up("--build")
        yield
        stack.down()  # the network of the proxy as well, whose addresses the next stack needs


@pytest.fixture
def closed(stack: Stack) -> Iterator[Stack]:
    """The stack with a marker. Afterwards it is opened again, as the how-to says."""
    try:
        yield stack
    finally:
        (block,) = (block for block in KEYS_PAGE.split("```console\n") if "docker volume rm" in block)
        for line in block.partition("```")[0].splitlines():
            command = line.removeprefix("$ docker ")
            if command.startswith("compose "):
                stack.compose(*command.removeprefix("compose ").split())
            else:
                stack.remove_volume(command.removeprefix("volume rm modelgate_"))
        stack.up()
        assert stack.get("/v1/models").status_code == 200
