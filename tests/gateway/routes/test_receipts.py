"""What the gateway reports of clients that have seen the end of their jobs."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient
from redis import Redis

from broker.sides.scorer import BatchLimits, ScorerQueue
from broker.sides.supervisor import Leases
from contract.settings import Settings
from contract.work.jobs import PredictionOutcome
from gateway.routes.predictions import AT_ONCE
from tests.stacks.gateways import Gateway, serving
from tests.support import PROJECT, until

pytestmark = pytest.mark.waits

PREDICT = "/v1/models/sum/predict"
GOOD = {"a": 1, "b": 2}
ENDED, DELIVERED, FETCHED = (f"mg:{seen}:finished:predict:sum" for seen in ("ended", "delivered", "fetched"))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, webhook_secret="set")


def held(redis: Redis, index: str) -> list[str]:
    return [job_id.decode() for job_id in redis.zrange(index, 0, -1)]


def seen(redis: Redis, index: str, count: int = 1) -> list[str]:
    until(lambda: redis.zcard(index) >= count, f"{index} has {count}")
    return held(redis, index)


def test_an_answer_in_the_response_is_delivered_and_expires_soon(server: Gateway, scoring: None, redis: Redis) -> None:
    job = server.send(b'{"a": 1, "b": 2}', Prefer="wait=30").json()
    assert job["status"] == "succeeded"
    assert seen(redis, DELIVERED) == [job["id"]]
    assert held(redis, ENDED) == []
    assert 0 < redis.ttl(f"rq:job:{job['id']}") <= 60
    # It can still be read, and is kept no longer for that.
    assert requests.get(f"{server.address}/v1/jobs/{job['id']}", timeout=60).json() == {**job, "worker": "w"}
    requests.get(f"{server.address}{PREDICT}?a=1&b=2", timeout=60)
    assert seen(redis, DELIVERED, 2)[0] == job["id"]
    assert held(redis, FETCHED) == []


def test_a_job_that_a_client_asks_for_is_fetched_and_stays(server: Gateway, scoring: None, redis: Redis) -> None:
    job_id = server.send(b'{"a": 1, "b": 2}').json()["id"]
    job = requests.get(f"{server.address}/v1/jobs/{job_id}", params={"wait": 30}, timeout=60).json()
    assert job["status"] == "succeeded"
    assert seen(redis, FETCHED) == [job_id]
    assert held(redis, ENDED) == []
    assert redis.ttl(f"rq:job:{job_id}") > 3000


def test_the_job_of_a_webhook_stays_although_it_was_delivered(client: FlaskClient, scoring: None, redis: Redis) -> None:
    headers = {"Prefer": "wait=30", "Webhook-Url": "https://example.org/"}
    job_id = client.post(PREDICT, json=GOOD, headers=headers).get_json()["id"]
    until(lambda: client.post(PREDICT, json=GOOD) and held(redis, FETCHED) == [job_id], "the receipt arrives")
    assert redis.ttl(f"rq:job:{job_id}") > 3000


def test_receipts_leave_with_the_next_commit(client: FlaskClient, scoring: None, redis: Redis) -> None:
    first = client.post(PREDICT, json=GOOD, headers={"Prefer": "wait=30"}).get_json()["id"]
    assert held(redis, ENDED) == [first]
    until(lambda: client.post(PREDICT, json=GOOD) and held(redis, DELIVERED) == [first], "the receipt arrives")


def test_a_head_request_and_a_list_fetch_nothing(client: FlaskClient, scoring: None, redis: Redis) -> None:
    job_id = client.post(PREDICT, json=GOOD).get_json()["id"]
    until(lambda: redis.zcard(ENDED), "it ends")
    client.head(f"/v1/jobs/{job_id}")
    client.get("/v1/jobs")
    client.application.extensions["outbox"].flush()
    assert held(redis, ENDED) == [job_id]


def request_that_waits(server: Gateway) -> bytes:
    body = b'{"a": 1, "b": 2}'
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
    return f"{head}Prefer: wait=30\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture(scope="module")
def unchecked(shared_settings: Settings) -> Iterator[Gateway]:
    """A gateway that looks for clients which have gone away once an hour, and not once a second."""
    rarely = (
        "def post_worker_init(worker):\n    from gateway.serving import listener\n    listener.CHECK_EVERY = 3600\n"
    )
    with serving(shared_settings, rarely) as server:
        yield server


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_has_gone_away_has_not_seen_its_answer(
    unchecked: Gateway, redis: Redis, leases_queue: ScorerQueue, reset: bool
) -> None:
    """The job ends before the gateway's check could notice."""
    connection: Any = unchecked.connected()
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.sendall(request_that_waits(unchecked))
    until(lambda: redis.llen("rq:queue:predict:sum"), "the job is queued")
    queued = time.monotonic()  # the gateway's clock began before
    connection.close()
    until(lambda: time.monotonic() - queued > AT_ONCE, "the answer does not come at once")
    batch = leases_queue.take(BatchLimits())
    assert batch is not None
    leases_queue.finish({job.id: PredictionOutcome([3.0], None, [], 0.5, 1) for job in batch.jobs})
    # A later one is delivered, so the receipts of the first would have arrived.
    with requests.Session() as session:
        answer = session.post(f"{unchecked.address}{PREDICT}", json=GOOD, headers={"Prefer": "wait=0"}, timeout=60)
        later = answer.json()["id"]
        batch = leases_queue.take(BatchLimits())
        assert batch is not None
        leases_queue.finish({job.id: PredictionOutcome([3.0], None, [], 0.5, 1) for job in batch.jobs})
        session.get(f"{unchecked.address}/v1/jobs/{later}", timeout=60)
    assert seen(redis, FETCHED) == [later]
    assert len(held(redis, ENDED)) == 1 and held(redis, DELIVERED) == []


@pytest.fixture
def leases_queue(redis: Redis) -> ScorerQueue:
    Leases(redis, lease=60).register("w-0-test")
    return ScorerQueue(redis, "w-0-test")


def test_the_program_of_the_guide_repeats_a_request_until_it_is_answered(
    server: Gateway, scoring: None, redis: Redis
) -> None:
    guide = (PROJECT / "docs" / "how-to" / "repeat-a-request.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)
    asked: list[str] = []

    class Requests:
        ConnectionError = requests.ConnectionError

        @staticmethod
        def post(url: str, **options: Any) -> requests.Response:
            answer = requests.post(url, **options)
            asked.append(answer.json()["id"])
            if len(asked) == 1:
                raise requests.ConnectionError  # as if the answer had been lost
            return answer

    names["requests"] = Requests
    names["time"] = type("Time", (), {"sleep": staticmethod(lambda _: None)})
    job = names["predict"](f"{server.address}{PREDICT}", GOOD)
    assert asked == [job["id"]] * 2 and job["output"]["predictions"] == [3.0]
