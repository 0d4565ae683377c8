"""Who may call, how much, and what becomes of the job of a caller who leaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import grpc
import pytest
from flask.testing import FlaskClient

from contract.settings import Settings
from gateway.app import create_app
from gateway.grpc_server.server import MOST_CALLS, SPARE
from gateway.grpc_server.service import NAME, InferenceService
from tests.gateway.grpc_server.conftest import infer_request, refusal
from tests.stacks.grpc_servers import Client, GrpcServerProcess, connected, deaf_callers, serving_grpc
from tests.support import until

pytestmark = [pytest.mark.waits, pytest.mark.usefixtures("redis")]


def test_a_full_queue_is_unavailable_for_a_while(client: Client, http: FlaskClient) -> None:
    assert http.post("/v1/models/sum/predict", json=[[1, 2]] * 5).status_code == 202
    error = refusal(lambda: client.ask("ModelInfer", infer_request(1, 2)))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "the queue of 'sum' is full (MAX_QUEUE_ROWS)" in error.details()
    assert int(dict(error.trailing_metadata())["retry-after"]) >= 1


@pytest.mark.usefixtures("scoring")
def test_metadata_that_http_knows_is_passed_on(client: Client, server: GrpcServerProcess) -> None:
    def ask(numbers: tuple[int, int], **headers: str) -> dict[str, str]:
        _, call = client.call("ModelInfer").with_call(
            infer_request(*numbers), metadata=[(name.replace("_", "-"), value) for name, value in headers.items()]
        )
        return dict(call.trailing_metadata())

    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert ask((1, 2), x_request_id="mine-7", traceparent=trace) == {"x-request-id": "mine-7"}
    (line,) = [line for line in server.log.splitlines() if "request_id=mine-7" in line]
    assert "POST /v2/models/sum/infer 200" in line
    assert "client=127.0.0.1" in line
    assert "trace_id=4bf92f3577b34da6a3ce929d0e0e4736" in line
    assert "idempotent-replayed" not in ask((1, 2), idempotency_key="once")
    assert ask((1, 2), idempotency_key="once")["idempotent-replayed"] == "true"
    error = refusal(lambda: ask((1, 3), idempotency_key="once"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "Idempotency-Key" in error.details()


def test_a_trusted_proxy_says_who_calls(shared_settings: Settings) -> None:
    with serving_grpc(shared_settings, {"TRUSTED_PROXIES": "127.0.0.1"}) as server, connected(server.port) as client:
        client.ask("ServerMetadata", x_forwarded_for="198.51.100.7, 127.0.0.1")
        until(lambda: "client=198.51.100.7" in server.log, "the line of the call is written")


@pytest.mark.parametrize("leaves", ["its deadline passes", "it cancels", "its connection breaks"])
def test_the_job_of_a_caller_who_leaves_is_cancelled(server: GrpcServerProcess, http: FlaskClient, leaves: str) -> None:
    with connected(server.port) as client:
        future = client.call("ModelInfer").future(
            infer_request(1, 2), timeout=5.0 if leaves == "its deadline passes" else 60.0
        )
        until(lambda: http.get("/v1/jobs?status=queued").json["items"], "the job is queued")
        if leaves == "it cancels":
            future.cancel()
        elif leaves == "its deadline passes":
            assert future.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    until(lambda: http.get("/v1/jobs?status=canceled").json["items"], "the job is cancelled")


def test_an_answer_that_takes_longer_than_the_server_waits(shared_settings: Settings, http: FlaskClient) -> None:
    with serving_grpc(shared_settings, {"MAX_WAIT": "1"}) as server, connected(server.port) as client:
        error = refusal(lambda: client.ask("ModelInfer", infer_request(1, 2)))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "'sum' did not answer within 1 s (MAX_WAIT), so the job was cancelled" in error.details()
    assert [job["status"] for job in http.get("/v1/jobs").json["items"]] == ["canceled"]


@contextmanager
def serving_here(settings: Settings, most: int, seconds: float) -> Iterator[tuple[InferenceService, Client, int]]:
    """Serve `most` calls at once in this process, and connect with it."""
    service = InferenceService(create_app(settings).extensions["door"], most, seconds)
    with ThreadPoolExecutor() as pool:
        server = grpc.server(pool, handlers=[service])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with connected(port) as client:
            yield service, client, port
        server.stop(None)


def test_calls_beyond_those_that_a_process_takes_are_refused(shared_settings: Settings) -> None:
    with serving_here(shared_settings, 2, 60) as (service, client, _):
        waiting = [client.call("ModelInfer").future(infer_request(1, 2)) for _ in range(2)]
        until(lambda: service.free == 0, "both are answered")
        error = refusal(lambda: client.ask("ServerLive"))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "2 calls are answered already" in error.details()
        assert dict(error.trailing_metadata())["retry-after"] == "1"
        for call in waiting:
            call.cancel()
        assert until(lambda: service.free == 2, "places are free again")
        assert client.ask("ServerLive").live


def test_a_call_whose_message_does_not_arrive_is_cancelled(shared_settings: Settings) -> None:
    with (
        serving_here(shared_settings, 2, 0) as (service, client, _),
        client.stalled(f"/{NAME}/ModelInfer") as (call,),
    ):
        until(lambda: service.free == 1, "it has a place")
        until(service.clients.end, "it has waited too long")
        assert call.code() is grpc.StatusCode.CANCELLED
        until(lambda: service.free == 2, "its place is free again")


@pytest.mark.usefixtures("scoring")
def test_an_answer_that_its_client_does_not_read_is_dropped(shared_settings: Settings) -> None:
    message = infer_request(1, 2).SerializeToString()
    with (
        serving_here(shared_settings, 2, 0) as (service, _, port),
        deaf_callers(port, f"/{NAME}/ModelInfer", message),
    ):
        until(service.clients.end, "it was answered a while ago")
        until(lambda: service.free == 2, "its place is free again")


@pytest.mark.slow
def test_room_is_made_before_a_process_takes_no_more(shared_settings: Settings) -> None:
    settings = replace(shared_settings, max_queue_rows=1000)
    with (
        serving_grpc(settings, {"MAX_WAIT": "3600"}) as server,
        connected(server.port) as one,
        connected(server.port) as other,
    ):
        beyond = 10
        half = (MOST_CALLS - MOST_CALLS // SPARE + beyond) // 2
        calls = [client.call("ModelInfer").future(infer_request(1, 2)) for client in (one, other) for _ in range(half)]
        until(lambda: sum(call.done() for call in calls) >= beyond, "those of the caller with most calls end")
        assert {call.code() for call in calls if call.done()} == {grpc.StatusCode.DEADLINE_EXCEEDED}
        assert one.ask("ServerLive").live
        for call in calls:
            call.cancel()


@pytest.mark.usefixtures("scoring")
def test_what_is_counted_reaches_the_metrics_of_the_gateway(client: Client, http: FlaskClient) -> None:
    def counted() -> float:
        lines = http.get("/metrics").text.splitlines()
        labels = 'modelgate_requests_total{method="POST",route="/v2/models/<reference>/infer",status="200"} '
        return sum(float(line.removeprefix(labels)) for line in lines if line.startswith(labels))

    threads = [
        threading.Thread(target=lambda: [client.ask("ModelInfer", infer_request(1, 2)) for _ in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: counted() == 200, "all calls are counted, and none twice")
    lines = http.get("/metrics").text.splitlines()
    (alive,) = [line for line in lines if line.startswith('modelgate_alive{kind="gateways"}')]
    assert float(alive.rpartition(" ")[2]) == 1
