"""Which calls a key opens, and what its limits say. A key in Redis closes each server, so these have servers of their
own."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse
from redis import Redis

from contract.settings import Settings
from contract.work.api_keys import Key, Limits, Scope, new_token
from gateway.grpc_server import inference_pb2 as pb
from gateway.grpc_server.server import MOST_CALLS
from gateway.grpc_server.service import NAME
from tests.gateway.callers import ADMIN_KEY, store
from tests.gateway.grpc_server.conftest import infer_request, refusal
from tests.stacks.grpc_servers import WAIT, Client, GrpcServerProcess, connected, serving_grpc
from tests.support import until

pytestmark = [pytest.mark.waits, pytest.mark.usefixtures("redis")]


@pytest.fixture(scope="module")
def server(shared_settings: Settings) -> Iterator[GrpcServerProcess]:
    with serving_grpc(shared_settings, {"ADMIN_KEY": ADMIN_KEY}) as process:
        yield process


def token_of(redis: Redis, *scopes: Scope, **changes: Any) -> str:
    """Make a key with these scopes, and return its secret."""
    token = new_token()
    store(redis, token, Key(token[-8:], "k", "team", frozenset(scopes), **changes))
    return token


@pytest.mark.usefixtures("scoring")
def test_a_key_comes_in_either_header(client: Client, redis: Redis) -> None:
    request, token = infer_request(1, 2), token_of(redis, Scope.PREDICT)
    for headers in ({"authorization": f"Bearer {token}"}, {"x_api_key": token}):
        assert list(client.ask("ModelInfer", request, **headers).raw_output_contents) == [struct.pack("<d", 3)]
    for headers in ({}, {"authorization": "Bearer mg_no"}, {"authorization": "Basic x"}):
        error = refusal(lambda: client.ask("ModelInfer", request, **headers))  # noqa: B023
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert error.details()
    assert client.ask("ServerLive").live
    assert client.ask("ServerMetadata").name == "modelgate"


def test_a_key_opens_what_its_scopes_and_models_say(client: Client, redis: Redis) -> None:
    reader = token_of(redis, Scope.READ)
    assert [model.name for model in client.ask("RepositoryIndex", x_api_key=reader).models] == ["mixed", "sum"]
    error = refusal(lambda: client.ask("ModelInfer", infer_request(1, 2), x_api_key=reader))
    assert (error.code(), error.details()) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "the key 'k' lacks the scope predict; ask an admin for a key that has it",
    )
    other = token_of(redis, Scope.READ, Scope.PREDICT, models=frozenset({"mixed"}))
    assert [model.name for model in client.ask("RepositoryIndex", x_api_key=other).models] == ["mixed"]
    error = refusal(lambda: client.ask("ModelInfer", infer_request(1, 2), x_api_key=other))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert not client.ask("ModelReady", pb.ModelReadyRequest(name="sum"), x_api_key=other).ready
    assert refusal(lambda: client.ask("ModelReady", pb.ModelReadyRequest(name="sum"))).code() is (
        grpc.StatusCode.UNAUTHENTICATED
    )


@pytest.mark.usefixtures("scoring")
def test_a_limit_says_when_to_try_again(client: Client, redis: Redis) -> None:
    token = token_of(redis, Scope.PREDICT, limits=Limits(rows_per_second=1))
    rows = infer_request(*range(8))
    while True:
        try:
            client.ask("ModelInfer", rows, x_api_key=token)
        except grpc.RpcError as refused:
            error: Any = refused
            break
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "may send 1 rows a second to 'sum'" in error.details()
    trailing = dict(error.trailing_metadata())
    assert int(trailing["retry-after"]) >= 1
    assert "q=1;w=" in trailing["ratelimit-policy"]


def test_a_call_is_refused_before_its_message_arrives(client: Client, redis: Redis) -> None:
    reader = token_of(redis, Scope.READ)
    for headers, code in (
        ({}, grpc.StatusCode.UNAUTHENTICATED),
        ({"x_api_key": "mg_no"}, grpc.StatusCode.UNAUTHENTICATED),
        ({"x_api_key": reader}, grpc.StatusCode.PERMISSION_DENIED),
    ):
        with client.stalled(f"/{NAME}/ModelInfer", **headers) as (call,):
            assert call.code() is code


def test_the_right_to_a_model_is_checked_before_its_inputs_are_read(client: Client, redis: Redis) -> None:
    other = token_of(redis, Scope.PREDICT, models=frozenset({"mixed"}))
    broken = pb.ModelReadyRequest(name="sum").SerializeToString() + b"\x2a\x01\xff"  # an input that is none
    call = client.channel.unary_unary(f"/{NAME}/ModelInfer")
    for token, code in (
        (other, grpc.StatusCode.NOT_FOUND),
        (token_of(redis, Scope.PREDICT), grpc.StatusCode.INVALID_ARGUMENT),
    ):
        error = refusal(lambda: call(broken, timeout=WAIT, metadata=[("x-api-key", token)]))  # noqa: B023
        assert error.code() is code


@pytest.mark.usefixtures("scoring")
def test_calls_without_their_messages_leave_room_for_health_and_for_others(
    client: Client, server: GrpcServerProcess, redis: Redis
) -> None:
    """Also on the connection that has them all."""
    slow, other = token_of(redis, Scope.PREDICT), new_token()
    store(redis, other, Key("other", "other", "other", frozenset({Scope.PREDICT})))
    with client.stalled(f"/{NAME}/ModelInfer", MOST_CALLS + 10, x_api_key=slow) as calls:
        until(lambda: any(call.done() for call in calls), "the owner has all that an owner may have")
        assert client.check() == HealthCheckResponse.SERVING
        with connected(server.port) as another:
            assert another.check() == HealthCheckResponse.SERVING
            assert another.ask("ModelInfer", infer_request(1, 2), x_api_key=other).raw_output_contents
        said = {call.details() for call in calls if call.done() and call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert said == {f"most of the {MOST_CALLS} calls that one process answers are yours; try again"}
        until(lambda: all(call.done() for call in calls[:100]), "the first ones are ended, since so many wait")
    assert "code=body_too_slow" in server.log
