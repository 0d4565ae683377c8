"""A gateway on a real Redis, with one model made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from redis import Redis

from contract.manifest import Field, Kind
from contract.settings import Settings
from gateway.app import create_app
from tests.support import Sum, write_version


@pytest.fixture
def settings(redis: Redis, redis_url: str, models: Path) -> Settings:
    inputs = [Field("a", Kind.NUMBER, aliases=("A",)), Field("b", Kind.NUMBER)]
    write_version(models, "sum", Sum(), inputs, id_field="key", example={"key": "x", "a": 1.0, "b": 2.0})
    return Settings(redis_url=redis_url, models_dir=models, max_body_mb=1, max_queue_rows=5, max_wait=3)


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    return create_app(settings).test_client()
