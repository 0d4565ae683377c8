"""What a service may do in Redis. Runs last: by then each has done all that the other tests ask of it."""

from __future__ import annotations

import base64
import re
import time

import pytest
import requests

from tests.qa.system.load import Load
from tests.qa.system.stack import IRIS, Stack, until

TRY = """
import redis
from contract.settings import Settings
connection = redis.Redis.from_url(Settings.from_environ().redis_url)
for line in ("CONFIG GET dir", "FLUSHALL", "KEYS *", "RPUSH rq:queue:publishing x", "ZADD rq:scheduled:training 1 x"):
    try:
        print(line, connection.execute_command(*line.split()))
    except redis.exceptions.NoPermissionError:
        pass
"""


def test_redis_refused_no_service_what_it_needs(stack: Stack) -> None:
    (redis,) = stack.containers("redis")
    assert stack.execute(redis["Id"], "redis-cli", "acl", "log").strip() == ""


def test_after_a_busy_minute_every_service_has_counted_and_no_log_has_a_refusal_of_redis(stack: Stack) -> None:
    secret = base64.b64encode(b"s" * 32).decode()
    with stack.settings(WEBHOOK_SECRET=f"whsec_{secret}", WEBHOOK_ALLOW="gateway"):
        stack.up()
        hook = {"Webhook-Url": "http://gateway:8080/health/live"}  # which answers a POST with 405
        url, end = f"{stack.url}/v1/models/iris/predict", time.monotonic() + 60
        training = requests.post(f"{stack.url}/v1/models/iris/train", headers=hook, timeout=60)
        assert training.status_code == 202, training.text
        with Load(stack, clients=2):
            while time.monotonic() < end:
                assert requests.post(url, json=IRIS, headers=hook, timeout=60).status_code == 202
                time.sleep(0.5)
        stack.finished([training.json()["id"]])

        def counts(metric: str) -> float:
            lines = stack.get("/metrics").text.splitlines()
            return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"modelgate_{metric}"))

        for metric in ("requests_total", "rows_total", "jobs_total", "trainer_jobs_total", "webhook_tries_total"):
            until(lambda metric=metric: counts(metric) > 0, 60)
        (redis,) = stack.containers("redis")
        assert stack.execute(redis["Id"], "redis-cli", "acl", "log").strip() == ""
        refused = re.compile(r"NOPERM|No permission|ACL failure|Redis refuses", re.IGNORECASE)
        assert [line for line in stack.compose("logs", "--no-color").splitlines() if refused.search(line)] == []


@pytest.mark.parametrize("service", ["gateway", "worker", "trainer", "observer", "events"])
def test_no_service_administers_redis(stack: Stack, service: str) -> None:
    (container,) = stack.containers(service)
    done = stack.execute(container["Id"], "python", "-c", TRY).splitlines()
    of_the_trainer = (
        []
        if service in ("worker", "observer", "events")
        else ["RPUSH rq:queue:publishing", "ZADD rq:scheduled:training 1"]
    )
    assert [line.rpartition(" x ")[0] for line in done] == of_the_trainer


def test_only_the_services_that_need_passwords_and_the_secret_see_them(stack: Stack) -> None:
    def volumes(service: str) -> set[str]:
        (container,) = stack.containers(service)
        return {mount["Name"].partition("_")[2] for mount in container["Mounts"] if mount["Type"] == "volume"}

    assert {
        service: volumes(service) for service in ("redis", "gateway", "worker", "trainer", "observer", "events")
    } == {
        "redis": {
            *("redis", "redis-gateway", "redis-worker", "redis-trainer", "redis-observer", "redis-events"),
            "redis-mirror",
        },
        "gateway": {"redis-gateway", "secret", "gateway", "spool"},
        "worker": {"redis-worker", "spool"},
        "trainer": {"redis-trainer", "secret", "spool"},
        "observer": {"redis-observer", "secret", "log"},
        "events": {"redis-events"},
    }
