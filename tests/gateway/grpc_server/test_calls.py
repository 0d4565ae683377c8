"""The calls beside ModelInfer: health, metadata, the repository, and what is not served."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse
from redis import Redis

from broker.state.load_status import LoadRequests, LoadStatus, LoadStatusPublisher
from contract.model.environments import TODAY
from contract.release import VERSION
from contract.settings import Settings
from gateway.grpc_server import health
from gateway.grpc_server import inference_pb2 as pb
from gateway.grpc_server.health import MOST_WATCHERS
from gateway.grpc_server.service import NAME
from tests.gateway.grpc_server.conftest import infer_request, refusal
from tests.stacks.grpc_servers import WAIT, Client, GrpcServerProcess, connected, deaf_callers, serving_grpc
from tests.support import DEADLINE, InThreads, until

pytestmark = [pytest.mark.waits, pytest.mark.usefixtures("redis")]


def refused(ask: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    error = refusal(ask)
    return error.code(), error.details()


def test_the_server(client: Client) -> None:
    assert client.ask("ServerLive").live
    assert client.ask("ServerReady").ready
    metadata = client.ask("ServerMetadata")
    assert (metadata.name, metadata.version) == ("modelgate", VERSION)
    assert "model_repository" in metadata.extensions


def test_a_model(client: Client) -> None:
    for version in ("", "1", "current"):
        metadata = client.ask("ModelMetadata", pb.ModelMetadataRequest(name="mixed", version=version))
        assert (metadata.name, list(metadata.versions), metadata.platform) == ("mixed", ["1"], "sklearn")
        inputs = [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in metadata.inputs]
        assert inputs == [("flag", "BOOL", [-1, 1]), ("word", "BYTES", [-1, 1]), ("number", "FP64", [-1, 1])]
        assert [tensor.name for tensor in metadata.outputs] == ["predict"]
    code, sentence = refused(lambda: client.ask("ModelMetadata", pb.ModelMetadataRequest(name="sums")))
    assert code is grpc.StatusCode.NOT_FOUND
    assert "did you mean 'sum'?" in sentence


def test_the_configuration_of_a_model(client: Client) -> None:
    for version in ("", "1", "current"):
        config = client.ask("ModelConfig", pb.ModelConfigRequest(name="mixed", version=version)).config
        assert (config.name, config.platform, config.backend) == ("mixed", "sklearn", "sklearn")
        inputs = [(one.name, config.DataType.Name(one.data_type), list(one.dims)) for one in config.input]
        assert inputs == [("flag", "TYPE_BOOL", [1]), ("word", "TYPE_STRING", [1]), ("number", "TYPE_FP64", [1])]
        assert (list(config.version_policy.specific.versions), config.max_batch_size > 0) == ([1], True)
    code, _ = refused(lambda: client.ask("ModelConfig", pb.ModelConfigRequest(name="sums")))
    assert code is grpc.StatusCode.NOT_FOUND


@pytest.mark.usefixtures("scoring")
def test_statistics_count_what_was_answered(client: Client) -> None:
    client.ask("ModelInfer", infer_request(1, 2))

    def counted(**asked: str) -> dict[tuple[str, str], int]:
        answer = client.ask("ModelStatistics", pb.ModelStatisticsRequest(**asked))
        return {(one.name, one.version): one.inference_stats.success.count for one in answer.model_stats}

    until(lambda: counted(name="sum") == {("sum", "1"): 1}, "it is counted")
    assert counted(name="sum", version="1") == {("sum", "1"): 1}
    assert counted() == {("mixed", "1"): 0, ("sum", "1"): 1}
    assert refused(lambda: counted(name="sums"))[0] is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("name", "version", "ready"), [("sum", "", True), ("sum", "1", True), ("sum", "2", False), ("sums", "", False)]
)
def test_a_model_that_is_not_served_is_not_ready(client: Client, name: str, version: str, ready: bool) -> None:
    assert client.ask("ModelReady", pb.ModelReadyRequest(name=name, version=version)).ready is ready


def test_the_index(client: Client) -> None:
    for only_ready in (False, True):
        models = client.ask("RepositoryIndex", pb.RepositoryIndexRequest(ready=only_ready)).models
        assert [(model.name, model.version, model.state) for model in models] == [
            ("mixed", "1", "READY"),
            ("sum", "1", "READY"),
        ]


@pytest.mark.parametrize("field", ["model_name", "repository_name"])  # of Triton's clients, and of KServe's
def test_a_model_is_loaded_and_never_unloaded(client: Client, redis: Redis, field: str) -> None:
    load, unload = pb.RepositoryModelLoadRequest(**{field: "sum"}), pb.RepositoryModelUnloadRequest(**{field: "sum"})
    no_worker = (grpc.StatusCode.UNAVAILABLE, "no worker that serves 'sum' is alive")
    assert refused(lambda: client.ask("RepositoryModelLoad", load)) == no_worker
    publisher, answers = LoadStatusPublisher(redis, ttl=60), []
    publisher.publish("w", LoadStatus())
    with InThreads(lambda: answers.append(client.ask("RepositoryModelLoad", load))):
        until(lambda: "sum@1" in LoadRequests(redis).read().get(TODAY, ()), "the worker is asked")
        publisher.publish("w", LoadStatus(loaded=["sum@1"]))
    assert [(answer.model_name, answer.is_loaded) for answer in answers] == [("sum", True)]
    code, sentence = refused(lambda: client.ask("RepositoryModelUnload", unload))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "does not unload models" in sentence


@pytest.mark.parametrize("name", ["ModelStreamInfer", "CudaSharedMemoryStatus"])
def test_calls_that_are_not_served_say_so(client: Client, name: str) -> None:
    said = (
        f"{name} is not served over gRPC; the calls are ServerLive, ServerReady, ModelReady, ServerMetadata,"
        " ModelMetadata, ModelInfer, ModelConfig, ModelStatistics, RepositoryIndex, RepositoryModelLoad,"
        " RepositoryModelUnload"
    )
    unary, stream = client.channel.unary_unary(f"/{NAME}/{name}"), client.channel.stream_stream(f"/{NAME}/{name}")
    assert refused(lambda: unary(b"", timeout=WAIT)) == (grpc.StatusCode.UNIMPLEMENTED, said)
    assert refused(lambda: next(stream(iter([b""]), timeout=WAIT))) == (grpc.StatusCode.UNIMPLEMENTED, said)
    other = client.channel.unary_unary("/other.Service/Call")
    assert refused(lambda: other(b"", timeout=WAIT))[0] is grpc.StatusCode.UNIMPLEMENTED


def test_the_standard_health_service(client: Client) -> None:
    for service in ("", NAME):
        assert client.check(service) == HealthCheckResponse.SERVING
        watch = client.watch(service)
        assert next(watch).status == HealthCheckResponse.SERVING
        watch.cancel()
    assert refused(lambda: client.check("other"))[0] is grpc.StatusCode.NOT_FOUND
    watch = client.watch("other")
    assert next(watch).status == HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


def test_beyond_many_watchers_a_client_is_told_to_check(server: GrpcServerProcess) -> None:
    """After UNIMPLEMENTED, gRPC's clients take the server for one that serves."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(server.port)) for _ in range(4)]
        streams: list[Any] = []

        def all_places_are_taken() -> str | None:
            streams.append(clients[len(streams) % 4].watch())
            try:
                next(streams[-1])
            except grpc.RpcError as error:
                return f"{error.code().name}: {error.details()}"  # type: ignore[attr-defined]
            return None

        said = [answer for answer in (all_places_are_taken() for _ in range(MOST_WATCHERS + 1)) if answer]
        assert set(said) == {f"UNIMPLEMENTED: {MOST_WATCHERS} clients watch already; call Check"}
        assert clients[0].check() == HealthCheckResponse.SERVING
        for stream in streams:
            stream.cancel()
        del streams[:]
        until(lambda: all_places_are_taken() is None, "a place is free again")


def test_calls_of_health_without_messages_leave_room_for_others(client: Client) -> None:
    for call in ("Check", "Watch"):
        with client.stalled(f"/{health.NAME}/{call}", 5 * health.MOST_CALLS):
            assert client.check() == HealthCheckResponse.SERVING
            assert next(client.watch()).status == HealthCheckResponse.SERVING


def test_watchers_that_take_no_bytes_hold_up_neither_health_nor_a_stop(settings: Settings) -> None:
    with (
        serving_grpc(settings) as server,
        connected(server.port) as client,
        deaf_callers(server.port, f"/{health.NAME}/Watch", b"", 2 * health.MOST_CALLS),
    ):
        assert server.process
        assert client.check() == HealthCheckResponse.SERVING
        assert next(client.watch()).status == HealthCheckResponse.SERVING
        server.process.terminate()
        assert server.process.wait(DEADLINE) == 0
