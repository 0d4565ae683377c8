"""One compose stack for all tests that a process runs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

import pytest

from tests.qa.system.stack import TWO_GATEWAYS, Stack, why_no_docker


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
