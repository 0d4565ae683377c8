"""Requests that clients repeat with their Idempotency-Key while gateways and the sender of webhooks are killed: each
makes exactly one job, and each job is reported under one id."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
import requests

from tests.flow import estimators
from tests.stacks.gateways import Gateway, Site, start_site
from tests.stacks.receiver import Receiver, receiver
from tests.stacks.sender import WEBHOOKS, Sender
from tests.support import numbers, until, write_version

REQUESTS, CLIENTS = 1000, 8
KILLS = ["process", "sender", "process", "gateway"] * 5


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as hook:
        yield hook


@pytest.fixture
def site(tmp_path: Path, models: Path) -> Iterator[Site]:
    write_version(models, "quick", estimators.Slow(0), numbers("a"), by_value=True)
    with start_site(tmp_path, models, gateway_processes=2, **WEBHOOKS) as started:
        started.cluster.start("w")
        yield started


def kill(what: str, gateways: list[Gateway], sender: Sender, dice: random.Random) -> None:
    """Kill the sender, a whole gateway or one of its serving processes, and start what does not start by itself."""
    gateway = dice.choice(gateways)
    match what:
        case "sender":
            sender.kill()
            sender.start()
        case "gateway":
            gateway.kill()
            gateway.start()
        case "process":
            serving = until(gateway.processes, "the gateway serves")
            with suppress(psutil.NoSuchProcess):
                dice.choice(serving).kill()


@pytest.mark.slow
def test_a_thousand_repeated_requests_make_a_thousand_jobs_and_webhooks_while_their_processes_are_killed(
    site: Site, tmp_path: Path, models: Path, hook: Receiver
) -> None:
    second = Gateway(site.server.url, models, tmp_path / "second.log", {"GATEWAY_PROCESSES": "2", **WEBHOOKS})
    sender = Sender(site.server.url, models, tmp_path / "events.log")
    gateways, seen = [site.gateway, second], Counter[str]()

    def send(number: int) -> str:
        """Send a request until it is answered, and once more. Returns the only id in the answers."""
        dice, key, ids, answered = random.Random(number), str(uuid.uuid4()), set[str](), 0
        while answered < 2:
            address = f"{dice.choice(gateways).address}/v1/models/quick/predict"
            headers = {"Idempotency-Key": key, "Prefer": dice.choice(["wait=0", "wait=5"]), "Webhook-Url": hook.url}
            try:
                answer = requests.post(address, json={"a": number}, headers=headers, timeout=60)
            except requests.RequestException:
                seen["no answer"] += 1
                continue
            seen[f"{answer.status_code} {answer.headers.get('Idempotent-Replayed', 'first')}"] += 1
            if answer.status_code >= 500:
                continue
            assert answer.status_code in (200, 202), answer.text
            ids.add(answer.json()["id"])
            answered += 1
        (job_id,) = ids
        return job_id

    with ExitStack() as stack:
        stack.callback(second.stop)
        second.start()
        sender.start()
        stack.callback(sender.kill)
        made, dice = list[str](), random.Random(1)
        with ThreadPoolExecutor(CLIENTS) as pool:
            for what in KILLS:
                sent = [pool.submit(send, len(made) + number) for number in range(REQUESTS // len(KILLS))]
                enough = dice.randrange(len(sent) // 2)
                until(
                    lambda sent=sent, enough=enough: sum(request.done() for request in sent) >= enough,
                    "some are answered",
                )
                kill(what, gateways, sender, dice)
                made += [request.result() for request in sent]
        with site.server.connect() as redis:
            assert len(set(made)) == REQUESTS
            assert {key.decode().removeprefix("rq:job:") for key in redis.keys("rq:job:*")} == set(made)
        until(
            lambda: requests.get(f"{second.address}/v1/jobs?status=queued", timeout=60).json()["items"] == [], "all end"
        )
        for number, job_id in random.Random(2).sample(list(enumerate(made)), 50):
            job = second.get(f"/v1/jobs/{job_id}").json()
            assert (job["status"], job["output"]["predictions"]) == ("succeeded", [2 * number])
        until(lambda: len({request.id for request in hook.received}) >= REQUESTS, "every job is reported", 120)
        assert {request.id for request in hook.received} == {f"msg_{job_id}" for job_id in made}
    assert seen["no answer"] > 5, seen
    assert {status for status in seen if status.startswith("5")} <= {"503 first"}
