"""All of Modelgate as `make up` starts it: real processes, a real Redis, the five models."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.stacks.ports import free_port
from tests.support import DEADLINE, PROJECT, alive, command_line, outside_of_make, until

START = 240.0


@dataclass
class MakeUp:
    """One `make up` in its own folders."""

    folder: Path
    models: Path
    port: int = field(default_factory=free_port)
    settings: dict[str, str] = field(default_factory=dict)
    command: Sequence[str] = ("make", "up")
    process: subprocess.Popen[bytes] | None = None
    pids: set[int] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in outside_of_make().items() if name not in ("REDIS_URL", "HOST")}
        return {
            **inherited,
            "PORT": str(self.port),
            "STATE_DIR": str(self.folder / "state"),
            "MODELS_DIR": str(self.models),
            **self.settings,
        }

    def start(self, expect: str = "Modelgate is ready at") -> None:
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                self.command, cwd=PROJECT, env=self.environment(), stdout=log, stderr=log, start_new_session=True
            )
        until(lambda: expect in self.log or self.process.poll() is not None, f"{expect!r} in the log", START)
        assert expect in self.log, self.log
        self.pids = {self.process.pid} | {child.pid for child in psutil.Process(self.process.pid).children(True)}

    def children(self, module: str) -> list[psutil.Process]:
        """The processes whose command line has `module`."""
        assert self.process
        return [p for p in psutil.Process(self.process.pid).children(True) if module in " ".join(command_line(p))]

    def stop(self, sent: signal.Signals = signal.SIGINT) -> None:
        """SIGINT to the foreground's process group, as a terminal sends it; another signal to `make` alone."""
        if self.process is None or self.process.poll() is not None:
            return
        self.pids |= {child.pid for child in psutil.Process(self.process.pid).children(True)}
        if sent is signal.SIGINT:
            os.killpg(self.process.pid, sent)
        else:
            self.process.send_signal(sent)
        self.process.wait(DEADLINE)

    def left(self) -> list[int]:
        """The processes of this run that are still there."""
        return [pid for pid in self.pids if alive(pid)]

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.address + path, timeout=60, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return requests.post(self.address + path, timeout=60, **options)

    def serves_iris(self) -> bool:
        """Whether a prediction is answered; False while something is being started again."""
        try:
            row = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
            job = self.post("/v1/models/iris/predict", json=row, headers={"Prefer": "wait=1"}).json()
            return bool(job["status"] == "succeeded")
        except requests.ConnectionError:
            return False

    def predict(self, model: str, **options: Any) -> dict[str, Any]:
        """Posts and waits; the finished job."""
        response = self.post(f"/v1/models/{model}/predict", headers={"Prefer": "wait=60"}, **options)
        assert response.status_code == 200, response.text
        job: dict[str, Any] = response.json()
        assert job["status"] == "succeeded", job
        return job


@pytest.fixture(scope="session")
def five_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository that the first start fills and later starts reuse."""
    return tmp_path_factory.mktemp("five-models")


@pytest.fixture(scope="session")
def modelgate(tmp_path_factory: pytest.TempPathFactory, five_models: Path) -> Iterator[MakeUp]:
    """A running Modelgate for all tests that only send requests."""
    running = MakeUp(tmp_path_factory.mktemp("modelgate"), five_models)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def own_modelgate(tmp_path: Path, modelgate: MakeUp) -> Iterator[MakeUp]:
    """A Modelgate with trained models that a test starts, and may stop or break."""
    started = MakeUp(tmp_path, modelgate.models)
    try:
        yield started
    finally:
        started.stop()
