"""Keys with real processes: closed stays closed, a revoked key soon opens nothing, and no secret is left anywhere."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from contract.work.api_keys import fingerprint, new_token
from tests.flow import estimators
from tests.stacks.gateways import Gateway
from tests.stacks.redis_process import RedisProcess
from tests.support import numbers, until, write_version

ADMIN_KEY = "correct-horse-battery-staple-0123456789"
REVOKED_WITHIN = 4.0
"""Seconds, as the reference says, and as many again for a busy machine."""
ROW = {"a": 1}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_version(folder, "quick", estimators.Slow(0), numbers("a"), by_value=True)
    return folder


@contextmanager
def gateway(server: RedisProcess, models: Path, folder: Path, **settings: str) -> Iterator[Gateway]:
    running = Gateway(server.url, models, folder / "gateway.log", {"GATEWAY_PROCESSES": "2", **settings})
    try:
        yield running.start()
    finally:
        running.stop()


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def statuses(gateway: Gateway, secret: str | None = None, times: int = 20) -> set[int]:
    """The statuses of requests over as many connections, so that every process answers some."""
    headers = bearer(secret) if secret else {}
    address = f"{gateway.address}/v1/models"
    return {requests.get(address, headers=headers, timeout=30).status_code for _ in range(times)}


def make(gateway: Gateway, secret: str, **body: Any) -> dict[str, Any]:
    answer = requests.post(f"{gateway.address}/v1/keys", json=body, headers=bearer(secret), timeout=30)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.mark.slow
def test_no_state_of_redis_opens_a_closed_gateway(tmp_path: Path, models: Path) -> None:
    folder, before = tmp_path / "redis", tmp_path / "before the first key"
    folder.mkdir()
    with RedisProcess(folder) as server, gateway(server, models, tmp_path) as running:
        marker = tmp_path / "closed"
        assert statuses(running) == {200}
        with server.connect() as redis:
            redis.set("kept", "from before the first key")
        server.stop()
        shutil.copytree(folder, before)
        server.start()
        secret = requests.post(
            f"{running.address}/v1/keys", json={"name": "first", "scopes": ["admin"]}, timeout=30
        ).json()["secret"]
        assert statuses(running) == {401} and statuses(running, secret) == {200}

        with server.connect() as redis:
            redis.flushall()
        assert statuses(running) == {401}
        until(lambda: 200 not in statuses(running, secret), "the lost key opens nothing")

        server.kill()
        assert statuses(running) == {401}
        assert 200 not in statuses(running, secret)
        running.stop()
        running.start()
        assert statuses(running) == {401} and statuses(running, secret, 4) == {503}, "after a restart without Redis"

        shutil.rmtree(folder)
        shutil.copytree(before, folder)
        server.start()
        with server.connect() as redis:
            assert redis.get("kept"), "this is the Redis from before the first key"
        until(lambda: statuses(running, secret, 4) == {401}, "Redis is back")
        assert statuses(running) == {401}

        running.stop()
        with server.connect() as redis:
            redis.hset("mg-gateway:keys", fingerprint(new_token()), "{}")
        marker.unlink()
        running.start()
        assert statuses(running) == {401}, "the first request of each process"
        assert marker.exists()


@pytest.mark.slow
def test_a_key_that_is_revoked_under_load_soon_opens_nothing_and_loses_no_job(tmp_path: Path, models: Path) -> None:
    with (
        RedisProcess(tmp_path) as server,
        gateway(server, models, tmp_path, ADMIN_KEY=ADMIN_KEY) as running,
    ):
        key = make(running, ADMIN_KEY, name="ci", scopes=["predict"])
        statuses(running, ADMIN_KEY)  # a process that knows a key takes it in spite of invalid ones from its address
        answers: list[tuple[float, int, str | None]] = []
        revoked_at = float("inf")
        done = threading.Event()

        def send(_: int) -> None:
            with requests.Session() as session:
                session.headers.update(bearer(key["secret"]))
                while not done.is_set():
                    sent = time.monotonic()
                    answer = session.post(f"{running.address}/v1/models/quick/predict", json=ROW, timeout=30)
                    answers.append((sent, answer.status_code, answer.json().get("id")))

        with ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(send, number) for number in range(8)]
            until(lambda: len(answers) >= 500, "half of the requests")
            deleted = requests.delete(f"{running.address}/v1/keys/{key['id']}", headers=bearer(ADMIN_KEY), timeout=30)
            revoked_at = time.monotonic()
            assert deleted.status_code == 204
            late = lambda: [status for sent, status, _ in answers if sent > revoked_at + 2 * REVOKED_WITHIN]  # noqa: E731
            until(lambda: len(late()) >= 500, "as many after the key has to be unknown")
            done.set()
            for client in clients:
                client.result()
        assert set(late()) <= {401, 429}
        counts = Counter(status for _, status, _ in answers)
        assert counts.keys() <= {202, 401, 429} and counts[202] >= 500, counts
        with requests.Session() as session:
            session.headers.update(bearer(ADMIN_KEY))
            for _, status, job_id in answers:
                if status == 202:
                    job = answered(session, f"{running.address}/v1/jobs/{job_id}")
                    assert (job.status_code, job.json()["status"]) == (200, "queued")


def answered(session: requests.Session, url: str) -> requests.Response:
    """Ask until the minute of the invalid keys is over in the process that answers, unless it has seen this key."""

    def asked() -> list[requests.Response]:
        answer = session.get(url, timeout=30)
        return [answer] if answer.status_code != 429 else []

    (answer,) = until(asked, "keys from this address are checked again")
    assert isinstance(answer, requests.Response)
    return answer


@pytest.mark.slow
def test_no_secret_is_in_a_log_an_error_a_metric_or_the_files_of_redis(tmp_path: Path, models: Path) -> None:
    settings = {"ADMIN_KEY": ADMIN_KEY, "LOG_FORMAT": "json", "LOG_LEVEL": "debug", "ACCESS_LOG_RATE": "1000"}
    with RedisProcess(tmp_path) as server, gateway(server, models, tmp_path, **settings) as running:
        made = make(running, ADMIN_KEY, name="ci", scopes=["predict"])
        rotated = requests.post(
            f"{running.address}/v1/keys/{made['id']}/rotate",
            json={"overlap": "1h"},
            headers=bearer(ADMIN_KEY),
            timeout=30,
        ).json()
        secrets = [ADMIN_KEY, made["secret"], rotated["secret"], new_token()]
        told = []
        for secret in secrets:
            for headers in (bearer(secret), {"X-API-Key": secret}, bearer(f"{secret}x"), {"Authorization": secret}):
                for method, path in (
                    ("GET", "/v1/models"),
                    ("GET", "/v1/keys"),
                    ("GET", "/metrics"),
                    ("GET", "/health/ready"),
                    ("GET", "/v1/audit"),
                    ("POST", "/v1/models/quick/predict"),
                    ("GET", f"/v1/{new_token() if secret == ADMIN_KEY else secret}"),
                    ("GET", "/v1/models/none"),
                ):
                    told.append(requests.request(method, running.address + path, headers=headers, json=ROW, timeout=30))
        with server.frozen():  # errors of Redis
            told.append(requests.get(f"{running.address}/v1/models", headers=bearer(new_token()), timeout=30))
        running.stop()
        with server.connect() as redis:
            redis.save()
        server.stop()
    texts = {"answers": "".join(answer.text for answer in told).encode(), "log": running.log.encode()}
    texts |= {file.name: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert {"dump.rdb", "closed"} <= texts.keys() and any(name.endswith(".aof") for name in texts)
    assert fingerprint(made["secret"]).encode() in b"".join(texts.values()), "what is looked for would be found"
    assert [(name, secret) for name, text in texts.items() for secret in secrets if secret.encode() in text] == []
    assert any("mg_***" in json.loads(line).get("path", "") for line in running.log.splitlines())
