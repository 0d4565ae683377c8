"""A gRPC server on the Redis of its test, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contract.settings import Settings
from tests.stacks.grpc_servers import Client, GrpcServerProcess, connected, serving_grpc


@pytest.fixture(scope="module")
def server(shared_settings: Settings) -> Iterator[GrpcServerProcess]:
    """A server for the tests of a module, which neither end it nor make keys."""
    with serving_grpc(shared_settings) as process:
        yield process


@pytest.fixture
def client(server: GrpcServerProcess) -> Iterator[Client]:
    with connected(server.port) as connection:
        yield connection
