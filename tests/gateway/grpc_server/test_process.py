"""The process: how it starts and stops, and that nobody else needs what it needs."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse
from redis import Redis

from contract.settings import Settings
from gateway.grpc_server import check
from tests.gateway.grpc_server.conftest import infer_request, refusal
from tests.gateway.grpc_server.generate import FOLDER, generate
from tests.stacks.grpc_servers import Client, connected, serving_grpc
from tests.stacks.ports import free_port
from tests.support import DEADLINE, PROJECT, until

pytestmark = pytest.mark.waits


def run(module: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module]
    env = {**os.environ, **environ}
    return subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, timeout=DEADLINE)


def test_the_modules_are_generated_from_the_protocol(tmp_path: Path) -> None:
    generate(tmp_path)
    for file in tmp_path.iterdir():
        written = (FOLDER / file.name).read_text() == file.read_text()
        assert written, "python -m tests.gateway.grpc_server.generate"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("module", ["gateway.__main__", "gateway.server.wsgi"])
def test_the_http_gateway_imports_nothing_of_grpc(module: str) -> None:
    code = f"import {module}, sys; print([name for name in sys.modules if name.startswith(('grpc', 'google.'))])"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_a_start_that_is_impossible_says_what_to_do(settings: Settings) -> None:
    environ = {
        "REDIS_URL": settings.redis_url,
        "STATE_DIR": str(settings.state_dir),
        "MODELS_DIR": str(settings.models_dir),
    }
    done = run("gateway.grpc_server", **environ)
    assert (done.returncode, "GRPC_PORT is not set; set it to the port" in done.stderr) == (1, True)
    done = run("gateway.grpc_server", **environ, GRPC_PORT="8001", HOST="0.0.0.0")
    assert (done.returncode, "HOST=0.0.0.0 lets other machines in" in done.stderr) == (1, True)
    with serving_grpc(settings) as server:
        done = run("gateway.grpc_server", **environ, GRPC_PORT=str(server.port))
        assert (done.returncode, f"cannot listen on 127.0.0.1:{server.port}; set another" in done.stderr) == (1, True)


def test_the_health_check_of_the_container(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    port = str(free_port())
    monkeypatch.setenv("GRPC_PORT", port)
    assert check.main() == 1
    with serving_grpc(settings) as server:
        monkeypatch.setenv("GRPC_PORT", str(server.port))
        assert check.main() == 0


@contextmanager
def calling(client: Client, threads: int) -> Iterator[tuple[list[bytes], list[str]]]:
    """Call without a pause in `threads` threads; gives the answers so far, and the errors."""
    answers: list[bytes] = []
    errors: list[str] = []
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            try:
                answers.extend(client.ask("ModelInfer", infer_request(1, 2)).raw_output_contents)
            except grpc.RpcError as error:
                errors.append(str(error))

    started = [threading.Thread(target=call) for _ in range(threads)]
    for thread in started:
        thread.start()
    try:
        yield answers, errors
    finally:
        stop.set()
        for thread in started:
            thread.join()


@pytest.mark.usefixtures("scoring")
def test_no_call_fails_while_one_of_two_servers_stops(settings: Settings) -> None:
    """Clients that ask the health service leave it meanwhile."""
    settings, stops = replace(settings, max_queue_rows=1000), {"STOP_DELAY": "5", "STOP_GRACE": "20"}
    with serving_grpc(settings) as staying, serving_grpc(settings, stops) as stopping:
        assert stopping.process
        with connected(staying.port, stopping.port) as client, calling(client, 8) as (answers, errors):
            until(lambda: len(answers) > 50, "they are asked")
            stopping.process.terminate()
            assert stopping.process.wait(DEADLINE) == 0
            done = len(answers)
            until(lambda: len(answers) > done + 50, "the other one goes on")
    assert errors == []
    assert set(answers) == {struct.pack("<d", 3)}


def test_a_stopping_server_says_so_first(settings: Settings, redis: Redis) -> None:
    """It still answers those who have not heard it."""
    with (
        serving_grpc(settings, {"STOP_DELAY": "300", "STOP_GRACE": "600"}) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        assert server.process
        client = Client(channel)
        watch = client.watch()
        assert next(watch).status == HealthCheckResponse.SERVING
        server.process.terminate()
        assert [answer.status for answer in watch] == [HealthCheckResponse.NOT_SERVING]
        assert client.check() == HealthCheckResponse.NOT_SERVING
        assert not client.ask("ServerLive").live
        assert client.ask("ServerMetadata").name == "modelgate"
        server.kill()  # it would go on for all of STOP_DELAY


def test_a_call_that_waits_when_the_server_stops_is_answered(settings: Settings, redis: Redis) -> None:
    with serving_grpc(settings, {"STOP_GRACE": "2"}) as server, connected(server.port) as client:
        assert server.process
        waiting = client.call("ModelInfer").future(infer_request(1, 2), timeout=60)
        until(lambda: redis.llen("rq:queue:predict:sum"), "the job is queued")
        server.process.terminate()
        assert waiting.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "so the job was cancelled" in waiting.details()
        assert server.process.wait(DEADLINE) == 0
        assert refusal(lambda: client.ask("ServerLive", timeout=5)).code() is grpc.StatusCode.UNAVAILABLE
