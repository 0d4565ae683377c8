"""Predicting without HTTP: rows in, a job or a refusal out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import pytest
from redis import Redis

from broker.link.connection import connect
from broker.link.idempotency import IdempotencyRecords
from broker.sides.gateway.job_client import Jobs
from contract.errors import InvalidInstances
from contract.model.repository import Repository
from contract.rows.instances import Records
from contract.settings import Settings
from contract.work.jobs import Status
from gateway.problems.codes import ProblemCode
from gateway.problems.problem import Problem
from gateway.serving.group_commit import GroupCommit
from gateway.serving.job_access import Replays
from gateway.serving.listener import Listener
from gateway.serving.predicting import PredictionOptions, Predictor, RequestContext
from tests.support import PROJECT

ROWS = Records([{"key": "k", "a": 1, "b": 2}])


@pytest.fixture
def predictor(settings: Settings) -> Iterator[Predictor]:
    connection = connect(settings.redis_url)
    jobs = Jobs(connection, max_queue_rows=settings.max_queue_rows, timeout=30, result_ttl=60)
    commit = GroupCommit(jobs.submit, timeout=5)
    listener = Listener(connection, jobs)
    replays = Replays(IdempotencyRecords(connection), jobs, listener, lambda: None)
    yield Predictor(jobs, commit, Repository(settings.models_dir), listener, replays, settings.max_queue_rows)
    listener.close()
    connection.connection_pool.disconnect()


def request() -> RequestContext:
    return RequestContext(job_id=uuid4().hex)


@pytest.mark.usefixtures("scoring")
def test_a_client_that_waits_gets_the_job_with_its_predictions(predictor: Predictor) -> None:
    job = predictor.predict(predictor.model("sum"), ROWS, 20, PredictionOptions(wait=20), request())
    assert job.status is Status.SUCCEEDED
    assert job.output == {"predictions": [3.0], "probabilities": None, "ids": ["k"]}


def test_a_client_that_does_not_wait_gets_a_queued_job_that_is_in_redis(predictor: Predictor, redis: Redis) -> None:
    job = predictor.predict(predictor.model("sum@current"), ROWS, 20, PredictionOptions(), request())
    assert (job.status, job.model, job.version) == (Status.QUEUED, "sum", 1)
    assert redis.lrange("rq:queue:predict:sum", 0, -1) == [job.id.encode()]


def test_each_failure_has_its_type(predictor: Predictor) -> None:
    with pytest.raises(Problem) as unknown:
        predictor.model("sums")
    assert unknown.value.code is ProblemCode.UNKNOWN_MODEL
    model = predictor.model("sum")
    with pytest.raises(InvalidInstances):
        predictor.predict(model, Records([{"a": "x", "b": 1}]), 20, PredictionOptions(), request())
    with pytest.raises(Problem) as too_many:
        predictor.predict(model, Records([{"a": 1, "b": 2}] * 6), 20, PredictionOptions(), request())
    assert too_many.value.code is ProblemCode.TOO_MANY_ROWS
    predictor.predict(model, Records([{"a": 1, "b": 2}] * 4), 20, PredictionOptions(), request())
    with pytest.raises(Problem) as full:
        predictor.predict(model, Records([{"a": 1, "b": 2}] * 4), 20, PredictionOptions(), request())
    assert (full.value.code, full.value.retry_after) == (ProblemCode.QUEUE_FULL, 1)


def test_the_use_cases_load_without_flask() -> None:
    code = "import sys, gateway.serving.predicting, gateway.protocols.native; sys.exit('flask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0
