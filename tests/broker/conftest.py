"""Fixtures: the parts of `broker/` on an empty Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from broker.sides.gateway.job_client import Jobs
from broker.sides.gateway.trainer_client import TrainerClient
from broker.sides.scorer import ScorerQueue
from broker.sides.supervisor import Leases
from broker.state.schedules import Schedules
from tests.broker.samples import scorer
from tests.stacks.slow_redis import SlowRedis, slow_redis
from tests.support import SIGNER


@pytest.fixture
def jobs(redis: Redis) -> Jobs:
    return Jobs(redis, max_queue_rows=10, timeout=30, result_ttl=60)


@pytest.fixture
def leases(redis: Redis) -> Leases:
    return Leases(redis, lease=60)  # which nobody renews


@pytest.fixture
def queue(redis: Redis, leases: Leases) -> ScorerQueue:
    """The queue of the scorer w-0-x."""
    return scorer(leases, redis)


@pytest.fixture
def trainings(redis: Redis) -> TrainerClient:
    return TrainerClient(redis, SIGNER, timeout=600, result_ttl=60)


@pytest.fixture
def schedules(redis: Redis) -> Schedules:
    return Schedules(redis, SIGNER, timeout=600, result_ttl=60)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[SlowRedis]:
    with slow_redis(tmp_path) as server:
        yield server
