"""What a service may do in Redis. Runs last: by then each has done all that the other tests ask of it."""

from __future__ import annotations

import pytest

from tests.system.stack import Stack

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


@pytest.mark.parametrize("service", ["gateway", "worker", "trainer", "events"])
def test_no_service_administers_redis(stack: Stack, service: str) -> None:
    (container,) = stack.containers(service)
    done = stack.execute(container["Id"], "python", "-c", TRY).splitlines()
    of_the_trainer = (
        [] if service in ("worker", "events") else ["RPUSH rq:queue:publishing", "ZADD rq:scheduled:training 1"]
    )
    assert [line.rpartition(" x ")[0] for line in done] == of_the_trainer


def test_only_the_services_that_need_passwords_and_the_secret_see_them(stack: Stack) -> None:
    def volumes(service: str) -> set[str]:
        (container,) = stack.containers(service)
        return {mount["Name"].partition("_")[2] for mount in container["Mounts"] if mount["Type"] == "volume"}

    assert {service: volumes(service) for service in ("redis", "gateway", "worker", "trainer", "events")} == {
        "redis": {"redis", "redis-gateway", "redis-worker", "redis-trainer", "redis-events"},
        "gateway": {"redis-gateway", "secret", "gateway", "spool"},
        "worker": {"redis-worker", "spool"},
        "trainer": {"redis-trainer", "secret", "spool"},
        "events": {"redis-events"},
    }
