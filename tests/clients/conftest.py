"""A Modelgate of the main environment, asked by clients that others wrote, in theirs.

Nothing here imports a package of ours: a client has only an address. The exception is `Modelgate`, which starts it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

PROJECT = Path(__file__).parents[2]
START = 180.0
"""Seconds that the first training of the models may take."""
MODELS = "iris,loan,boston"

ADMIN_KEY = "a" * 64

LOAN = {
    "Gender": "Male",
    "Married": "Yes",
    "Dependents": "0",
    "Education": "Graduate",
    "Self_Employed": "No",
    "ApplicantIncome": 5720,
    "CoapplicantIncome": 0,
    "LoanAmount": 110,
    "Loan_Amount_Term": 360,
    "Credit_History": 1.0,
    "Property_Area": "Urban",
}
IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


@dataclass(frozen=True)
class Modelgate:
    """A running `make up`: its address and the folder of its models."""

    port: int
    models: Path

    @property
    def host(self) -> str:
        """As the clients of protocols that add the scheme themselves want it."""
        return f"127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        return f"http://{self.host}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(folder: Path, models: Path, **settings: str) -> Iterator[Modelgate]:
    """Run Modelgate as `make up` does, with `settings`, until the end of the context."""
    running = Modelgate(free_port(), models)
    inherited = {name: value for name, value in os.environ.items() if name not in ("HOST", "REDIS_URL", "MAKEFLAGS")}
    environment = {
        **inherited,
        "PORT": str(running.port),
        "STATE_DIR": str(folder / "state"),
        "MODELS_DIR": str(models),
        "TRAIN_ON_START": MODELS,
        **settings,
    }
    command = [".venv/bin/python", "-m", "launcher"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
    try:
        until_ready(running, process, folder / "log")
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def until_ready(running: Modelgate, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until every model is served."""
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        if "Modelgate is ready at" in log.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository that the first start fills and later starts reuse."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def modelgate(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Modelgate]:
    """A Modelgate without keys, for all tests that only send requests."""
    with started(tmp_path_factory.mktemp("modelgate"), models) as running:
        yield running


@pytest.fixture
def only_iris(modelgate: Modelgate, tmp_path: Path) -> Path:
    """A model repository with one of the models."""
    shutil.copytree(modelgate.models / "iris", tmp_path / "models" / "iris")
    return tmp_path / "models"


def answered(modelgate: Modelgate, model: str, rows: object, method: str = "predict") -> dict[str, Any]:
    """Return the output of the job that our own protocol makes of the rows."""
    asked = f"{modelgate.address}/v1/models/{model}/{method}"
    job = requests.post(asked, json=rows, headers={"Prefer": "wait=30"}, timeout=60).json()
    assert job.get("status") == "succeeded", job
    output: dict[str, Any] = job["output"]
    return output
