"""Data that a Modelgate from before 1.0.0 has left in Redis are refused, with one sentence that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from broker.link.connection import OF_BEFORE, connect
from broker.link.faults import OldDataError
from contract.settings import Settings
from gateway.app import create_app

SAID = "empty Redis (redis-cli FLUSHDB), or name another database in REDIS_URL"


@pytest.fixture
def old(redis: Redis) -> Redis:
    redis.set(OF_BEFORE, "[]")
    return redis


@pytest.mark.parametrize("own", [False, True])
def test_no_command_reaches_a_redis_with_data_from_before(old: Redis, redis_url: str, own: bool) -> None:
    with connect(redis_url, own=own) as connection:
        with pytest.raises(OldDataError, match="from before release 1") as error:
            connection.set("mg:turn", 1)
        assert SAID in str(error.value)
        old.flushdb()
        connection.set("mg:turn", 1)


def test_the_gateway_says_what_to_do(old: Redis, redis_url: str, models: Path, tmp_path: Path) -> None:
    app = create_app(Settings(redis_url=redis_url, models_dir=models, state_dir=tmp_path))
    try:
        response = app.test_client().get("/v1/jobs/a")
        assert (response.status_code, response.json and response.json["code"]) == (503, "redis_unavailable")
        assert SAID in response.json["detail"]
    finally:
        old.flushdb()
        app.extensions["close"]()
