"""A gateway process, and a site: Redis, a gateway and workers."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

from contract.settings import Settings
from tests.stacks.ports import free_port
from tests.stacks.redis_process import RedisProcess
from tests.stacks.workers import WorkerCluster, worker_cluster
from tests.support import DEADLINE, PROJECT, until

FEW_FILES = 128
"""The number of open files that a system might allow by default."""
_CONFIGURATION = PROJECT / "gateway" / "server" / "gunicorn.conf.py"


@dataclass
class Gateway:
    """`python -m gateway`; with `gunicorn`, lines that are added to its configuration, gunicorn itself."""

    redis_url: str
    models: Path
    log_file: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    gunicorn: str = ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def start(self) -> Gateway:
        environment = {"PORT": str(self.port), "REDIS_URL": self.redis_url, "MODELS_DIR": str(self.models)}
        environment["STATE_DIR"] = str(self.log_file.parent)
        defaults = {"GATEWAY_PROCESSES": "1", "STOP_GRACE": "8"}
        few = FEW_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self._module()],
                cwd=PROJECT,
                env={**os.environ, **environment, **defaults, **self.settings},
                stdout=log,
                stderr=log,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, few),
            )
        until(self.live, "the gateway serves")
        return self

    def _module(self) -> Sequence[str]:
        if not self.gunicorn:
            return ["gateway"]
        config = self.log_file.with_name("gunicorn.conf.py")
        config.write_text(f"exec(open({str(_CONFIGURATION)!r}).read())\n{self.gunicorn}")
        return ["gunicorn", "--config", str(config), "gateway.server.wsgi:application()"]

    def live(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{self.address}/health/live", timeout=5).ok
        return False

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def kill(self) -> None:
        """Kill all its processes at once."""
        assert self.process
        for process in [psutil.Process(self.process.pid), *self.processes()]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def processes(self) -> list[psutil.Process]:
        """The processes that serve requests."""
        assert self.process
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children()
        return []

    def memory(self) -> float:
        """The memory of the serving processes in MB."""
        return sum(process.memory_info().rss for process in self.processes()) / 1e6

    def connections(self) -> int:
        """The number of client connections that the gateway holds open, even if the client has closed its end."""
        return sum(
            1
            for process in self.processes()
            for connection in process.net_connections("tcp")
            if connection.laddr.port == self.port and connection.status != psutil.CONN_LISTEN
        )

    def post(self, model: str, body: Any, wait: int | None = None, webhook: str = "") -> requests.Response:
        headers = {} if wait is None else {"Prefer": f"wait={wait}"}
        if webhook:
            headers["Webhook-Url"] = webhook
        return requests.post(f"{self.address}/v1/models/{model}/predict", json=body, headers=headers, timeout=90)

    def get(self, path: str) -> requests.Response:
        return requests.get(self.address + path, timeout=90)

    def send(self, data: Any, kind: str = "application/json", **headers: str) -> requests.Response:
        """Send `data` as it is to the model `sum`."""
        headers["Content-Type"] = kind
        return requests.post(f"{self.address}/v1/models/sum/predict", data=data, headers=headers, timeout=60)

    def raw(self, data: bytes, *, hang_up: bool = False) -> bytes:
        """Return the answer to `data` until the connection is closed. `hang_up` closes this side after the data."""
        with self.connected() as connection:
            connection.sendall(data)
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
            return rest_of(connection)

    def connected(self) -> socket.socket:
        """Return a new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


def rest_of(connection: socket.socket) -> bytes:
    """Return what arrives until the other side closes the connection."""
    answer = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            answer += part
    return answer


def carried_out(method: str, url: str, **options: Any) -> requests.Response:
    """Return the answer to a request for a trainer or observer; it is repeated if none has begun the job in time."""

    def send() -> tuple[requests.Response] | None:
        answer = requests.request(method, url, timeout=90, **options)
        return None if b"and nothing was done" in answer.content else (answer,)

    (answer,) = until(send, f"{method} {url} is carried out")
    return answer


@contextmanager
def serving(settings: Settings, gunicorn: str = "", **environ: str) -> Iterator[Gateway]:
    """Run a gateway on the Redis, the models and the state of `settings`, with `environ` in its environment."""
    environ = {"MAX_BODY_MB": "1", "SPOOL_DIR": str(settings.state_dir / "spool"), **environ}
    gateway = Gateway(settings.redis_url, settings.models_dir, settings.state_dir / "gateway.log", environ)
    gateway.gunicorn = gunicorn
    try:
        yield gateway.start()
    finally:
        gateway.stop()


@dataclass
class Site:
    """A Redis, a gateway, and a cluster without workers yet."""

    server: RedisProcess
    gateway: Gateway
    cluster: WorkerCluster


@contextmanager
def start_site(
    folder: Path,
    models: Path,
    *,
    lease: float = 2,
    url: str | None = None,
    redis_options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    **settings: object,
) -> Iterator[Site]:
    """Start a Redis with `redis_options` and `environment`, and a gateway with `settings`; `url` is the address of
    Redis for clients, if it is not its own."""
    with (
        RedisProcess(folder, *redis_options, environment=environment) as server,
        gateway_and_cluster(url or server.url, folder, models, lease, **settings) as (gateway, cluster),
    ):
        yield Site(server, gateway, cluster)


@contextmanager
def gateway_and_cluster(
    url: str, folder: Path, models: Path, lease: float = 2, **settings: object
) -> Iterator[tuple[Gateway, WorkerCluster]]:
    """Start a gateway with `settings` on the Redis at `url`, and a cluster without workers yet."""
    texts = {name.upper(): str(value) for name, value in settings.items()}
    gateway = Gateway(url, models, folder / "gateway.log", texts)
    try:
        gateway.start()
        with worker_cluster(url, models, folder, lease) as cluster:
            yield gateway, cluster
    finally:
        gateway.stop()
