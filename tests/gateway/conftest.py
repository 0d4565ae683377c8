"""A gateway on a real Redis, with one handwritten model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.scorer import BatchLimits, ScorerQueue
from broker.supervisor import Leases
from contract.jobs import PredictionOutcome
from contract.manifest import Field, Kind
from contract.settings import Settings
from gateway.app import create_app
from tests.support import Sum, secret_file, write_version


@pytest.fixture
def settings(redis: Redis, redis_url: str, models: Path, tmp_path: Path) -> Settings:
    inputs = [Field("a", Kind.NUMBER, aliases=("A",)), Field("b", Kind.NUMBER)]
    write_version(models, "sum", Sum(), inputs, id_field="key", example={"key": "x", "a": 1.0, "b": 2.0})
    secret = secret_file(tmp_path)
    return Settings(
        redis_url=redis_url, models_dir=models, max_body_mb=1, max_queue_rows=5, max_wait=3, trainer_secret=secret
    )


@pytest.fixture
def scoring(redis: Redis) -> Iterator[None]:
    """Finishes every job as a scorer would, with the sum of each row."""
    leases, queue, stop = Leases(redis, lease=60), ScorerQueue(redis, "w-0-test"), threading.Event()
    leases.register("w-0-test")

    def score() -> None:
        while not stop.is_set():
            batch = queue.take(BatchLimits())
            if batch is None:
                queue.wait_for_work(BatchLimits(), 0.1)
                continue
            queue.finish(
                {
                    job.id: PredictionOutcome([sum(row) for row in job.rows], None, [], 0.5, len(batch.jobs))
                    for job in batch.jobs
                }
            )

    thread = threading.Thread(target=score)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    return create_app(settings).test_client()
