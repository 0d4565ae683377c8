"""A Modelgate of the main environment, asked by clients that others wrote, in theirs.

Nothing here imports the product: a client has only an address.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.stacks.ports import free_port

PROJECT = Path(__file__).parents[3]
START = 600.0
"""Seconds that the first training of the models may take."""
MODELS = "iris,loan,boston"
PATIENCE = 120_000
"""Milliseconds that a page may take on a slow machine."""
expect.set_options(timeout=PATIENCE)
_Answer = TypeVar("_Answer")

COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
"""Keeps what a process compiles: the environment has nothing compiled, and compiling MLflow takes ten seconds."""

ADMIN_KEY = "a" * 64
AS_ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}

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
    process: int
    """The id of its launcher."""

    @property
    def host(self) -> str:
        """As the clients of protocols that add the scheme themselves want it."""
        return f"127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        return f"http://{self.host}"


@dataclass(frozen=True)
class GrpcModelgate(Modelgate):
    """One that serves gRPC, too."""

    grpc_port: int

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"


@contextmanager
def started_with_grpc(folder: Path, models: Path, **settings: str) -> Iterator[GrpcModelgate]:
    """Run one as `started` does, with a gRPC server."""
    port = free_port()
    with started(folder, models, GRPC_PORT=str(port), **settings) as running:
        end = time.monotonic() + START
        while time.monotonic() < end and f"listening on 127.0.0.1:{port}" not in (folder / "log").read_text():
            time.sleep(0.1)
        yield GrpcModelgate(running.port, running.models, running.process, port)


@contextmanager
def started(folder: Path, models: Path, **settings: str) -> Iterator[Modelgate]:
    """Run Modelgate as `make up` does, with `settings`, until the end of the context."""
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if name not in ("HOST", "REDIS_URL", "MAKEFLAGS")}
    environment = {
        **inherited,
        "PORT": str(port),
        "STATE_DIR": str(folder / "state"),
        "MODELS_DIR": str(models),
        "TRAIN_ON_START": MODELS,
        **settings,
    }
    command = [".venv/bin/python", "-m", "launcher"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
    running = Modelgate(port, models, process.pid)
    try:
        until_ready(running, process, folder / "log")
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(300)


def until_ready(running: Modelgate, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until every model is served."""
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        if "Modelgate is ready at" in log.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def soon(ask: Callable[[], _Answer]) -> _Answer:
    """Return the answer, which is asked for again while it is false: on a busy machine, a gateway whose check takes
    long is not ready for a moment."""
    end = time.monotonic() + PATIENCE / 1000
    while not (answer := ask()) and time.monotonic() < end:
        time.sleep(0.2)
    return answer


def accepted_training(address: str, **sent: Any) -> dict[str, Any]:
    """Return the job of a training that is asked for at this address, as soon as a trainer has ever been ready."""
    answer = soon(lambda: requests.post(address, timeout=START, **sent))
    job: dict[str, Any] = answer.json()
    assert answer.ok, job
    return job


def ended(modelgate: Modelgate, job: dict[str, Any], **sent: Any) -> dict[str, Any]:
    """Return the job once it has ended, or as it is after a time in which any has."""
    end = time.monotonic() + START
    while not job["completed_at"] and time.monotonic() < end:
        job = requests.get(f"{modelgate.address}/v1/jobs/{job['id']}?wait=30", timeout=90, **sent).json()
    return job


@contextmanager
def redis_stopped(modelgate: Modelgate) -> Iterator[None]:
    """Keep Redis from answering."""
    children = Path(f"/proc/{modelgate.process}/task/{modelgate.process}/children").read_text().split()
    (redis,) = [int(pid) for pid in children if "redis.sock" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(redis, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(redis, signal.SIGCONT)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository that the first start fills and later starts reuse."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def modelgate(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Modelgate]:
    """A Modelgate without keys, for all tests that only send requests."""
    with started(tmp_path_factory.mktemp("modelgate"), models) as running:
        yield running


@pytest.fixture(scope="module")
def with_grpc(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[GrpcModelgate]:
    """A Modelgate without keys that serves gRPC, too."""
    with started_with_grpc(tmp_path_factory.mktemp("grpc"), models) as running:
        yield running


@pytest.fixture(scope="module")
def closed_grpc(tmp_path_factory: pytest.TempPathFactory, with_grpc: GrpcModelgate) -> Iterator[GrpcModelgate]:
    """One with keys."""
    folder = tmp_path_factory.mktemp("closed-grpc")
    with started_with_grpc(folder, with_grpc.models, ADMIN_KEY=ADMIN_KEY) as running:
        yield running


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory, modelgate: Modelgate) -> Iterator[Modelgate]:
    """One with keys, and with two versions of iris, of which the second is current."""
    folder = tmp_path_factory.mktemp("closed")
    shutil.copytree(modelgate.models / "iris", folder / "models" / "iris")
    with started(folder, folder / "models", TRAIN_ON_START="none", ADMIN_KEY=ADMIN_KEY) as running:
        job = accepted_training(f"{running.address}/v1/models/iris/train", headers=AS_ADMIN)
        job = ended(running, job, headers=AS_ADMIN)
        assert job["output"] and job["output"]["promoted"], job
        # The first explanation, and the first answer of a version that is not current, take longer than a page waits.
        for method in ("iris/explain", "iris@1/predict"):
            asked = f"{running.address}/v1/models/{method}"
            job = ended(running, requests.post(asked, json=IRIS, headers=AS_ADMIN, timeout=60).json(), headers=AS_ADMIN)
            assert job["status"] == "succeeded", job
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        browser.on("context", lambda context: context.set_default_timeout(PATIENCE))
        yield browser
        browser.close()


def signed_in(browser: Browser, modelgate: Modelgate, **options: Any) -> Page:
    """Return a page of a new visitor who has signed in as an admin."""
    page = browser.new_context(base_url=modelgate.address, **options).new_page()
    page.goto("/")
    page.get_by_label("API key").fill(ADMIN_KEY)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible()
    return page


def without_ticks(page: Page) -> None:
    """Keep the page from asking for newer parts: its clock stands still, and its timers run."""
    page.clock.set_fixed_time(datetime.now())


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
