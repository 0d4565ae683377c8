"""A gateway as a process of its own, and all that a test of the whole needs around it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.flow.conftest import free_port
from tests.flow.redis_process import RedisProcess
from tests.flow.workers import Workshop, workshop
from tests.support import PROJECT, until


@dataclass
class Gateway:
    """`python -m gateway`."""

    redis_url: str
    models: Path
    log_file: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def start(self) -> Gateway:
        environment = {"PORT": str(self.port), "REDIS_URL": self.redis_url, "MODELS_DIR": str(self.models)}
        defaults = {"GATEWAY_PROCESSES": "1", "STOP_GRACE": "8"}
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway"],
                cwd=PROJECT,
                env={**os.environ, **environment, **defaults, **self.settings},
                stderr=log,
            )
        until(self.live, "the gateway serves")
        return self

    def live(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{self.address}/health/live", timeout=5).ok
        return False

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def kill(self) -> None:
        """All of it at once."""
        assert self.process
        for process in [psutil.Process(self.process.pid), *self.processes()]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def processes(self) -> list[psutil.Process]:
        """Those that serve."""
        assert self.process
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children()
        return []

    def memory(self) -> float:
        """MB of the processes that serve."""
        return sum(process.memory_info().rss for process in self.processes()) / 1e6

    def connections(self) -> int:
        """Connections of clients that it has open, also those that the client has closed."""
        return sum(
            1
            for process in self.processes()
            for connection in process.net_connections("tcp")
            if connection.laddr.port == self.port and connection.status != psutil.CONN_LISTEN
        )

    def post(self, model: str, body: Any, wait: int | None = None, **options: Any) -> requests.Response:
        headers = {} if wait is None else {"Prefer": f"wait={wait}"}
        return requests.post(f"{self.address}/v1/models/{model}/predict", json=body, headers=headers, timeout=90)

    def get(self, path: str) -> requests.Response:
        return requests.get(self.address + path, timeout=90)


@dataclass
class Site:
    """Redis, a gateway, and workers to be started."""

    server: RedisProcess
    gateway: Gateway
    shop: Workshop


@contextmanager
def site(
    folder: Path,
    models: Path,
    *,
    lease: float = 2,
    url: str | None = None,
    environment: Mapping[str, str] | None = None,
    **settings: object,
) -> Iterator[Site]:
    """`settings` of the gateway, `environment` of Redis; `url` under which they know Redis, if not its own."""
    texts = {name.upper(): str(value) for name, value in settings.items()}
    with ExitStack() as stack:
        server = stack.enter_context(RedisProcess(folder, environment=environment))
        gateway = Gateway(url or server.url, models, folder / "gateway.log", texts)
        stack.callback(gateway.stop)
        gateway.start()
        shop = stack.enter_context(workshop(url or server.url, models, folder, lease))
        yield Site(server, gateway, shop)
