"""A Modelgate as `make up` starts it, and the client of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from modelgate import Client
from modelgate.scorer import _processes

from contract.settings import Settings
from tests.flow.conftest import MakeUp
from tests.gateway.conftest import scoring, settings  # noqa: F401
from tests.stacks.gateways import Gateway, serving
from tests.support import InThreads, until


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither variables nor profiles of who runs the tests say which Modelgate is asked."""
    for name in ("MODELGATE_URL", "MODELGATE_API_KEY", "MODELGATE_PROFILE", "MODELGATE_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeUp]:
    """A `make up` with the model iris, for tests that only send requests."""
    folder = tmp_path_factory.mktemp("client")
    running = MakeUp(folder, folder / "models", settings={"TRAIN_ON_START": "iris"})
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def server(settings: Settings) -> Iterator[Gateway]:  # noqa: F811
    with serving(settings) as running:
        yield running


@contextmanager
def interrupted(condition: Callable[[], Any], what: str) -> Iterator[None]:
    """Press Ctrl-C once `condition` is true, and fail unless it ends what is done here."""
    main = threading.get_ident()

    def press() -> None:
        until(condition, what)
        signal.pthread_kill(main, signal.SIGINT)

    with InThreads(press), pytest.raises(KeyboardInterrupt):
        yield


@pytest.fixture
def mg(running: MakeUp, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("MODELGATE_URL", running.address)
    with Client() as client:
        yield client


@pytest.fixture
def scoring_processes_end() -> Iterator[None]:
    """Ends the processes that score for this one. They end with it otherwise."""
    yield
    while _processes:
        process = _processes.popitem()[1]._process
        process.kill()
        process.wait()
