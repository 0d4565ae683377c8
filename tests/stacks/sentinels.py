"""A primary, two replicas and three Sentinels on loopback, which a test can kill."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from launcher.redis_server import executable
from tests.stacks.ports import free_port
from tests.support import until

PRIMARY = "modelgate"


@dataclass
class Node:
    """A Redis, or a Sentinel, with its files in `folder`."""

    folder: Path
    options: list[str]
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            command = [executable(), *self.options, "--port", str(self.port), "--dir", str(self.folder), *more]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def connect(self) -> Redis:
        return Redis(self.host, self.port, socket_timeout=5)

    def is_primary_of(self, replicas: int) -> bool:
        """Whether it is a primary with so many replicas in step."""
        try:
            with self.connect() as redis:
                info = redis.info("replication")
        except RedisError:
            return False
        states = [info.get(f"slave{number}", {}).get("state") for number in range(replicas)]
        return info["role"] == "master" and states == ["online"] * replicas


@dataclass
class Sentinels:
    """The whole system. `url` is for REDIS_URL."""

    nodes: list[Node]
    sentinels: list[Node]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'{node.host}:{node.port}' for node in self.sentinels)}/{PRIMARY}/0"

    @property
    def primary(self) -> Node:
        """The node that the first Sentinel names."""
        with self.sentinels[0].connect() as sentinel:
            _, port = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY)
        return next(node for node in self.nodes if node.port == int(port))

    def fail_over(self, *, with_its_disk: bool = False) -> Node:
        """Kill the primary, and return it when there is another one. `with_its_disk` removes its files as well."""
        lost = self.primary
        lost.kill()
        if with_its_disk:
            shutil.rmtree(lost.folder)
        until(lambda: self.primary is not lost and self.primary.is_primary_of(0), "there is another primary")
        return lost


@contextmanager
def sentinels(folder: Path, *options: str, host: str = "127.0.0.1") -> Iterator[Sentinels]:
    """Start all of it. `options` are for each Redis. `host` is the address of all. A failover begins after a second."""
    options += () if host == "127.0.0.1" else ("--protected-mode", "no")
    nodes = [Node(folder / f"redis-{i}", ["--save", "", "--appendonly", "yes", *options], host) for i in range(3)]
    guards = [
        Node(folder / f"sentinel-{i}", [str(folder / f"sentinel-{i}.conf"), "--sentinel"], host) for i in range(3)
    ]
    system = Sentinels(nodes, guards)
    try:
        nodes[0].start()
        for node in nodes[1:]:
            node.start("--replicaof", host, str(nodes[0].port), "--repl-diskless-sync-delay", "0")
        until(lambda: nodes[0].is_primary_of(2), "both replicas are in step")
        for guard in guards:
            Path(guard.options[0]).write_text(
                "protected-mode no\n"
                f"sentinel monitor {PRIMARY} {host} {nodes[0].port} 2\n"
                f"sentinel down-after-milliseconds {PRIMARY} 1000\n"
                f"sentinel failover-timeout {PRIMARY} 5000\n"
            )
            guard.start()
        until(lambda: all(map(_knows_all, guards)), "the Sentinels know each other and both replicas")
        yield system
    finally:
        for node in (*guards, *nodes):
            node.kill()


def _knows_all(sentinel: Node) -> bool:
    try:
        with sentinel.connect() as connection:
            state = connection.sentinel_master(PRIMARY)
    except RedisError:
        return False
    return (state["num-slaves"], state["num-other-sentinels"]) == (2, 2)
