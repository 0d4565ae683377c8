"""What Redis must have done before a job counts as accepted."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from broker.link.faults import SlowDiskError
from broker.link.scripts import Durability
from broker.sides.gateway.job_client import ACCEPTED, Jobs
from broker.sides.gateway.trainer_client import TrainerClient
from contract.work.training import TrainingRequest
from tests.broker.samples import job
from tests.stacks.slow_redis import SlowRedis
from tests.support import SIGNER, until

pytestmark = pytest.mark.waits

Submit = Callable[[Redis], str]
"""Submits a job, and returns its id once it is accepted."""


def submit_prediction(connection: Redis) -> str:
    jobs = Jobs(connection, max_queue_rows=10, timeout=30, result_ttl=60, durability=Durability(timeout=30))
    assert jobs.submit([job("1")]) == [ACCEPTED]
    return job("1").id


def submit_training(connection: Redis) -> str:
    client = TrainerClient(connection, SIGNER, timeout=60, result_ttl=60, durability=Durability(timeout=30))
    return client.submit(TrainingRequest("iris", "iris", {}, ())).id


@pytest.mark.parametrize("submit", [submit_prediction, submit_training])
def test_no_job_is_accepted_while_redis_has_not_written_it(slow: SlowRedis, submit: Submit) -> None:
    connection = slow.server.connect()
    slow.begin_sync()
    with ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(submit, connection)
        until(lambda: connection.keys("rq:job:*"), "the job is in Redis")
        slow.server.kill()
        slow.disk.set(0)
        slow.server.start()
        job_id = accepted.result(30)
    assert connection.exists(f"rq:job:{job_id}"), "an accepted job is lost"


def test_a_disk_that_does_not_sync_in_time_refuses_the_job(slow: SlowRedis) -> None:
    jobs = Jobs(
        slow.server.connect(), max_queue_rows=10, timeout=30, result_ttl=60, durability=Durability(timeout=0.05)
    )
    slow.begin_sync()
    with pytest.raises(SlowDiskError):
        jobs.submit([job("1")])
