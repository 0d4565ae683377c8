"""The stage of the faults: Redis, a gateway, a worker and a trainer as real processes, which are restarted when they
end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests
from redis.exceptions import RedisError

from tests.flow import estimators
from tests.stacks.gateways import Gateway
from tests.stacks.lossy_proxy import LossyProxy
from tests.stacks.preloaded import Changeable
from tests.stacks.redis_process import RedisProcess
from tests.stacks.workers import Worker, WorkerCluster, worker_cluster
from tests.support import PROJECT, numbers, state_dir, until, write_version

MODELS = {"fast": 0.0002, "steady": 0.002}
"""The models under load: seconds a row."""

SETTINGS = {
    "EXPECTED_GATEWAYS": "2",
    "GATEWAY_PROCESSES": "2",
    "SUBMIT_TIMEOUT": "2",
    "TRAIN_ON_START": "none",
    "WORKERS": "2",
}
FOR_A_JUMPING_CLOCK = {"RESULT_TTL": str(60 * 30 * 86_400)}
"""Results that a day does not make too old, also where a sixtieth of it counts."""


@dataclass
class Trainer:
    """`python -m trainer`."""

    environment: dict[str, str]
    log_file: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> Trainer:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trainer"],
                cwd=PROJECT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        return self

    def processes(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(self.process.pid)
            return [first, *first.children(recursive=True)]
        return []

    def stop(self) -> None:
        processes = self.processes()
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()


@dataclass
class Stage:
    """All processes. Gateway and worker reach Redis over links that can be cut. `absent`: not to be restarted."""

    folder: Path
    server: RedisProcess
    gateway: Gateway
    second: Gateway
    cluster: WorkerCluster
    trainer: Trainer
    gateway_link: LossyProxy
    worker_link: LossyProxy
    environment: dict[str, str]
    clock: Changeable | None
    absent: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.redis = self.server.connect()

    @property
    def models(self) -> Path:
        return self.gateway.models

    @property
    def worker(self) -> Worker:
        return self.cluster.workers[-1]

    def start_worker(self) -> None:
        log_file = self.folder / f"worker-{len(self.cluster.workers)}.log"
        health_socket = log_file.with_suffix(".health")
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "worker", "--name", "worker", "--health-socket", str(health_socket)],
                cwd=PROJECT,
                env={**self.environment, "REDIS_URL": self.worker_link.url},
                stdout=log,
                stderr=log,
            )
        # The test itself does not look through the proxy.
        self.cluster.workers.append(Worker(process, self.redis, "worker", log_file, health_socket))

    def keep(self) -> None:
        """Restart what has ended, as `restart: unless-stopped` does."""
        if self.ended("worker", self.worker.process):
            self.start_worker()
        if self.ended("gateway", self.gateway.process):
            self.gateway.start()
        if self.ended("trainer", self.trainer.process):
            self.trainer.start()

    def ended(self, name: str, process: subprocess.Popen[bytes] | None) -> bool:
        return name not in self.absent and process is not None and process.poll() is not None

    def logs(self) -> dict[str, Path]:
        """The log files by service; each worker that was started has its own."""
        workers = {f"worker {number}": worker.log_file for number, worker in enumerate(self.cluster.workers)}
        return {
            "gateway": self.gateway.log_file,
            "gateway 2": self.second.log_file,
            "trainer": self.trainer.log_file,
            "redis": self.folder / "redis.log",
            **workers,
        }

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """The status of /health/ready, 0 without an answer, and its body."""
        try:
            response = requests.get(f"{self.gateway.address}/health/ready", timeout=3)
            return response.status_code, response.json()
        except (requests.RequestException, ValueError) as error:
            return 0, {"detail": type(error).__name__}

    def system(self) -> list[str]:
        """The codes of what is wrong by /v1/system; none without an answer."""
        try:
            response = requests.get(f"{self.gateway.address}/v1/system", timeout=5)
            return [alert["code"] for alert in response.json()["alerts"]]
        except (requests.RequestException, ValueError, KeyError):
            return []

    def whole(self) -> bool:
        """Whether all processes are up, and the gateway says so."""
        self.keep()
        try:
            return self.readiness()[1].get("status") == "ok" and len(self.worker.scorers()) == 2
        except RedisError:
            return False

    def settle(self) -> None:
        """Wait until everything has served for longer than /health/ready keeps an answer."""
        since = time.monotonic()

        def settled() -> bool:
            nonlocal since
            if not self.whole():
                since = time.monotonic()
            return time.monotonic() - since > 1.5

        until(settled, f"everything serves: {self.readiness()}, {self.worker.log[-2000:]}")

    def publish(self, model: str, version: int = 1) -> None:
        """Publish a version that doubles a number and adds the version; POISON ends its process."""
        estimator = estimators.Poisonable(version, MODELS.get(model, 0.0002))
        write_version(self.models, model, estimator, numbers("a"), version=version, by_value=True)

    def end(self) -> None:
        """Wake what a fault has stopped, so that everything can end."""
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)


@contextmanager
def start_stage(folder: Path, clock: Changeable | None = None, predict_timeout: int = 3) -> Iterator[Stage]:
    """Start everything, on `clock` if there is one, and wait until it serves."""
    clocked = {**clock.settings, **FOR_A_JUMPING_CLOCK} if clock else {}
    models = folder / "models"
    models.mkdir()
    (folder / "spool").mkdir()
    settings = {
        **SETTINGS,
        **clocked,
        "PREDICT_TIMEOUT": str(predict_timeout),
        "STATE_DIR": str(state_dir(folder)),
        "SPOOL_DIR": str(folder / "spool"),
        "MODELS_DIR": str(models),
    }
    with ExitStack() as stack:
        server = stack.enter_context(RedisProcess(folder, environment=clocked))
        links = [LossyProxy(folder, server.socket, lambda _: False, name) for name in ("gateway.sock", "worker.sock")]
        for link in links:
            stack.callback(link.close)
        cluster = stack.enter_context(worker_cluster(server.url, models, folder))
        gateway = Gateway(links[0].url, models, folder / "gateway.log", settings)
        stack.callback(gateway.stop)
        second = Gateway(links[0].url, models, folder / "gateway-2.log", {**settings, "GATEWAY_PROCESSES": "1"})
        stack.callback(second.stop)
        environment = {**os.environ, **settings}
        trainer = Trainer({**environment, "REDIS_URL": server.url}, folder / "trainer.log").start()
        stack.callback(trainer.stop)
        stage = Stage(folder, server, gateway, second, cluster, trainer, *links, environment, clock)
        for model in MODELS:
            stage.publish(model)
        stage.start_worker()
        gateway.start()
        second.start()
        stack.callback(stage.end)
        stage.settle()
        yield stage
