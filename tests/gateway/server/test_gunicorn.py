"""The gateway under gunicorn, with real processes and connections."""

from __future__ import annotations

import gzip
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest
import requests
from redis import Redis

from contract.settings import MB, Settings
from gateway.app import create_app
from gateway.http.rules import Route
from gateway.protocols.offload import LARGE
from tests.stacks.gateways import FEW_FILES, Gateway, serving
from tests.support import DEADLINE, PROJECT, InThreads, gone, until

pytestmark = pytest.mark.waits

GOOD = {"a": 1, "b": 2}


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 1000):
        yield b" " * 1000


def test_a_body_over_the_limit_is_413_also_without_a_length(server: Gateway) -> None:
    for body in (b" " * 20_000_000, chunks(5_000_000)):
        assert server.send(body).status_code == 413
    assert server.send(chunks(5_000_000), "text/csv").status_code == 413
    assert server.send(iter([b"a=1&b=2"]), "application/x-www-form-urlencoded").status_code == 411
    assert server.send(iter([b'{"a": 1,', b' "b": 2}'])).status_code == 202
    assert server.send(iter([b'{"a": 1, "b": 2}', b" " * (MB - 16)])).status_code == 202


def test_an_incomplete_body_is_refused(server: Gateway, redis: Redis) -> None:
    chunked = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    for rest in (
        b"Content-Type: text/csv\r\nContent-Length: 50\r\n\r\na,b\n1,2\n3,4567",
        b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 50\r\n\r\na=1&b=2",
        chunked + b"5\r\n[1,2]\r\n",
        chunked + b"zz\r\n[1,2]\r\n0\r\n\r\n",
        chunked + b"5\r\n[1,2]xx0\r\n\r\n",
    ):
        answer = server.raw(b"POST /v1/models/sum/predict HTTP/1.1\r\nHost: localhost\r\n" + rest, hang_up=True)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'"code":"malformed_body"' in answer
    compressed = chunked.replace(b"chunked", b"gzip, chunked") + b"5\r\n[1,2]\r\n0\r\n\r\n"
    answer = server.raw(b"POST /v1/models/sum/predict HTTP/1.1\r\nHost: localhost\r\n" + compressed)
    assert answer.startswith(b"HTTP/1.1 501 ")
    assert b"the Transfer-Encoding 'gzip, chunked' is not supported" in answer
    assert not redis.keys("rq:queue:*")


def test_each_header_is_sent_once_and_the_length_is_right(server: Gateway) -> None:
    """A proxy such as nginx answers 502 in place of a response that says its length twice."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for method, path, body in (  # on one connection: a wrong length would show in the next answer
        ("POST", "/v1/models/sum/predict", b"[[1, 2]]"),
        ("POST", "/v1/models/sum/predict", b"[[1]"),
        ("GET", "/v1/models/sum/predict?a=1", None),
        ("HEAD", "/v1/models/sum", None),
        ("GET", "/v1/models", None),
        ("GET", "/v1/models/nobody", None),
        ("DELETE", "/v1/jobs/0123456789abcdef0123456789abcdef", None),
        ("PUT", "/health/live", None),
        ("GET", "/metrics", None),
    ):
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        names = [name.lower() for name, _ in response.getheaders()]
        assert sorted(names) == sorted(set(names))
        assert {"content-length", "x-content-type-options", "x-request-id"} <= set(names)
        assert len(response.read()) == (0 if method == "HEAD" else int(response.headers["Content-Length"]))
    connection.close()


def test_invalid_http_is_answered_with_a_problem(server: Gateway) -> None:
    for data, status in (
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x: y\r\n" * 500 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"x%d: %s\r\n" % (n, b"y" * 8000) for n in range(9)), 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400),
    ):
        head, _, body = server.raw(data).partition(b"\r\n\r\n")
        assert head.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"application/problem+json" in head
        assert b'"code":"malformed_request"' in body
        assert b"\r\nX-Content-Type-Options: nosniff\r\n" in head
        assert len(re.findall(rb"\r\nX-Request-ID: [0-9a-f]{32}\b", head)) == 1


def test_the_door_sees_the_request_as_it_was_sent(server: Gateway) -> None:
    for head, status in (
        (b"GET /v1/jobs HTTP/1.0\r\n", 400),
        (b"GET /health/live HTTP/1.0\r\n", 200),
        (b"GET /v1/jobs HTTP/1.1\r\nHost: evil.example\r\n", 403),
        (b"GET http://evil.example/v1/jobs HTTP/1.1\r\nHost: localhost\r\n", 403),
        (b"GET http://localhost/v1/jobs HTTP/1.1\r\nHost: localhost\r\n", 200),
        (b"DELETE /v1/jobs/x HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nOrigin: http://x\r\n", 403),
    ):
        answer = server.raw(head + b"Connection: close\r\n\r\n")
        assert int(answer.split()[1]) == status
        assert answer.count(b"\r\nX-Content-Type-Options: nosniff\r\n") == 1


def test_a_request_without_a_host_is_refused_but_for_http_1_0(server: Gateway) -> None:
    for head, status in (
        (b"GET /health/live HTTP/1.1\r\n", 400),
        (b"GET /health/live HTTP/1.1\r\nHost:\r\n", 400),
        (b"GET /health/live HTTP/1.0\r\n", 200),
    ):
        answer = server.raw(head + b"Connection: close\r\n\r\n")
        assert (int(answer.split()[1]), b"no Host" in answer) == (status, status == 400)


def test_options_of_the_whole_server_has_the_methods(server: Gateway) -> None:
    answer = server.raw(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert b"\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE\r\n" in answer


def expecting(length: int, path: str = "/v1/models/sum/predict") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n"
    return f"{head}Content-Type: application/json\r\nPrefer: wait=0\r\n\r\n".encode()


def test_a_client_that_waits_is_asked_for_its_body(server: Gateway) -> None:
    with server.connected() as connection:
        connection.sendall(expecting(8))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"[[1, 2]]")
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 202 ") and b"\r\nConnection: keep-alive\r\n" in answer


@pytest.mark.parametrize(
    ("length", "path", "status"), [(2**30, "/v1/models/sum/predict", 413), (8, "/v1/nothing", 404)]
)
def test_a_refused_client_is_not_asked_for_its_body(server: Gateway, length: int, path: str, status: int) -> None:
    with server.connected() as connection:
        connection.sendall(expecting(length, path))
        answer = b""
        while data := connection.recv(65536):  # to the end: the server closes
            answer += data
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"100 Continue" not in answer and b"\r\nConnection: close\r\n" in answer


def test_the_gateway_raises_the_systems_limit_on_connections(server: Gateway) -> None:
    with ExitStack() as open_ones:
        for _ in range(2 * FEW_FILES):
            open_ones.enter_context(server.connected())
        assert server.live()


def test_many_requests_at_once_are_all_answered(server: Gateway) -> None:
    path = server.send('{"a": 1, "b": 2}').headers["Location"]
    with ExitStack() as stack:
        callers = [server.connected() for _ in range(300)]
        for caller in callers:
            stack.enter_context(caller).sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert {caller.recv(65536)[:15] for caller in callers} == {b"HTTP/1.1 200 OK"}


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_connection_of_a_client_that_lost_its_network_is_closed(server: Gateway) -> None:
    """The kernel closes it: the connection has a keepalive timer."""
    keepalive = "02"
    with server.connected() as client:
        client.sendall(b"POST /v1/models/sum/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n[")
        ends = [f"0100007F:{port:04X}" for port in (server.port, client.getsockname()[1])]

        def timer() -> str:
            rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
            return next((row[5][:2] for row in rows if row[1:3] == ends), "")

        until(lambda: timer() == keepalive, "the timer runs")


@pytest.mark.slow
def test_a_stop_does_not_wait_for_idle_connections(settings: Settings) -> None:
    with serving(settings, STOP_GRACE="3600") as server, requests.Session() as session:
        assert session.get(f"{server.address}/health/live").ok
        server.process.terminate()
        assert server.process.wait(60) == 0  # the connection alone would last 75 s, and the grace period an hour


@pytest.mark.slow
def test_a_stopping_gateway_serves_on_until_a_load_balancer_has_turned_away(settings: Settings) -> None:
    with serving(settings, STOP_GRACE="3600", STOP_DELAY="2") as server, requests.Session() as session:
        assert session.get(f"{server.address}/health/live").headers["Connection"] == "keep-alive"
        server.process.terminate()
        until(lambda: requests.get(f"{server.address}/health/live", timeout=5).status_code == 503, "it says so")
        last = session.get(f"{server.address}/v1/models")
        assert (last.status_code, last.headers["Connection"]) == (200, "close")
        assert server.send('{"a": 1, "b": 2}').status_code == 202
        assert server.process.wait(60) == 0


def test_a_request_that_arrives_while_its_connection_times_out_is_served() -> None:
    """Both events are due while the process is busy. The request is read first, and its body may come later."""
    script = """
from gevent import monkey; monkey.patch_all()
import gevent, socket
from gateway.door.connections import ClientConnection, ClientTimeouts
(ours, theirs), served = socket.socketpair(), []
connections = []
def serve():
    connections.append(ClientConnection(ours, ClientTimeouts(), 75))
    with connections[0].next_request:
        connections[0].recv(1)
    served.append(connections[0].recv(1))
def look():
    gevent.sleep(0.01)
    connections[0].end()
greenlets = [gevent.spawn(serve), gevent.spawn(look)]
gevent.sleep(0)
theirs.send(b"x")
monkey.get_original("time", "sleep")(0.05)
gevent.sleep(0.01)
theirs.send(b"y")
gevent.joinall(greenlets, raise_error=True)
assert served == [b"y"]
"""
    subprocess.run([sys.executable, "-c", script], cwd=PROJECT, check=True, timeout=DEADLINE)


@pytest.mark.slow
def test_a_request_that_waits_when_the_gateway_stops_is_answered_with_its_job(settings: Settings, redis: Redis) -> None:
    with serving(settings) as server, ThreadPoolExecutor() as pool:
        answer = pool.submit(server.send, '{"a": 1, "b": 2}', Prefer="wait=60")
        until(lambda: redis.llen("rq:queue:predict:sum"), "the job is queued")
        server.process.send_signal(signal.SIGTERM)
        assert (answer.result(30).status_code, answer.result().json()["status"]) == (202, "queued")
        assert server.process.wait(30) == 0


def test_no_request_fails_while_processes_end_whose_parent_was_killed(settings: Settings) -> None:
    answers: list[requests.Response] = []

    def ask() -> None:
        with requests.Session() as session, suppress(requests.RequestException):
            while True:
                path = "/v1/jobs" if len(answers) % 2 else "/v1/models/sum/predict"
                send = session.get if len(answers) % 2 else partial(session.post, json=GOOD)
                answers.append(send(server.address + path, timeout=30))

    with serving(settings, GATEWAY_PROCESSES="2") as server, InThreads(*[ask] * 8):
        until(lambda: len(answers) > 300, "they answer")
        left = server.processes()
        server.process.kill()
        server.process.wait()
        until(lambda: gone(left), "its processes end")
    assert [answer.text for answer in answers if not answer.ok] == []


def test_no_request_fails_while_the_gateway_is_reloaded(server: Gateway) -> None:
    stop, failures, count = threading.Event(), [], [0]

    def ask() -> None:
        with requests.Session() as session:
            while not stop.is_set():
                try:
                    response = session.post(f"{server.address}/v1/models/sum/predict", json=GOOD, timeout=30)
                    if response.status_code not in (202, 503):
                        failures.append(response.text)
                except requests.RequestException as error:
                    failures.append(str(error))
                count[0] += 1

    with InThreads(*[ask] * 4):
        for _ in range(2):
            before, seen = workers(server), count[0]
            server.process.send_signal(signal.SIGHUP)
            until(lambda b=before: workers(server) and not workers(server) & b, "other processes serve")
            until(lambda s=seen: count[0] > s + 50, "they answer")
        stop.set()
    assert failures == []


@pytest.mark.slow
def test_a_process_that_is_stopped_while_it_starts_does_not_end_the_gateway(server: Gateway) -> None:
    before = workers(server)
    server.process.send_signal(signal.SIGHUP)
    (pid, *_) = until(lambda: workers(server) - before, "a new process starts")
    until(lambda: "orjson" in Path(f"/proc/{pid}/maps").read_text(), "it loads the application")
    os.kill(pid, signal.SIGTERM)
    until(lambda: pid not in workers(server), "it ends")
    until(lambda: workers(server) - before - {pid}, "another one replaces it")
    until(server.live, "it serves")
    assert server.process.poll() is None


def workers(server: Gateway) -> set[int]:
    return {process.pid for process in server.processes()}


def test_a_job_of_another_protocol_is_cancelled_when_its_client_hangs_up(server: Gateway) -> None:
    body = b'{"instances": [[1, 2]]}'
    head = b"POST /v1/models/sum:predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with server.connected() as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        until(lambda: server.get("/v1/jobs?status=queued").json()["items"], "the job waits")
    until(lambda: server.get("/v1/jobs?status=canceled").json()["items"], "the job is cancelled")


def test_every_route_answers_a_large_body(server: Gateway) -> None:
    """Readers call each other. One that waited within the only thread for that thread would wait for ever."""
    rules = create_app(Settings(redis_url="redis://127.0.0.1:1")).url_map.iter_rules()
    bodies = {
        "application/json": b'{"wrong": [' + b"1," * LARGE + b"1]}",
        "text/csv": b"wrong\n" * LARGE,
        "application/x-www-form-urlencoded": b"wrong=" + b"1" * LARGE,
    }
    for rule in rules:
        if not isinstance(rule, Route) or "POST" not in (rule.methods or ()) or rule.body.bytes <= LARGE:
            continue
        path = re.sub("<[^>]*>", "1", re.sub("<[^>]*(name|reference)>", "sum", rule.rule))
        for media_type, body in bodies.items():
            headers = {"Content-Type": media_type, "Prefer": "wait=0"}
            answer = requests.post(server.address + path, body, headers=headers, timeout=DEADLINE)
            assert answer.status_code != 500, (path, media_type, answer.text)
    assert "Traceback" not in server.log


def send_large_bodies(server: Gateway) -> None:
    body = gzip.compress(b"[" + b",".join([b'{"a":1,"a":1}'] * (MB // 14 - 1)) + b"]")
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    for _ in range(10):
        assert requests.post(f"{server.address}/v1/models/sum/predict", body, headers=headers).status_code == 422


def send_without_waiting(server: Gateway) -> None:
    request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
    answers = server.raw((request + b"\r\n") * 5000 + request + b"Connection: close\r\n\r\n")
    assert answers.count(b"HTTP/1.1 200 ") == 5001


@pytest.mark.parametrize("attack", [send_large_bodies, send_without_waiting])
def test_small_requests_are_answered_meanwhile(server: Gateway, attack: Callable[[Gateway], None]) -> None:
    with ThreadPoolExecutor(1) as attacker, requests.Session() as session:
        attacked, answered = attacker.submit(attack, server), 0
        while not attacked.done():
            assert session.get(f"{server.address}/health/live", timeout=DEADLINE).ok
            answered += 1
    attacked.result()
    assert answered > 20
