"""Slow clients under gunicorn: connections without progress are closed, and others are not."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace

import pytest
import requests
from gevent.socket import socket as gevent_socket

from broker.link.connection import connect
from contract.settings import Settings
from contract.work.api_keys import Key, Scope, new_token
from gateway.door.connections import ClientConnection, ClientTimeouts, Phase, slowest
from gateway.server.gunicorn_worker import SPARE
from gateway.serving.marker import Marker
from tests.gateway.callers import store
from tests.stacks.gateways import Gateway, rest_of, serving
from tests.support import until

pytestmark = pytest.mark.waits

SLOTS = 40
CROWDED = f"worker_connections = {SLOTS}\n"
HURRIED = f"""
from gateway.door.connections import ClientTimeouts
from gateway.server import gunicorn_worker
from gateway.server.gunicorn_worker import GatewayWorker

class worker_class(GatewayWorker):
    timeouts = ClientTimeouts(head=3.0, lag=3.0)

{CROWDED}"""
FULL = HURRIED.replace("head=3.0, lag=3.0", "lag=1e6") + "gunicorn_worker.MOST_UNREAD = 1000\n"
"""With time for every client, and hardly any room for what one does not read."""
POST = b"POST /v1/models/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'


@pytest.fixture(scope="module")
def hurried(shared_settings: Settings) -> Iterator[Gateway]:
    """A gateway with short deadlines and few connections, which accepts uploads."""
    with serving(shared_settings, HURRIED, ALLOW_UPLOAD="1") as server:
        yield server


@pytest.fixture
def crowded(settings: Settings) -> Iterator[Gateway]:
    """A gateway with few connections, and the usual deadlines. It has keys, and `hurried` has none."""
    with serving(replace(settings, redis_url=f"{settings.redis_url}?db=1"), CROWDED) as server:
        yield server


def test_connections_without_progress_are_closed(hurried: Gateway) -> None:
    spool = hurried.models.with_name("spool")
    begun = {
        b"": b"",
        b"POST /v1/models/sum/predict HTTP/1.1\r\nHost: loc": b'"code":"head_too_slow"',
        POST % (b"sum/predict", b"application/json", 9) + b"[": b'"code":"body_too_slow"',
        POST % (b"sum/versions", b"multipart/form-data; boundary=x", 2**30)
        + FORM
        + b"y" * 200_000: b'"code":"body_too_slow"',
        # A fast start, which is a hundred seconds' worth, does not allow a long silence.
        POST % (b"sum/predict", b"application/json", 100_001) + b" " * 100_000: b'"code":"body_too_slow"',
    }
    with ExitStack() as stack:
        clients = {}
        for data in begun:
            clients[data] = stack.enter_context(hurried.connected())
            clients[data].sendall(data)
        until(lambda: list(spool.glob("*.part")), "a part of the upload is in the spool")
        for data, answer in begun.items():
            said = rest_of(clients[data])
            assert (said == b"") == (answer == b"")
            assert answer in said
            assert not said or (said.startswith(b"HTTP/1.1 408 ") and b"\r\nConnection: close\r\n" in said)
            assert said.count(b"\r\nX-Request-ID: ") == (said != b"")
    assert [path.name for path in spool.iterdir()] == [".lock"]


def test_a_body_that_keeps_arriving_extends_its_deadline() -> None:
    ours, theirs = socket.socketpair()
    with theirs, ClientConnection(wrapped(ours), ClientTimeouts(lag=20, rate=1000), 75) as connection:
        connection.enter(Phase.BODY, 20)
        connection.deadline -= 15  # as if nothing had arrived for so long
        before = connection.deadline
        theirs.sendall(b" " * 5000)
        connection.recv(5000)
        assert connection.deadline == before + 5
        theirs.sendall(b" " * 50_000)
        connection.recv(50_000)
        assert connection.deadline - before < 50


def test_a_client_that_does_not_read_its_answers_is_disconnected(hurried: Gateway) -> None:
    _send_until_closed(hurried)


def test_clients_that_do_not_read_are_disconnected_when_their_answers_take_much(settings: Settings) -> None:
    with serving(settings, FULL) as server:
        _send_until_closed(server)


def _send_until_closed(server: Gateway) -> None:
    with socket.socket() as client, suppress(ConnectionError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(30)
        client.connect(("127.0.0.1", server.port))
        body = b"[" + b'["x", "y"],' * 500 + b"[]]"  # each value is an error in the answer
        while True:
            client.sendall(POST % (b"sum/predict", b"application/json", len(body)) + body)


def test_idle_connections_are_closed_when_connections_run_out(hurried: Gateway) -> None:
    """Otherwise gunicorn would accept no connection while they are idle, for up to 75 seconds."""
    with ExitStack() as stack:
        for _ in range(SLOTS + 4):
            client = stack.enter_context(hurried.connected())
            client.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(hurried.live, "another is served")


@pytest.mark.slow
def test_the_owner_with_most_waiting_requests_makes_room_when_connections_run_out(
    crowded: Gateway, settings: Settings
) -> None:
    """Otherwise one that may only predict could block a gateway for MAX_WAIT, with a single job."""
    Marker(settings.marker).make()
    with ExitStack() as stack, connect(crowded.redis_url) as redis:

        def wait_as(owner: str, count: int) -> list[socket.socket]:
            token = new_token()
            store(redis, token, Key(owner, owner, owner, frozenset({Scope.PREDICT})))
            headers = {"Authorization": f"Bearer {token}"}
            url = f"{crowded.address}/v1/models/sum/predict"
            job = requests.post(url, json={"a": 1, "b": 2}, headers=headers, timeout=30).json()["id"]
            head = f"GET /v1/jobs/{job}?wait=60 HTTP/1.1\r\nHost: x\r\nX-API-Key: {token}\r\n\r\n"
            clients = []
            for _ in range(count):  # an idle connection would be closed to make room
                clients.append(stack.enter_context(crowded.connected()))
                clients[-1].sendall(head.encode())
            return clients

        def answered(clients: list[socket.socket]) -> list[socket.socket]:
            return select.select(clients, [], [], 0)[0]

        flooding, room = wait_as("flooding", SLOTS + 4), 4 + SLOTS // SPARE
        until(lambda: len(answered(flooding)) >= room, "some are answered, since connections have run out")
        quiet = wait_as("quiet", 2)
        until(lambda: len(answered(flooding)) >= room + len(quiet), "others are answered for the quiet owner")
        assert not answered(quiet)
        until(crowded.live, "another is served")
        assert answered(flooding)[0].recv(1000).startswith(b"HTTP/1.1 200 ")


def test_the_slowest_connections_are_closed_first_and_new_ones_are_not() -> None:
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(5)]
        for pair in pairs:
            for end in pair:
                stack.enter_context(end)
        idle, trickling, quick, fresh, busy = (
            ClientConnection(wrapped(ours), ClientTimeouts(), 75) for ours, _ in pairs
        )
        for connection in (idle, trickling, quick, fresh, busy):
            connection.blocked = connection is not busy
            connection.since -= 0 if connection is fresh else 100
        trickling.moved, quick.moved = 200, 200_000
        connections = [fresh, quick, busy, trickling, idle]
        assert slowest(connections, 5) == [idle, trickling, quick]
        assert slowest(connections, 1) == [idle]
        assert slowest(connections, -1) == []


@pytest.mark.slow
def test_a_body_in_tiny_chunks_is_refused_and_one_in_small_chunks_is_not(crowded: Gateway) -> None:
    head = (
        b"POST /v1/models/sum/predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n[1, 2]\r\n"
    )
    small, tiny = b"20\r\n" + b" " * 32 + b"\r\n", b"1\r\n \r\n"
    for chunks in (small * 15_000, tiny * 9_000):
        assert crowded.raw(head + chunks + b"0\r\n\r\n").startswith(b"HTTP/1.1 202 ")
    with crowded.connected() as client:
        with suppress(ConnectionError):
            client.sendall(head + tiny * 15_000)
        answer = rest_of(client)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"its chunks are too small; send at least 32 bytes in each" in answer


def wrapped(client: socket.socket) -> object:
    return gevent_socket(client.family, client.type, client.proto, fileno=client.detach())
