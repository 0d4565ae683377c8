"""`python -m gateway.grpc_server.check` exits with 0 if the server at GRPC_PORT of this machine serves: for the health
check of its container, which must not take as long as a start."""

from __future__ import annotations

import sys

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from contract.settings import Settings

TIMEOUT = 4.0
"""Seconds that the server has to answer."""


def main() -> int:
    with grpc.insecure_channel(f"localhost:{Settings.from_environ().grpc_port}") as channel:
        try:
            answer = HealthStub(channel).Check(HealthCheckRequest(), timeout=TIMEOUT)
            return int(answer.status != HealthCheckResponse.SERVING)
        except grpc.RpcError as error:
            sys.stderr.write(f"{error.details()}\n")
            return 1


if __name__ == "__main__":
    sys.exit(main())
