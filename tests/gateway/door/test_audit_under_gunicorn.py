"""The audit log of a real gateway: killed, behind a proxy, and with hostile headers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
import requests
from redis import Redis

from contract.settings import Settings
from tests.broker import samples
from tests.gateway.door.test_audit import ADMIN, ADMIN_KEY, LESSER, entries
from tests.gateway.http.test_idempotent_commands import trainer
from tests.stacks.gateways import Gateway, serving
from tests.support import until

pytestmark = pytest.mark.waits

SCHEDULE = {"cron": "0 3 * * 1", "request": {"recipe": "tabular", "target": "y", "data": {"path": "x.csv"}}}


@pytest.fixture
def server(settings: Settings, redis: Redis) -> Iterator[Gateway]:
    """A closed gateway that trusts the proxies of 127.0.0.0/8."""
    samples.trainer(redis, ["tabular"])
    with serving(settings, ADMIN_KEY=ADMIN_KEY, TRUSTED_PROXIES="127.0.0.0/8") as server:
        yield server


def test_every_answer_before_a_kill_has_its_entry(server: Gateway, redis: Redis) -> None:
    answered: list[str] = []
    clients = 8

    def act(client: int) -> None:
        with suppress(requests.RequestException), requests.Session() as session:
            for number in range(10_000):
                request_id = f"{client}-{number}"
                url, headers = f"{server.address}/v1/models/m{client}/schedule", {**ADMIN, "X-Request-ID": request_id}
                if session.put(url, json=SCHEDULE, headers=headers, timeout=60).status_code == 200:
                    answered.append(request_id)

    threads = [threading.Thread(target=act, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    with trainer(redis, {}):  # it checks each schedule
        until(lambda: len(answered) >= 50, "actions are answered")
    server.kill()
    for thread in threads:
        thread.join()
    written = [entry["request_id"] for entry in entries(redis)]
    assert len(set(written)) == len(written)
    assert set(answered) <= set(written) and len(written) <= len(answered) + clients


@pytest.mark.slow
def test_a_stopped_gateway_has_reported_all_refusals(server: Gateway, redis: Redis) -> None:
    for _ in range(7):
        requests.get(f"{server.address}/v1/models", headers={"X-API-Key": "guess"}, timeout=60)
    server.process.terminate()
    server.process.wait(30)
    refusals = entries(redis, *LESSER)
    assert {entry["code"] for entry in refusals} == {"invalid_key"} and sum(entry["count"] for entry in refusals) == 7


def test_what_a_client_sends_forges_nothing(server: Gateway, redis: Redis) -> None:
    url = f"{server.address}/v1/models"
    requests.get(url, headers={"X-Forwarded-For": "127.0.0.1, 192.0.2.7"}, timeout=60)
    raw = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    assert b" 401 " in server.raw(raw + b"X-Forwarded-For: 192.0.2.66\r\nX-Forwarded-For: 192.0.2.8\r\n\r\n")
    assert b" 401 " in server.raw(raw + b"X_Forwarded_For: 192.0.2.66\r\n\r\n")
    for junk in (b"X-Forwarded-For: " + b"1" * 1_000_000, b"X-Forwarded-For: 192.0.2.66\r\n " + b"1" * 1_000_000):
        with suppress(ConnectionError):  # the server may close before it has read all
            answer = server.raw(raw + junk + b"\r\n\r\n")
            assert not answer or answer.split()[1] in (b"400", b"431")
    until(lambda: len(entries(redis, *LESSER)) >= 3, "the refusals have entries")
    clients = [(entry["client"], entry["count"]) for entry in entries(redis, *LESSER)]
    assert clients == [("192.0.2.7", 1), ("192.0.2.8", 1), ("127.0.0.1", 1)]
