"""A gRPC server on the Redis of its test, and a client of it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.sides.scorer import BatchJob
from contract.model.signature import Field, Kind
from contract.settings import Settings
from contract.work.jobs import PredictionOutcome
from gateway.app import create_app
from gateway.grpc_server import inference_pb2 as pb
from tests.gateway.conftest import scorer
from tests.stacks.grpc_servers import Client, GrpcServerProcess, connected, serving_grpc
from tests.support import Sum, write_version


@pytest.fixture(scope="module")
def shared_settings(shared_settings: Settings) -> Settings:
    """Those of a gateway with another model, `mixed`, whose inputs are of three kinds."""
    inputs = [Field("flag", Kind.BOOLEAN), Field("word", Kind.STRING), Field("number", Kind.NUMBER)]
    write_version(shared_settings.models_dir, "mixed", Sum(), inputs)
    return shared_settings


@pytest.fixture(scope="module")
def server(shared_settings: Settings) -> Iterator[GrpcServerProcess]:
    """A server for the tests of a module, which neither end it nor make keys."""
    with serving_grpc(shared_settings) as process:
        yield process


@pytest.fixture
def client(server: GrpcServerProcess) -> Iterator[Client]:
    with connected(server.port) as connection:
        yield connection


@pytest.fixture
def scoring(redis: Redis) -> Iterator[None]:
    """Finishes every job as a scorer would: with the sum of each row of `sum`, and each row of `mixed` as text."""

    def outcome(job: BatchJob) -> PredictionOutcome:
        answers: Sequence[Any] = [repr(row) if isinstance(row[1], str) else sum(row) for row in job.rows]
        return PredictionOutcome(answers, None, [], 0.5, 1)

    with scorer(redis, outcome):
        yield


def infer_request(*numbers: float, **changes: Any) -> pb.ModelInferRequest:
    """Return a request with the rows of two `numbers` each, for the model `sum`."""
    request = pb.ModelInferRequest(**{"model_name": "sum", **changes})
    request.inputs.add(name="x", datatype="FP64", shape=[len(numbers) // 2, 2])
    request.raw_input_contents.append(struct.pack(f"<{len(numbers)}d", *numbers))
    return request


@pytest.fixture
def http(shared_settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A client of an HTTP gateway beside the server."""
    monkeypatch.setattr("gateway.serving.metrics.KEEP", -1.0)
    monkeypatch.setattr("gateway.serving.metrics.KEEP_FACTOR", -1)
    return create_app(shared_settings).test_client()


def refusal(ask: Callable[[], object]) -> Any:
    """Return the error with which a call ends."""
    with pytest.raises(grpc.RpcError) as error:
        ask()
    return error.value
