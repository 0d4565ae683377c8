"""A Modelgate as `make up` starts it, and the client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from modelgate import Client

from tests.flow.conftest import MakeUp


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
def mg(running: MakeUp, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("MODELGATE_URL", running.address)
    with Client() as client:
        yield client
