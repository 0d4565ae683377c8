"""A gRPC server of a gateway, and a client of it that is nothing but a channel."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from contract.settings import Settings
from gateway.grpc_server import health, service
from gateway.grpc_server import inference_pb2 as pb
from tests.stacks.gateways import Gateway

SERIALIZED = methodcaller("SerializeToString")
WAIT = 60.0
"""Seconds that an answer may take on a busy machine."""


@dataclass(frozen=True)
class Client:
    """Asks the server at the other end of `channel`."""

    channel: grpc.Channel

    def call(self, name: str) -> Any:
        """Return what makes the call of this name."""
        answer = getattr(pb, f"{name}Response").FromString
        return self.channel.unary_unary(f"/{service.NAME}/{name}", SERIALIZED, answer)

    def ask(self, name: str, request: Any = None, timeout: float = WAIT, **metadata: str) -> Any:
        """Return the answer. Names of metadata are written with underscores."""
        request = getattr(pb, f"{name}Request")() if request is None else request
        pairs = [(key.replace("_", "-"), value) for key, value in metadata.items()]
        return self.call(name)(request, timeout=timeout, metadata=pairs)

    def check(self, service: str = "") -> int:
        """Return the status of the health service."""
        call = self.channel.unary_unary(f"/{health.NAME}/Check", SERIALIZED, HealthCheckResponse.FromString)
        status: int = call(HealthCheckRequest(service=service), timeout=WAIT).status
        return status

    def watch(self, service: str = "") -> Any:
        """Return the stream of its statuses."""
        call = self.channel.unary_stream(f"/{health.NAME}/Watch", SERIALIZED, HealthCheckResponse.FromString)
        return call(HealthCheckRequest(service=service), timeout=WAIT)

    @contextmanager
    def stalled(self, path: str, count: int = 1, **metadata: str) -> Iterator[list[Any]]:
        """Begin calls whose message never comes; gives what waits for their answers."""
        pairs = [(key.replace("_", "-"), value) for key, value in metadata.items()]
        never = threading.Event()

        def no_message() -> Iterator[bytes]:
            never.wait()
            yield from ()

        begin = self.channel.stream_unary(path)
        calls = [begin.future(no_message(), timeout=WAIT, metadata=pairs) for _ in range(count)]
        try:
            yield calls
        finally:
            never.set()
            for call in calls:
                call.cancel()


@contextmanager
def deaf_callers(port: int, path: str, message: bytes, count: int = 1) -> Iterator[None]:
    """Make calls whose clients take no byte of an answer."""

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost"}
    headers |= {"te": "trailers", "content-type": "application/grpc"}
    words = [word.encode() for pair in headers.items() for word in pair]
    block = b"".join((b"" if at % 2 else b"\0") + bytes([len(word)]) + word for at, word in enumerate(words))
    no_window = frame(4, 0, 0, (4).to_bytes(2, "big") + bytes(4))
    data = b"\0" + len(message).to_bytes(4, "big") + message
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + no_window)
        for stream in range(1, 2 * count, 2):
            connection.sendall(frame(1, 4, stream, block) + frame(0, 1, stream, data))
        yield


_OPTIONS = {
    "grpc.use_local_subchannel_pool": 1,  # a connection of its own
    "grpc.service_config": json.dumps(
        {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
    ),
}


@contextmanager
def connected(*ports: int) -> Iterator[Client]:
    """Connect with servers of this machine, and use each in turn that says that it serves."""
    addresses = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    with grpc.insecure_channel(addresses, list(_OPTIONS.items())) as channel:
        yield Client(channel)


@dataclass
class GrpcServerProcess(Gateway):
    """`python -m gateway.grpc_server` at `port`."""

    def __post_init__(self) -> None:
        self.settings = {**self.settings, "GRPC_PORT": str(self.port)}

    def _module(self) -> Sequence[str]:
        return ["gateway.grpc_server"]

    def live(self) -> bool:
        assert self.process and self.process.poll() is None, self.log
        with connected(self.port) as client:
            try:
                return client.check() == HealthCheckResponse.SERVING
            except grpc.RpcError:
                return False

    def peak_memory(self) -> float:
        """The most memory that the process has ever had, in MB."""
        assert self.process
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1000


@contextmanager
def serving_grpc(settings: Settings, environ: Mapping[str, str] = {}) -> Iterator[GrpcServerProcess]:
    """Run a server on the Redis, the models and the state of `settings`, with `environ` in its environment."""
    environ = {"ACCESS_LOG_RATE": "1000", "MAX_BODY_MB": "1", "MAX_QUEUE_ROWS": str(settings.max_queue_rows), **environ}
    server = GrpcServerProcess(settings.redis_url, settings.models_dir, settings.state_dir / "grpc.log", environ)
    try:
        server.start()
        yield server
    finally:
        server.stop()
